"""kill -9 while 100 sessions hand in mail: whatever was answered 250 is delivered, once, save what the kill left in doubt (R6, M7, F1).

KILLS=20 makes it 20 kills instead of 4; SEED=N repeats one."""
import collections
import os
import random
import time

from submission import SINK, STARTTLS, ZONE
from submission_session import Session
from tap import Tap
from todoke import NET, Place, until

KILLS, SESSIONS = int(os.environ.get("KILLS") or 4), 100
SEED = int(os.environ.get("SEED") or random.randrange(1 << 31))
AT = (f"{NET}.3", STARTTLS)


with Tap() as tap, Place("submission-kill") as place:
    chance = random.Random(SEED)
    tap.note(f"seed {SEED}: {KILLS} kills, {SESSIONS} sessions")
    todoke = place.installation(zone=ZONE, submission__listen=f"{AT[0]}:{AT[1]}", submission__trusted="127.0.0.0/8", in_doubt__wait="5m", workers=2)
    todoke.brand()
    record = place.path("record.tsv")
    sink = place.sink(SINK, "--record", record, "--delay", "20")
    accepted, opened, refused, unanswered, doubtful = [], 0, [], 0, set()

    def in_doubt():
        return {row["address"] for row in todoke.rows("queue", "list", "--state", "in_doubt", "--limit", "1000000")} | todoke.doubted()

    for kill in range(KILLS):
        todoke.serve(seconds=60)
        doubtful |= in_doubt()
        sessions = [Session(AT, f"k{kill}s{number}") for number in range(SESSIONS)]
        for session in sessions:
            session.start()
        moment = chance.randrange(3 * SESSIONS, 20 * SESSIONS)
        until(lambda: sum(len(session.accepted) for session in sessions) >= moment, 60, f"{moment} mails", 0.005)
        time.sleep(chance.random() * 0.03) # not only when somebody has just been answered
        opened += todoke.kill()
        for session in sessions:
            session.join(90)
            accepted += session.accepted
            refused += session.refused
            unanswered += session.open is not None
    tap.equal(refused[:3], [], "nothing was refused")
    tap.ok(len(accepted) > KILLS * SESSIONS, f"{len(accepted)} mails were answered 250 across {KILLS} kills, {unanswered} had no answer yet")
    todoke.serve(seconds=60)
    doubtful |= in_doubt()
    there = {address for address, in todoke.sql("SELECT address FROM delivery")}
    tap.equal(sorted(set(accepted) - there)[:5], [], "every mail that was answered 250 is in the store (R6, M7)")
    until(lambda: todoke.sql("SELECT COUNT(*) FROM delivery WHERE state <= 4")[0][0] == 0, 180, "all deliveries end", 0.3)
    sink.end()
    with open(record, encoding="utf-8") as file:
        got = collections.Counter(line.split("\t")[1] for line in file)
    tap.equal(sorted(set(accepted) - set(got))[:5], [], "and was delivered: none is lost (F1)")
    doubled = {who for who, count in got.items() if count > 1}
    tap.ok(sum(count - 1 for count in got.values()) <= opened, f"{len(doubled)} came twice, of {opened} connections open at the kills (R22)", str(sorted(doubled)[:5]))
    tap.equal(sorted(doubled - doubtful)[:5], [], "each of these was named by `queue list --state in_doubt`")
    tap.equal(sorted(set(got) - there)[:5], [], "nobody else got mail")
    audit = todoke.audit(60)
    tap.ok(audit["agrees"] and audit["accepted"] == audit["sum"] == len(there), "the books balance (R34)", str(audit))
    tap.note(f"submission kill: accepted {len(accepted)}, lost {len(set(accepted) - set(got))}, twice {len(doubled)}, {KILLS} kills, seed {SEED}")
