"""Memory is refused beneath the server, at allocations drawn from the seed: it goes on, or says so and stops, and nobody is lost (F4). `./run faults
memory` takes more of them. The story is tests/memory.py; SEED=N repeats one."""
import os
import random

from memory import Memory
from tap import Tap
from todoke import Place

with Tap() as tap, Place("memory") as place:
    memory = Memory(tap, place, int(os.environ.get("SEED") or random.randrange(1 << 31)))
    memory.sweep(points=30, seconds=25)
    tap.note(memory.last_line())
