"""kill -9 of the server in the middle of a campaign, five times of 20,000: nobody lost, every duplicate named (R22, R34, U1, F1, F14).

The story is tests/kill.py; `./run faults` tells it at length. SEED=N repeats one."""
import os
import random

from kill import Kill
from tap import Tap
from todoke import Place

with Tap() as tap, Place("kill") as place:
    kill = Kill(tap, place, people=20000, kills=5, seed=int(os.environ.get("SEED") or random.randrange(1 << 31)))
    kill.story()
    tap.note(kill.last_line())
