#!/usr/bin/env python3
"""X11: hostile bytes for every reader of strangers' bytes (bench/linear_bench.c has the table), 128 KB and four times as much. What is
quadratic takes sixteen times as long; ten is the bound, in processor time and the best of some tries, so that a busy machine changes
nothing. `./run bench linear` is the same up to 64 MB."""
import os
import subprocess

from tap import Tap
from todoke import TODOKE

BUILD = os.path.dirname(os.path.dirname(os.path.realpath(TODOKE)))

with Tap() as tap:
    subprocess.run(["ninja", "--quiet", "-C", BUILD, "bench/linear_bench"], check=True, stdout=subprocess.DEVNULL)
    said = subprocess.run([os.path.join(BUILD, "bench", "linear_bench"), "--quick"], stdout=subprocess.PIPE, text=True, check=False)
    rows = [line for line in said.stdout.splitlines() if line.startswith(("ok ", "NOT OK "))]
    wrong = [line for line in rows if line.startswith("NOT OK ")]
    tap.ok(len(rows) >= 100 and said.returncode == (1 if wrong else 0), f"{len(rows)} hostile inputs were read (X11)", said.stdout[-2000:])
    tap.equal(wrong, [], "four times as much takes none of the readers more than ten times as long")
