"""The power fails while programs hand in mail: what was answered 250 is in the store, what left is not sent again unseen (F2, R6, M7, R22).

No real machine is unplugged: the server's disk takes notes (power.py), and what may be on it after the cut is put together from what was
synced and a lottery over the rest. SEED=N repeats one."""
import os
import random
import sqlite3
import threading

from power import Notes
from submission import SINK, STARTTLS, ZONE, Talk
from tap import Tap
from todoke import NET, Place, until

SEED = int(os.environ.get("SEED") or random.randrange(1 << 31))
SESSIONS, MAILS, BODY = 16, 1600, ("x" * 70 + "\r\n") * 400
WAITING = 0
AT = (f"{NET}.3", STARTTLS)


class Session(threading.Thread):
    """Hands in one mail after another until the server is gone."""

    def __init__(self, number, accepted):
        super().__init__(daemon=True)
        self.number, self.accepted = number, accepted

    def run(self):
        try:
            with Talk(AT) as talk:
                talk.say("EHLO me")
                for mail in range(MAILS):
                    who = f"s{self.number}n{mail}@sink.example"
                    if any(talk.say(line)[:1] not in ("2", "3") for line in ("MAIL FROM:<me@shop.example>", f"RCPT TO:<{who}>", "DATA")):
                        return
                    if talk.say(f"From: Shop <news@shop.example>\r\nSubject: {who}\r\n\r\n{BODY}.").startswith("250"):
                        self.accepted.append(who) # one list: appending is whole
        except OSError:
            pass


with Tap() as tap, Place("power") as place:
    chance = random.Random(SEED)
    todoke = place.installation(zone=ZONE, submission__listen=f"{AT[0]}:{AT[1]}", submission__trusted="127.0.0.0/8", in_doubt__wait="5m", workers=2)
    todoke.brand()
    record, accepted = place.path("record.tsv"), []
    place.sink(SINK, "--record", record)
    notes = Notes(place, todoke.store)
    todoke.serve(env=notes.env, seconds=60)
    sessions = [Session(number, accepted) for number in range(SESSIONS)]
    for session in sessions:
        session.start()

    def gone():
        return open(record, encoding="utf-8").read().count("\n") if os.path.exists(record) else 0 # pylint: disable=consider-using-with
    until(lambda: len(accepted) >= MAILS and gone() > 120, 120, "mails are taken, and leave", 0.005)
    todoke.kill()
    for session in sessions:
        session.join(90)
    with open(record, encoding="utf-8") as file:
        left = {line.split("\t")[1] for line in file}
    notes.read()
    tap.note(f"seed {SEED}: {len(accepted)} answered 250, {len(left)} left, {len(notes.notes)} writes, of which {notes.unsynced()} not synced")
    tap.ok(notes.written(1) > 100 and notes.written(2) > 100, "the log was written, and was being copied into the database", f"{notes.written(1)} {notes.written(2)}")
    tap.ok(len(left) > 100, "mail was leaving", str(len(left)))
    for turn, share in enumerate((0, 1, 0.5, 0.5, 0.9, 0.1)):
        store = notes.disk(place.path(f"cut{turn}"), chance, share)
        with sqlite3.connect(store) as db:
            healthy = db.execute("PRAGMA integrity_check").fetchall()
            states = dict(db.execute("SELECT address, state FROM delivery").fetchall())
        db.close()
        name = f"{share * 100:.0f} % of what was not synced is there (cut {turn})"
        tap.equal(healthy, [("ok",)], f"{name}: the store is whole")
        tap.equal(sorted(set(accepted) - set(states))[:5], [], f"{name}: every mail that was answered 250 is in it (F2, R6, M7)")
        tap.equal(sorted(who for who in left if states.get(who, WAITING) == WAITING)[:5], [], f"{name}: what left is marked, so that nobody gets it twice unseen (R22)")
