"""Issue 4.5: what a person orders of the queue. Held mails wait and later ones too, released ones go at once; a purge counts first, cancels in
slices what matches and nothing else, waits for nothing; every order is on record with who, what and how many; the books balance."""
import os
import re
import sqlite3
import subprocess

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, TODOKE, Place, stores, until

MX = f"{NET}.70"
GONE = f"{NET}.71" # nobody listens there


def waits_for_another(tap, todoke):
    """A command on a store that another program writes to says what it waits for, and goes on when that has ended."""
    other = sqlite3.connect(todoke.store, isolation_level=None, timeout=20)
    other.execute("BEGIN IMMEDIATE")
    env = {**os.environ, "TODOKE_STORE": todoke.store, "TODOKE_KEY_FILE": todoke.key}
    with subprocess.Popen([TODOKE, "queue", "retry", "--domain", "else.example"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waits:
        said = waits.stderr.readline()
        other.execute("ROLLBACK")
        out, more = waits.communicate(timeout=60)
    tap.ok("another program is writing to it; waiting for it, for 30 s at most" in said, "SQLite: a command that waits says for what", said)
    tap.ok(waits.returncode == 0 and "no server runs" in out and not more, "SQLite: and does what it was told then", f"{waits.returncode} {out} {more}")


def story(tap, words, store):
    with Place("order") as place:
        receiver = Receiver(MX, PORT)
        place.cleanups.append(receiver.server.server_close)
        place.cleanups.append(receiver.server.shutdown)
        zone = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [MX]},
                "gone.example": {"MX": [[10, "mx.gone.example"]]}, "mx.gone.example": {"A": [GONE]}}
        todoke = place.installation(zone=zone, store=store, test__time_percent="10")
        todoke.brand()
        todoke.people([f"a{n}@good.example" for n in range(20)] + [f"b{n}@gone.example" for n in range(300)])

        def count(verb, *words):
            return todoke.json("queue", verb, *words, "--dry-run")["all"]

        def orders():
            return {row["order"]: row for row in todoke.rows("queue", "orders")}

        def carried_out(said):
            return until(lambda: (lambda row: row if row["is_done"] else None)(orders()[said["order"]]), 20, "the order")

        if words == "SQLite":
            waits_for_another(tap, todoke)
        todoke.json("queue", "hold", "--domain", "good.example", "--why", "they asked")
        todoke.campaign("autumn")
        todoke.serve()
        todoke.ok("campaign", "send", "autumn")
        until(lambda: (lambda report: report["accepted"] == 320 and report["counts"]["deferred"])(todoke.report("autumn")), 60, "320 accepted, some deferred")
        tap.equal(len(receiver.mails), 0, f"{words}: a domain is held before its mails come")

        owed = todoke.json("explain", "queue")
        tap.equal({lane["domain"]: lane["owed"] for lane in owed["lanes"]}, {"good.example": 20, "gone.example": 300}, f"{words}: the largest lanes are named")
        tap.ok(any("they asked" in lane["waits_for"] and lane["domain"] == "good.example" for lane in owed["lanes"]), f"{words}: and what holds them")
        row = next(row for row in todoke.rows("queue", "list", "--state", "deferred"))
        mail = todoke.json("explain", "message", row["delivery"])
        tap.ok(mail["state"] == "deferred" and mail["attempts"] >= 1 and mail["next"].startswith(("tried again", "due now")), f"{words}: a deferred mail says when next and why", str(mail))
        tap.ok(len(mail["advice"]) > 20, f"{words}: and what to do", str(mail))
        tap.ok([event["kind"] for event in mail["timeline"]][:2] == ["accepted", "deferred"] and mail["timeline"][1]["site"], f"{words}: with its timeline", str(mail))
        tap.ok(mail["spent_ms"]["waiting"] + mail["spent_ms"]["deferred"] > 0, f"{words}: and the time in each state", str(mail))
        japanese = todoke.ok("explain", "message", row["delivery"], "--lang", "ja")
        tap.ok("送信を受け付けました" in japanese and "次:" in japanese, f"{words}: in Japanese too", japanese)
        tap.equal(todoke.json("queue", "show", row["delivery"])["timeline"][0]["kind"], "accepted", f"{words}: queue show is the same story")
        tap.equal(todoke.run("explain", "message", "12345").returncode, 2, f"{words}: a mail that is not there")

        found = todoke.json("explain", "address", mail["address"].upper())
        # (what comes next may have come between the two commands)
        tap.equal((found["excluded"], [(one["delivery"], one["state"], one["next"].startswith(("tried again", "due now"))) for one in found["deliveries"]]),
                  ("", [(row["delivery"], mail["state"], True)]),
                  f"{words}: an address finds its mails, whatever its case")
        todoke.ok("suppress", "add", mail["address"])
        tap.ok("by_hand" in todoke.ok("explain", "address", mail["address"]) and "このアドレスへのメールはありません" in todoke.ok("explain", "address", "nobody@good.example", "--lang", "ja"),
               f"{words}: and whether it is excluded")
        todoke.ok("suppress", "remove", mail["address"])
        todoke.ok("suppress", "add", mail["address"], "--brand", "Hanamaru", "--why", "unsubscribed")
        found = todoke.json("explain", "address", mail["address"])
        tap.equal((found["excluded"], [(row["from"], row["topic"], row["why"]) for row in found["exclusions"]]), ("", [("the brand Hanamaru", "", "unsubscribed")]),
                  f"{words}: who left one brand is not told as excluded by none (U23)")
        said = todoke.ok("explain", "address", mail["address"], "--lang", "ja")
        tap.ok("除外中(ブランド Hanamaru、unsubscribed、todoke suppress remove --brand 'Hanamaru' で解除)" in said and "除外されていません" not in said, f"{words}: nor in Japanese", said)
        todoke.ok("suppress", "remove", mail["address"], "--brand", "Hanamaru")
        tap.equal(count("purge", "--domain", "gone.example"), 300, f"{words}: a dry run counts")
        tap.equal(todoke.report("autumn")["counts"]["cancelled"], 0, f"{words}: and changes nothing")
        todoke.brand("Other", "別の店 <b@other.example>", "bounce.other.example")
        waits = until(lambda: count("retry", "--domain", "gone.example"), 30, "some are deferred")
        again = carried_out(todoke.json("queue", "retry", "--domain", "gone.example", "--why", "their server is back"))
        tap.ok(waits > 0 and again["moved"] > 0, f"{words}: what is deferred is due again at once", f"{waits} {again}")
        tap.ok(any(event["note"] == "retry" and "at once" in event["text"] for event in todoke.json("explain", "message", row["delivery"])["timeline"]) or again["moved"] < waits,
               f"{words}: and its story says so")
        tap.equal(count("purge", "--campaign", "autumn", "--older-than", "1d"), 0, f"{words}: nothing is older than a day")
        wrong = todoke.run("queue", "hold", "--brand", "Other", "--campaign", "autumn")
        tap.ok(wrong.returncode == 2 and "not of that brand" in wrong.stderr, f"{words}: a campaign of another brand is a slip", wrong.stderr)
        done = carried_out(todoke.json("queue", "hold", "--campaign", "autumn", "--brand", "Hanamaru", "--why", "a wrong price"))
        said = todoke.ok("campaign", "status", "autumn")
        tap.ok(done["moved"] == 0 and "paused" in said and not todoke.rows("queue", "list", "--state", "held"), f"{words}: a hold of a campaign is its pause: nothing is moved", said)
        tap.ok("it stands" in todoke.ok("queue", "orders").splitlines()[0], f"{words}: and is told as one that stands")
        todoke.ok("campaign", "resume", "autumn")
        until(lambda: count("retry", "--domain", "gone.example") or "on_wire" in str(todoke.rows("queue", "list")), 30, "it goes on")
        tap.ok(not todoke.rows("queue", "list", "--state", "held"), f"{words}: so its resuming ends it, and nobody stays behind")
        said = todoke.rows("queue", "orders")[0]
        tap.ok(said["verb"] == "release" and said["campaign"] and said["who"].startswith("user ") and said["why"] == "resumed by hand" and said["is_done"],
               f"{words}: and who resumed it is on record", str(said))
        done = carried_out(todoke.json("queue", "hold", "--domain", "gone.example", "--campaign", "autumn"))
        tap.equal(done["moved"], 300, f"{words}: two filters hold what is owed now")
        tap.equal(len(todoke.rows("queue", "list", "--state", "held")), 300, f"{words}: they are listed as held")
        tap.ok("300 by people's orders" in todoke.ok("explain", "queue", "--lang", "en") and todoke.json("explain", "queue")["held_by_guard"] == 0, f"{words}: and by whom")
        done = carried_out(todoke.json("queue", "purge", "--domain", "gone.example"))
        tap.equal(done["moved"], 300, f"{words}: all of them are cancelled")
        tap.ok(done["who"].startswith("user ") and done["verb"] == "purge" and done["domain"] == "gone.example" and done["at"],
                  f"{words}: the record says who, what and when")

        tap.equal([len(todoke.rows("queue", "list", "--domain", domain)) for domain in ("good.example", "gone.example", "other.example")], [20, 0, 0],
                  f"{words}: the list has the orders' filters")
        tap.ok("hold domain good.example  (they asked): 0 moved, it stands" in todoke.ok("queue", "orders"), f"{words}: a hold that stands is told as one")
        carried_out(todoke.json("queue", "release", "--domain", "good.example"))
        until(lambda: len(receiver.mails) == 20, 30, "20 mails released")
        header = re.search(rb"Message-ID: (\S+)", receiver.mails[0][2], re.I).group(1).decode()
        until(lambda: todoke.json("explain", "message", header)["state"] == "delivered", 30, "a Message-ID finds its delivery")
        said = todoke.ok("queue", "purge", "--site", "gone.example")
        tap.ok("nothing was changed" in said and "--domain gone.example" in said, f"{words}: a domain that was meant by --site is told", said)
        todoke.ok("queue", "resume", "--site", "gone.example")
        todoke.server.wait_for(r"the breaker closed site=mx\.gone\.example source=any reason=breaker after=\d+s\n", 20)
        opened = re.findall(r"the breaker opened \(connect: .*\) site=mx\.gone\.example source=any reason=breaker until=20\S+Z\n", todoke.server.said())
        tap.equal(len(opened), 1, f"{words}: a breaker that opened is one line of the log, however many mails waited")
        report = todoke.settled("autumn", 320, 30)
        tap.equal((report["counts"]["delivered"], report["counts"]["cancelled"]), (20, 300), f"{words}: 20 delivered, 300 cancelled")
        books = todoke.audit()
        tap.ok(books["agrees"] and books["status"] == 0, f"{words}: the books balance")
        wrong = todoke.run("queue", "purge")
        tap.ok(wrong.returncode == 2 and "--brand" in wrong.stderr, f"{words}: a purge of everything must be said")
        wrong = todoke.run("queue", "purge", "--older-than", "yesterday")
        tap.ok(wrong.returncode == 2 and "yesterday" in wrong.stderr, f"{words}: an age that is none is named")
        wrong = todoke.run("queue", "hold", "--campaign", "autumn")
        tap.ok(wrong.returncode == 2 and "the campaign autumn is finished" in wrong.stderr, f"{words}: one that is over cannot be held", wrong.stderr)
        tap.equal(todoke.stop(), 0, f"{words}: it stops")


with Tap() as shown:
    for store_name, store_url in stores("queue_order"):
        story(shown, store_name, store_url)
