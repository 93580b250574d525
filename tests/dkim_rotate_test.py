"""A brand's DKIM key is changed (M33): a new selector is made, the old key goes on signing until the DNS really has the new record, a wrong record
changes nothing, then a running server signs with the new one and the old one is kept for days. Every mail verifies, whenever it was sent."""
import json
import sqlite3

from catcher import Catcher
from submission import RECEIVER, TRUSTED, Talk, door
from tap import Tap
from todoke import PORT, Place, until

FROM = "From: Shop <app@shop.example>\r\n"


def zone_of(*rows):
    return json.dumps({row["name"]: {"TXT": [row["record"]]} for row in rows})


with Tap() as tap, Place("dkim_rotate") as place, Catcher(RECEIVER, PORT) as catcher:
    todoke = door(place)
    todoke.serve()

    def send(number):
        with Talk(source=TRUSTED) as talk:
            for line in ("EHLO me", "MAIL FROM:<app@shop.example>", f"RCPT TO:<n{number}@recv.example>", "DATA"):
                talk.say(line)
            talk.say(f"{FROM}Subject: number {number}\r\n\r\nhello\r\n.")
        return until(lambda: next((mail["data"] for mail in catcher.mails if f"n{number}@recv.example" in mail["to"]), None), 30, "the mail")

    def signed_by(mail, zone):
        done = todoke.run("check", "dkim", place.write("mail.eml", mail), "--dns", place.write("check.json", zone), "--json")
        return [(row["selector"], row["result"]) for row in json.loads(done.stdout)["signatures"]]

    def rotate(zone="{}"):
        done = todoke.run("dkim", "rotate", "Hanamaru", "--json", "--dns", place.write("zone.json", zone))
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr

    old = next(row for row in todoke.rows("dkim", "list") if row["state"] == "signing")
    old["name"] = f"{old['selector']}._domainkey.{old['domain']}"
    status, made = rotate()
    tap.equal((status, made["state"], made["selector"].startswith("todoke2"), made["record"].startswith("v=DKIM1")), (0, "waiting", True, True), "a new key is made and its record told")
    status, said = rotate()
    tap.equal((status, said["state"], said["selector"]), (1, "waiting", made["selector"]), "not published: it waits, and no third key is made")
    tap.ok(said["reason"], "and says why", said["reason"])
    status, said = rotate(zone_of({"name": made["name"], "record": old["record"]}))
    tap.equal((status, said["state"]), (1, "waiting"), "another key's record in the DNS changes nothing")
    both = zone_of(old, made)
    tap.equal(signed_by(send(1), both), [(old["selector"], "pass")], "meanwhile the old key signs")
    status, said = rotate(both)
    tap.equal((status, said["state"], said["retired"]), (0, "signing", old["selector"]), "published: the new key signs from now on")
    numbers = iter(range(2, 1000))
    until(lambda: signed_by(send(next(numbers)), both) == [(made["selector"], "pass")], 30, "the running server signs with it")
    tap.ok(True, "a running server takes it, and every mail between verified")
    rows = {row["selector"]: row for row in todoke.rows("dkim", "list")}
    tap.equal((rows[old["selector"]]["state"], rows[made["selector"]]["state"], bool(rows[old["selector"]]["record_stays_until"])), ("retired", "signing", True), "the old one is retired, and until when its record stays is told")
    for mail in catcher.mails:
        if [result for _, result in signed_by(mail["data"], both)] != ["pass"]:
            tap.ok(False, "a mail does not verify", mail["data"].decode()[:600])
    with sqlite3.connect(todoke.store, timeout=90) as db:
        db.execute("UPDATE dkim_key SET retired_ms = 1 WHERE selector = ?", (old["selector"],))
    db.close()
    rotate(both)
    tap.ok(old["selector"] not in [row["selector"] for row in todoke.rows("dkim", "list")], "weeks later, the next rotation forgets it")
    done = todoke.run("dkim", "rotate", "Nobody")
    tap.equal((done.returncode, len(done.stderr.strip().splitlines())), (2, 1), "a brand that is none is told")
    tap.equal(todoke.stop(), 0, "the server ends well")
