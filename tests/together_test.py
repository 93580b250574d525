"""Identical mail goes to several recipients in one transaction, where its brand wants that (R20, M12, M24, S12, F1).

A program hands in one mail for fifty people. To a receiver that takes them all, to a real Postfix that takes twenty a transaction, and to a
sink while the server is killed. Then error mail to the return path that they shared.

KILLS=20 makes it 20 kills instead of 2; SEED=N repeats one."""
import collections
import os
import random
import re
import shutil
import smtplib
import time

from catcher import Catcher
from dsn import dsn
from postfix_instance import PostfixInstance
from submission import DOOR, RECEIVER, SINK, STARTTLS, TRUSTED, ZONE, door
from tap import Tap
from todoke import NET, PORT, Place, until

PEOPLE = 50
POSTFIX = f"{NET}.12"
KILLS, SEED = int(os.environ.get("KILLS") or 2), int(os.environ.get("SEED") or random.randrange(1 << 31))


def hand_in(recipients, subject):
    with smtplib.SMTP(DOOR, STARTTLS, timeout=90, source_address=(TRUSTED, 0)) as client:
        return client.sendmail("me@shop.example", recipients, f"From: Shop <news@shop.example>\r\nTo: all@shop.example\r\nSubject: {subject}\r\n\r\nhello, all\r\n")


def everybody(prefix, domain, count=PEOPLE):
    return [f"{prefix}{number}@{domain}" for number in range(count)]


def ended(todoke, domain, wanted, seconds=30):
    """Until so many deliveries to the domain are over; state -> how many."""
    def states():
        found = collections.Counter(state for address, state in todoke.states().items() if address.endswith("@" + domain))
        return found if found["delivered"] + found["bounced"] >= wanted else None
    return until(states, seconds, f"{wanted} deliveries at {domain}")


def show_one_transaction(tap, todoke, catcher):
    people = everybody("p", "recv.example")
    catcher.refuse.update({"p7@recv.example": "550 5.1.1 User unknown", "p8@recv.example": "450 4.2.0 greylisted"})
    tap.equal(hand_in(people, "one for all"), {}, "one mail is handed in for fifty people")
    until(lambda: sum(len(mail["to"]) for mail in catcher.mails) >= PEOPLE - 2, 30, "the mail at the receiver")
    catcher.refuse.pop("p8@recv.example")
    states = ended(todoke, "recv.example", PEOPLE)
    tap.equal(states, {"delivered": PEOPLE - 1, "bounced": 1}, "one was refused for good, one for a while, and no other (R20, M12)")
    together = [mail for mail in catcher.mails if len(mail["to"]) > 1]
    tap.ok(len(catcher.mails) <= 10 and len(max(together, key=lambda mail: len(mail["to"]))["to"]) >= 10, "several recipients went in one transaction (R20)",
           str([len(mail["to"]) for mail in catcher.mails]))
    tap.equal(sorted(to for mail in catcher.mails for to in mail["to"] if to.endswith("@recv.example")), sorted(set(people) - {"p7@recv.example"}), "each got it once")
    tap.equal(len({mail["from"] for mail in together}), 1, "they share one return path (M24)")
    return together[0]["from"], together[0]["to"]


def show_error_mail(tap, todoke, path, members):
    """S12, M24: only whom it names, and only who was among them."""
    def excluded():
        return {row["address"] for row in todoke.rows("suppress", "list")}

    def arrive(recipient):
        before = todoke.sql("SELECT COUNT(*) FROM inbound WHERE state = 1")[0][0]
        with smtplib.SMTP(todoke.mail_in, PORT, timeout=90) as connection:
            connection.sendmail("", [path], dsn(recipient, to=path))
        until(lambda: todoke.sql("SELECT COUNT(*) FROM inbound WHERE state = 1")[0][0] > before, 20, "the error mail is read")
    def of_people(): # what tells the sender of a failure is a delivery, too, and has its own time
        return {address: state for address, state in todoke.states().items() if address != "me@shop.example"}
    before, states = excluded(), of_people()
    for words, stranger in (("somebody who was not in it", "eve@recv.example"), ("somebody of another domain", "p1@limit.example"), ("an address of ours", "news@shop.example")):
        arrive(stranger)
        tap.ok(excluded() == before and of_people() == states, f"error mail about {words} changes nobody")
    tap.equal(len(todoke.events("unverified")), 3, "and is counted as unverified (S12)")
    arrive(members[3])
    tap.equal((excluded() - before, todoke.states()[members[3]]), ({members[3]}, "bounced"), "error mail about one of them ends his delivery and excludes him")
    tap.equal({address for address, state in of_people().items() if state != states[address]}, {members[3]}, "and nobody else's")


def show_postfix(tap, place, todoke):
    """A receiver that nobody here wrote: 452 4.5.3 behind the twentieth."""
    if not shutil.which("postfix") or os.geteuid() != 0:
        return tap.skip("a Postfix that takes twenty recipients a transaction", "no Postfix, or not root")
    postfix = PostfixInstance(place.path("postfix"), [(POSTFIX, PORT)])
    os.chmod(place.dir, 0o755)
    main = {"myhostname": "mx.limit.example", "mynetworks": "127.0.0.9/32", "alias_maps": "", "relay_domains": "limit.example", "relay_transport": "discard:",
            "smtpd_recipient_limit": "20", "smtpd_recipient_overshoot_limit": "1000", "smtpd_relay_restrictions": "reject_unauth_destination"}
    postfix.configure(f"{POSTFIX}:{PORT} inet n - n - - smtpd\n", "".join(f"{name} = {value}\n" for name, value in main.items()))
    try:
        postfix.start()
        hand_in(everybody("p", "limit.example"), "to Postfix")
        tap.equal(ended(todoke, "limit.example", PEOPLE), {"delivered": PEOPLE}, "a Postfix that takes twenty a transaction gets all fifty")
        deferred = [event for event in todoke.events("deferred") if event["address"].endswith("@limit.example")]
        tap.equal(deferred, [], "who heard 452 went in the next transaction, and was not deferred (R20)")
        counts = [int(count) for count in re.findall(r"nrcpt=(\d+) \(queue active\)", until(lambda: postfix.log() if sum(int(n) for n in re.findall(r"nrcpt=(\d+) \(queue active\)", postfix.log())) >= PEOPLE else None, 20, "Postfix' log"))]
        tap.ok(sum(counts) == PEOPLE and len(counts) <= 10, "and they were few transactions", str(counts))
    finally:
        postfix.stop()
    return None


def show_kills(tap, place, todoke):
    """F1, R22: kill -9 while batches are on their way."""
    chance = random.Random(SEED)
    record = place.path("record.tsv")
    sink = place.sink(SINK, "--record", record, "--delay", "20")
    people = [address for mail in range(3) for address in everybody(f"m{mail}p", "sink.example", 250)]
    for mail in range(3):
        hand_in(people[mail * 250:(mail + 1) * 250], f"mail {mail}")
    opened, doubtful = 0, set()
    for _ in range(KILLS):
        def got():
            return open(record, encoding="utf-8").read().count("\n") if os.path.exists(record) else 0 # pylint: disable=consider-using-with
        before = got()
        until(lambda: got() > before + 30 or got() >= len(people), 30, "some arrive", 0.005) # pylint: disable=cell-var-from-loop
        time.sleep(chance.random() * 0.03)
        opened += todoke.kill()
        todoke.serve(seconds=60)
        doubtful |= {row["address"] for row in todoke.rows("queue", "list", "--state", "in_doubt", "--limit", "100000")} | todoke.doubted()
    ended(todoke, "sink.example", len(people), 90)
    sink.end()
    with open(record, encoding="utf-8") as file:
        got = collections.Counter(line.split("\t")[1] for line in file)
    twice = {who for who, count in got.items() if count > 1}
    tap.equal(sorted(set(people) - set(got))[:5], [], f"{KILLS} kills: nobody is lost (F1)")
    tap.ok(sum(count - 1 for count in got.values()) <= opened * PEOPLE, f"{len(twice)} came twice, of one transaction for each of {opened} connections (R22)")
    tap.equal(sorted(twice - doubtful)[:5], [], "each of these was named by `queue list --state in_doubt`")
    audit = todoke.audit(60)
    tap.ok(audit["agrees"] and audit["accepted"] == audit["sum"], "the books balance (R34)", str(audit))
    tap.note(f"{KILLS} kills, seed {SEED}, {len(doubtful)} in doubt, {len(twice)} twice")


with Tap() as tap, Place("together") as place:
    zone = {**ZONE, "limit.example": {"MX": [[10, "mx.limit.example"]]}, "mx.limit.example": {"A": [POSTFIX]}}
    # connections stay open, so that those which stand at a kill are all there are
    place.write("sites/loopback.yaml", "name: loopback\nlabel: a sink\nconnections: 5\nmessages_per_connection: 100000\nrate: none\nnew_connections: none\n")
    todoke = door(place, in_doubt__wait="2m", workers=2, sites__folder=place.path("sites"))
    todoke.zone(zone)
    tap.ok("recipients a transaction 50" in todoke.ok("source", "assign", "Hanamaru", "--recipients", str(PEOPLE)), "a brand wants fifty recipients a transaction")
    tap.ok(todoke.run("source", "assign", "Hanamaru", "--recipients", "1001").returncode == 2, "and no more than a thousand")
    todoke.serve()
    with Catcher(RECEIVER, PORT) as catcher:
        path, members = show_one_transaction(tap, todoke, catcher)
        show_error_mail(tap, todoke, path, members)
    show_postfix(tap, place, todoke)
    show_kills(tap, place, todoke)
