"""The clock is set wrong, and right again, beneath the real server (libfaketime): by a day and by ten years, forward and back, while mail goes out, some of it
deferred. Nobody expires, nobody gets it twice, nobody waits for a day that will not come, and nothing spins (F8, R27). The monotonic clock goes on as
it does when somebody sets the time of day; tests/sim_test.py shows the same on simulated time."""
import glob
import time

from kill import Record
from tap import Tap
from todoke import NET, Late, Place, cpu_seconds, until

SINK, BUSY, PEOPLE, OF_BUSY = f"{NET}.3", f"{NET}.4", 900, 30
JUMPS = ("+1d", "-1d", "+3650d", "-3650d", "+0d")


def story(tap, place, library):
    zone = {"mx.example": {"A": [SINK]}, "d.example": {"MX": [[10, "mx.example"]]}, "mx.busy.example": {"A": [BUSY]},
            "busy.example": {"MX": [[10, "mx.busy.example"]]}}
    todoke = place.installation(zone=zone, workers=1)
    record = Record(place.path("record.tsv"))
    place.sink(SINK, "--record", record.path, "--delay", "200")
    place.sink(BUSY, "--record", record.path, "--defer", "40", log="busy.log") # so that some are deferred at each clock
    todoke.brand()
    todoke.people([f"hito{number}@{'busy' if number < OF_BUSY else 'd'}.example" for number in range(PEOPLE)])
    todoke.campaign("one")
    clock = place.write("clock", "+0d")
    todoke.serve(env={"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_CACHE_DURATION": "1", "DONT_FAKE_MONOTONIC": "1",
                      "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
                      "FAKETIME_FORCE_MONOTONIC_FIX": "0"}) # that "fix" lets every monotonic wait end at once
    todoke.ok("campaign", "send", "one")
    until(lambda: record.count() >= 50, 60, "the first mails")
    for jump in JUMPS:
        said = len(todoke.server.said())
        place.write("clock", jump)
        until(lambda: "the clock was set by" in todoke.server.said()[said:] or not todoke.server.runs(), 20, f"{jump}: the server notices")
        if not todoke.server.runs():
            raise Late(f"{jump}: the server ended: {todoke.server.said()[-600:]}")
        before = record.count()
        if before < PEOPLE:
            until(lambda: record.count() > before, 30, f"{jump}: mail goes on")
    tap.ok(True, f"the clock is set to {', '.join(JUMPS)}: each is noticed, and mail goes on")
    report = todoke.settled("one", PEOPLE, 120)
    tap.equal({state: count for state, count in report["counts"].items() if count}, {"delivered": PEOPLE}, "everybody gets the mail; nobody expires, nobody waits for days")
    until(lambda: record.count() >= PEOPLE, 30, "the record")
    who = [address for _, address in record.read()]
    tap.equal((len(set(who)), len(who)), (PEOPLE, PEOPLE), "each of them once")
    pid = todoke.server.popen.pid
    before, start = cpu_seconds(pid), time.monotonic()
    time.sleep(2)
    used = (cpu_seconds(pid) - before) / (time.monotonic() - start)
    tap.ok(used < 0.3, "with nothing to do it does nothing", f"{used * 100:.0f} % of a core")
    audit = todoke.audit(30)
    tap.ok(audit["agrees"] and audit["accepted"] == PEOPLE, "the books balance", str(audit))
    tap.equal(todoke.stop(), 0, "the server ends cleanly")


with Tap() as tap:
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        tap.skip("the clock of the real server", "needs libfaketime")
    else:
        with Place("clock") as place:
            story(tap, place, libraries[0])
