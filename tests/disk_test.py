"""A failing disk beneath the server, at writes drawn from the seed: 503, 452, nothing lost, on by itself (F3). `./run faults disk` takes each
write. The story is tests/disk.py; SEED=N repeats one."""
import os
import random

from disk import Disk
from tap import Tap
from todoke import Place

with Tap() as tap, Place("disk") as place:
    disk = Disk(tap, place, int(os.environ.get("SEED") or random.randrange(1 << 31)))
    disk.sweep(points=8, seconds=40)
    disk.starting(points=6)
    tap.note(disk.last_line())
