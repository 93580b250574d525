"""Sources: a warm-up's cap holds whatever is killed (R28, S50, S51), a listed source drains, a pool serves its brand (S77).

FULL=1 tells the first story with 100,000 owed and a cap of 500."""
import json
import os
import time
import urllib.request

from todoke import NET, Place, one_day, until
from tap import Tap

RUN_SECONDS = 900 # with FULL=1
FULL = os.environ.get("FULL") == "1"
OWED, CAP = (100000, 500) if FULL else (1000, 60)
SINK = f"{NET}.3"
STEP_S = 0.2
FROM = NET.replace("127.66", "127.88")
ZONE = {"d.example": {"MX": [[10, "mx.d.example"]]}, "mx.d.example": {"A": [SINK]},
        f"1.{FROM.split('.')[2]}.88.127.bl.example": {"A": ["127.0.0.2"]}}


def taken(place):
    """How many mails the sink has taken."""
    path = place.path("record.tsv")
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as record:
        return record.read().count(b"\n")


def quiet(place, todoke, seconds=2):
    """The count, once it has not changed for so long, in which the server was awake: it answered each time it was asked."""
    before, rests = taken(place), 0
    while rests < seconds / STEP_S:
        begun = time.monotonic()
        with urllib.request.urlopen(f"http://{todoke.http}/health/live", timeout=90) as answer:
            answer.read()
        time.sleep(STEP_S)
        now, awake = taken(place), time.monotonic() - begun < STEP_S + 0.5
        rests = rests + 1 if now == before and awake else 0
        before = now
    return before


def warm_up(tap):
    with Place("source") as place:
        place.sink(SINK, "--record", place.path("record.tsv"), "--delay", "150")
        todoke = place.installation(zone=ZONE, in_doubt__wait="1h")
        todoke.brand()
        todoke.people([f"p{number}@d.example" for number in range(OWED)])
        todoke.campaign("big")
        todoke.ok("source", "add", f"{FROM}.1", "--ehlo", "out1.shop.example", "--warm-up", f"{CAP},{CAP * 2}")
        todoke.serve()
        todoke.ok("campaign", "send", "big")
        killed = []

        def reserved():
            return todoke.json("source", "show", f"{FROM}.1")["warm_up"][0]["reserved"]

        for number in range(5): # at a few mails, at some more ...
            until(lambda: taken(place) > CAP * number // 5 or (reserved() >= CAP and quiet(place, todoke, 1)), 60,
                  "some mails more, or the cap is used up: that it stays so is the point")
            todoke.kill()
            killed.append(taken(place))
            todoke.serve(seconds=60)
        count = quiet(place, todoke, 3)
        plan = todoke.json("source", "show", f"{FROM}.1")["warm_up"][0]
        tap.note(f"cap {CAP}, {OWED} owed, five times kill -9 at {killed}: {count} were taken, {plan['reserved']} reserved")
        tap.ok(0 < count <= CAP, f"never more than {CAP} of {OWED} leave on the first day, whatever is killed (R28, S50)", str(count))
        tap.ok(count >= CAP // 5, "a kill wastes what was under way and a small block, not the day", str(count))
        tap.ok(plan["reserved"] <= CAP and plan["step"] == 1, "the plan says so too", str(plan))
        said = todoke.json("explain", "site", "d.example")
        tap.ok(said["binds"]["limit"] == "warm_up" and said["binds"]["value"] == CAP and said["binds"]["until"].endswith("T00:00:00.000Z"),
               "the cap is what binds, though nothing of it waits in memory", str(said["binds"]))
        tap.ok(f"{FROM}.1: {CAP}" in said["lanes"][0]["waits_for"]["en"] and f"and {CAP * 2} tomorrow" in said["done"]["text"]["en"],
               "what waits says so, and what may go tomorrow", f"{said['lanes']} {said['done']}")
        tap.ok("used up" in todoke.json("explain", "queue")["lanes"][0]["waits_for"], "so does explain queue")
        doubtful = [todoke.json("explain", "message", row["delivery"]) for row in todoke.rows("queue", "list", "--state", "in_doubt")]
        tap.ok(all(mail["source"] == f"{FROM}.1" for mail in doubtful), f"{len(doubtful)} in doubt keep to the source they went by (R22)", str(doubtful[:2]))
        todoke.ok("source", "add", f"{FROM}.2", "--ehlo", "out2.shop.example")
        if not FULL:
            todoke.settled("big", OWED, 120, owed=100) # who is in doubt waits for an hour's hundredth
            tap.ok(True, "what the cap holds back goes by a warm source of the pool (S51)")
        plan = todoke.json("source", "show", f"{FROM}.1")["warm_up"][0]
        tap.ok(plan["reserved"] <= CAP, "and the capped one still has its cap", str(plan))
        todoke.stop()


def listed(tap):
    with Place("listed") as place:
        place.sink(SINK, "--record", place.path("record.tsv"), "--delay", "20")
        todoke = place.installation(zone=ZONE, sources__blocklists="bl.example", log__format="json")
        todoke.brand()
        todoke.people([f"p{number}@d.example" for number in range(4000)])
        todoke.campaign("big")
        todoke.ok("source", "add", f"{FROM}.1", "--ehlo", "out1.shop.example")
        todoke.serve()
        todoke.ok("campaign", "send", "big")
        trouble = until(lambda: todoke.json("source", "show", f"{FROM}.1")["trouble"], 60, "the list is noticed")
        tap.equal(trouble, "listed by bl.example", "a listed source is in trouble within 60 s")
        lines = [json.loads(line) for line in todoke.server.said().splitlines() if line.startswith("{")]
        tap.equal([(line["level"], line["source"]) for line in lines if line.get("trouble") == "listed by bl.example"], [("warn", f"{FROM}.1")], "the log has it with fields for a machine")
        count = quiet(place, todoke)
        tap.ok(count < 4000, "nothing new leaves it", str(count))
        todoke.ok("source", "add", f"{FROM}.2", "--ehlo", "out3.shop.example", "--pool", "nwes")
        tap.equal(todoke.run("source", "change", f"{FROM}.2").returncode, 2, "a change of nothing is a slip")
        said = todoke.ok("source", "change", f"{FROM}.2", "--pool", "news", "--ehlo", "out2.shop.example")
        tap.equal(said, f"source {FROM}.2 in pool news, weight 1, EHLO out2.shop.example\n", "a source changes its pool and its name, and keeps its weight")
        tap.equal(quiet(place, todoke), count, "a source of another pool is none of this brand's")
        tap.equal(todoke.ok("source", "warm-up", f"{FROM}.2", "5000,10000", "--site", "d.example"), "the plan for mx.d.example begins at its first step\n", "a plan for a receiver's domain is one for its site")
        wrong = [todoke.run("source", "warm-up", f"{FROM}.2", *words) for words in (("end",), ("",), ("end", "--site", "gogle"))]
        tap.equal([(done.returncode, done.stderr.split(": ", 1)[1].split(":")[0].strip()) for done in wrong], [(2, "there is no plan for all sites together"), (2, "CAPS is empty"), (2, "there is no plan for gogle")], "a plan that is none is not said to have ended, and an empty word begins none")
        said = todoke.ok("source", "assign", "Hanamaru", "--pool", "nwes")
        tap.ok("the pool nwes has no source yet" in said, "a slip in a pool's name is seen", said)
        said = todoke.ok("source", "assign", "Hanamaru", "--pool", "news", "--weight", "3")
        tap.ok("pool news, weight 3" in said and "no source" not in said, "a brand is assigned to a pool", said)
        todoke.settled("big", 4000, 120)
        tap.ok(True, "and all of its mail leaves by that")
        tap.equal(todoke.run("source", "remove", f"{FROM}.2").returncode, 2, "a source in use is not removed")
        todoke.ok("source", "drain", f"{FROM}.2")
        todoke.server.wait_for(rf'"a source drains, nothing new leaves it","source":"{FROM}\.2","pool":"news","reason":"order"', 20)
        todoke.ok("source", "remove", f"{FROM}.2")
        tap.equal([row["ip"] for row in todoke.rows("source", "list")], [f"{FROM}.1"], "a drained one is")
        todoke.stop()


with Tap() as tap:
    one_day()
    warm_up(tap)
    listed(tap)
