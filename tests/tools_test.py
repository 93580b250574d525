"""The tools that judge must be able to say no: tally, check-floors and lines, shown wrong things on purpose."""
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

NAMED = [  # what, file, text, the lines it names
    ("a comment", "src/a/b_test.c", "/* R22: the same Message-ID */\n", "R22"),
    ("a list", "src/a/b_test.c", "/* S30, S31 and X2 */\n", "S30 S31 X2"),
    ("a range", "src/a/b_test.c", "/* R14-R17 */\n", "R14 R15 R16 R17"),
    ("a range that names its letter once", "tests/a_test.py", "# M3-5\n", "M3 M4 M5"),
    ("a row's name", "src/a/b_test.c", '    {"D14: a reset waits", 1},\n', "D14"),
    ("a receiver's line without its zero", "tests/a_test.py", "# D1, D02\n", "D01 D02"),
    ("more than one line of comment", "src/a/b_test.c", "/* what comes\n * back (S7) is read,\n * and counted, U3 */\n", "S7 U3"),
    ("names of the code", "src/a/b_test.c", "    enum { R2 };\n    S3 = M1(R2);\n#define X1 F1\n", ""),
    ("octets and code points", "src/a/b_test.c", '    {"=D1=8F =F1 \\\\xF3 %F5 U+2028 U0001 AF3=", 1},\n', ""),
    ("more than there are", "tests/a_test.py", "# S775, S3150, R39, L10, X509, F45, M42\n", ""),
    ("a browser", "src/a/b_test.c", '    {"Mozilla/5.0 (X11; Linux x86_64)", 1},\\n', ""),
    ("not a test", "src/a/b.c", "/* R22 */\n", ""),
    ("mail of strangers", "tests/mails/a.py", "# R22\n", ""),
]


def lines(root, *asked):
    """What tools/lines says of the project in root: status, what it printed."""
    said = subprocess.run([os.path.join(ROOT, "tools", "lines"), "--root", root, "--shared", os.path.join(root, "shared"), *asked],
                          capture_output=True, text=True, check=False)
    return said.returncode, said.stdout + said.stderr


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


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
    for what, path, text, named in NAMED:
        with tempfile.TemporaryDirectory() as root:
            write(os.path.join(root, path), text)
            tap.equal([said.strip() for said in lines(root)[1].splitlines() if not said.startswith(" ")], named.split(), f"lines: {what}")
    with tempfile.TemporaryDirectory() as root:
        write(os.path.join(root, "src/a/b_test.c"), "/* R1: ends there */\n")
        tap.equal(lines(root, "R1"), (0, "R1\n    src/a/b_test.c:1: /* R1: ends there */\n"), "lines: only what was asked for")
        tap.equal(lines(root, "R1-R2"), (1, "R1\n    src/a/b_test.c:1: /* R1: ends there */\n\nno test names 1:\nR2\n"), "lines: nobody names it")
        tap.equal(lines(root, "Q7")[0], 2, "lines: what was asked for is no line")
        write(os.path.join(root, "shared/PROTOCOL.md"), "- **R1** A dot\n  ends it.\n- **R2** Bare CR. R3 Chunks.\n### Core\n- **M1** CRLF only.\n")
        tap.equal(lines(root), (0, "R1  A dot ends it.\n    src/a/b_test.c:1: /* R1: ends there */\n\nno test names 3:\nR2  Bare CR.\nR3  Chunks.\n"
                                   "M1  CRLF only.\n"), "lines: the documents say which there are, and what they say")
