"""SIGTERM while 60 sessions hand in mail: who is told to try again was not kept, and who was kept was told so (F12, R6, M7).

A server that says 421 to a mail whose commit is under way makes its sender send it again: twice the same order confirmation."""
import os
import random
import time

from submission import SINK, STARTTLS, Talk, ZONE
from submission_session import Session
from tap import Tap
from todoke import NET, Place, until

STOPS, SESSIONS = 4, 60
SEED = int(os.environ.get("SEED") or random.randrange(1 << 31))
AT = (f"{NET}.3", STARTTLS)


with Tap() as tap, Place("submission-stop") as place:
    chance = random.Random(SEED)
    tap.note(f"seed {SEED}: {STOPS} stops, {SESSIONS} sessions")
    todoke = place.installation(zone=ZONE, submission__listen=f"{AT[0]}:{AT[1]}", submission__trusted="127.0.0.0/8", workers=2)
    todoke.brand()
    place.sink(SINK)
    accepted, unanswered, refused, statuses = [], [], [], []
    for stop in range(STOPS):
        todoke.serve(seconds=60)
        idle = Talk(AT)
        sessions = [Session(AT, f"k{stop}s{number}") for number in range(SESSIONS)]
        for session in sessions:
            session.start()
        until(lambda: sum(len(session.accepted) for session in sessions) > 2 * SESSIONS, 60, "mail is taken", 0.01)
        time.sleep(chance.random() * 0.2)
        statuses.append(todoke.stop())
        for session in sessions:
            session.join(90)
            accepted += session.accepted
            refused += session.refused
            unanswered += [session.open] if session.open else []
        tap.ok(idle.reply().startswith("421 4.3.2"), f"stop {stop + 1}: who says nothing hears 421")
    kept = {address for address, in todoke.sql("SELECT address FROM delivery")}
    tap.equal(statuses, [0] * STOPS, "the server ends in order")
    tap.equal(sorted(set(accepted) - kept)[:5], [], f"{len(accepted)} mails were answered 250, and all are kept (R6, M7)")
    tap.equal(sorted(kept - set(accepted))[:5], [], f"every mail that is kept was answered 250: nobody sends it again (F12); {len(refused)} heard 4xx, {len(unanswered)} nothing")
    tap.ok(all(said.startswith("4") for said in refused), "who was refused was told to try again", str(refused[:3]))
