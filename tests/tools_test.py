"""The tools that judge must be able to say no: tally and check-floors, shown wrong things on purpose."""
import os
import subprocess
import sys
import tempfile

from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))
from tally import count_tap  # noqa: E402

LATER = "TO" "DO"  # TAP's directive; check-mistakes forbids the word
TALLIES = [  # what, output, exit status, passed, failed, skipped
    ("all well", "1..2\nok 1 - a\nok 2 - b\n", 0, 2, 0, 0),
    ("one wrong", "1..2\nok 1 - a\nnot ok 2 - b\n", 1, 1, 1, 0),
    ("one skipped", "1..2\nok 1 - a\nok 2 - b # SKIP needs root\n", 0, 1, 0, 1),
    ("all skipped by the plan", "1..0 # Skipped: no postgres\n", 0, 0, 0, 1),
    ("died half-way", "1..3\nok 1 - a\n", -11, 1, 1, 0),
    ("cmocka counts what it skipped", "1..2\nok 1 - a\nnot ok 2 # SKIP b\n", 1, 1, 0, 1),
    ("a skip and a death", "1..2\nok 1 - a\nnot ok 2 # SKIP b\n", -11, 1, 1, 1),
    ("died at its end", "1..1\nok 1 - a\n", 1, 1, 1, 0),
    ("said nothing", "", 0, 0, 1, 0),
    ("crashed at once", "Segmentation fault\n", -11, 0, 1, 0),
    ("the plan at the end", "ok 1 - a\nok 2 - b\n1..2\n", 0, 2, 0, 0),
    ("subtests do not count twice", "1..1\n    ok 1 - inner\n    1..1\nok 1 - outer\n", 0, 1, 0, 0),
    ("node counts for itself", "ok 1 - file\n1..1\n# tests 5\n# pass 4\n# fail 1\n# skipped 0\n", 1, 4, 1, 0),
    ("an expected failure", f"1..1\nnot ok 1 - later # {LATER} not yet\n", 0, 1, 0, 0),
    ("a name with a number sign", "1..1\nok 1 - shows #1 of 2\n", 0, 1, 0, 0),
]

FLOORS = [  # what, folder/file, line, allowed
    ("the same folder", "net/a.c", '#include "net/b.h"', True),
    ("a lower floor", "net/a.c", '#include "base/b.h"', True),
    ("a higher floor", "base/a.c", '#include "net/b.h"', False),
    ("a neighbour", "net/a.c", '#include "mail/b.h"', False),
    ("no full path", "net/a.c", '#include "b.h"', False),
    ("a folder below a folder", "app/playground/a.c", '#include "net/b.h"', True),
    ("spaces before and after the sign", "base/a.h", ' #  include "net/b.h"', False),
    ("the system's headers", "base/a.c", "#include <net/if.h>", True),
    ("a folder on no floor", "attic/a.c", "int a;", False),
]

with Tap() as tap:
    for what, output, status, *expected in TALLIES:
        count = count_tap(output, status)
        tap.equal([count.passed, count.failed, count.skipped], expected, f"tally: {what}")
    for what, path, line, allowed in FLOORS:
        with tempfile.TemporaryDirectory() as src:
            with open(os.path.join(src, "FLOORS"), "w", encoding="utf-8") as floors:
                floors.write("# floors\n0 base\n1 net mail\n12 app\n")
            os.makedirs(os.path.dirname(os.path.join(src, path)))
            with open(os.path.join(src, path), "w", encoding="utf-8") as file:
                file.write(line + "\n")
            said = subprocess.run([os.path.join(ROOT, "tools", "check-floors"), src], capture_output=True, text=True,
                                  check=False)
            tap.ok((said.returncode == 0) == allowed, f"floors: {what}", said.stdout + said.stderr)
