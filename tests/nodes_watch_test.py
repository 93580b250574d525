"""Two nodes on one PostgreSQL store: what watches what comes back does so once. A carrier that calls everybody unknown is disbelieved in the
buckets of both nodes (R36), forged error mail taken in by both raises one alarm, of which one mail tells the operator (S12, S13); every report is
counted once; when the node that leads is killed the other one goes on."""
import email
import email.policy
import json
import re
import smtplib
import time

from dsn import dsn
from nodes import node, number, shared, sql, store_url
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Late, Place, until

MX, OPS = f"{NET}.60", f"{NET}.61"
ZONE = {"keitai.example": {"MX": [[10, "mx.keitai.example"]]}, "mx.keitai.example": {"A": [MX]},
        "ops.example": {"MX": [[10, "mx.ops.example"]]}, "mx.ops.example": {"A": [OPS]}}
PEOPLE = 200


def number_of(address):
    return int(address[1:address.index("@")])


def told(ops):
    """The ids of the alarms that the operator was mailed about, in order."""
    read = [email.message_from_bytes(mail, policy=email.policy.default).get_content() for _, _, mail in ops.mails]
    return [found.group(1) for text in read for found in [re.search(r"todoke alarm ack (\d+)", text)] if found]


def disbelieved(tap, url, one, two, carrier):
    one.people([f"u{n}@keitai.example" for n in range(PEOPLE)])
    one.campaign("autumn")
    two.ok("campaign", "send", "autumn")
    one.settled("autumn", PEOPLE, 60, owed=PEOPLE)
    try:
        until(lambda: (lambda counts: (counts["held"], counts["delivered"]) == (PEOPLE * 9 // 10, PEOPLE // 10))(one.report("autumn")["counts"]), 60,
              "nine of ten are held, and the others got it")
    except Late as late: # what there is instead
        rows = [dict(row, at=None) for row in one.rows("queue", "list", "--limit", "1000") if row["state"] != "held"]
        raise Late(f"{late}\n{one.report('autumn')['counts']}\n{one.audit(1)}\n{rows[:5]}\n{one.ok('explain', 'site', 'mx.keitai.example', '--lang', 'en')}\n"
                   f"{one.rows('guard', 'list')}\n{sql(url, 'SELECT kind, state_before, state_after, COUNT(*) FROM event GROUP BY 1, 2, 3 ORDER BY 1, 2, 3')}\n"
                   f"{one.server.said()[-1500:]}\n{two.server.said()[-1500:]}") from None
    time.sleep(2) # and it stays so
    counts = one.report("autumn")["counts"]
    tap.equal((counts["delivered"], counts["held"], counts["bounced"]), (PEOPLE // 10, PEOPLE * 9 // 10, 0), "what was refused before anybody could notice is taken back, in both nodes' buckets")
    tap.equal(number(url, "SELECT COUNT(DISTINCT bucket / 128) FROM held_verdict"), 2, "verdicts of both are held")
    tap.equal(two.rows("suppress", "list"), [], "nobody is excluded")
    sites = [alarm for alarm in one.rows("alarm", "list") if alarm["kind"] == "site_guard"]
    tap.equal(len(sites), 1, "one alarm of it")
    carrier.judge = lambda address: None
    two.ok("guard", "retry", "mx.keitai.example")
    one.settled("autumn", PEOPLE, 60)
    counts = {state: n for state, n in one.report("autumn")["counts"].items() if n}
    tap.equal(sum(counts.values()), PEOPLE, "each is counted once")
    tap.equal(counts, {"delivered": PEOPLE}, "the held mails go when a person says so")


def forged(one, two, count):
    for todoke in (one, two):
        with smtplib.SMTP(todoke.mail_in, PORT, timeout=90) as connection:
            for n in range(count):
                connection.sendmail("", ["postmaster@bounce.shop.example"], dsn(f"x{n}@keitai.example", host=f"mx{n}.attacker.example"))


def alarmed(tap, url, one, two, ops):
    forged(one, two, 120)
    alarms = until(lambda: [alarm for alarm in two.rows("alarm", "list") if alarm["kind"] == "unverified_mail"], 60, "the alarm")
    until(lambda: number(url, "SELECT COUNT(*) FROM inbound WHERE state = 0") == 0, 30, "all is read")
    tap.equal(number(url, "SELECT COUNT(*) FROM event WHERE kind = 19"), 240, "each of them is read once, whichever node took it")
    until(lambda: one.rows("alarm", "list") and number(url, "SELECT CAST(SUM(n) AS BIGINT) FROM alarm_tally WHERE name LIKE 'unverified%'") == 240, 30, "all are counted, once")
    until(lambda: alarms[0]["id"] in told(ops), 30, "the mail to the operator about it")
    tap.equal(len(alarms), 1, "one alarm")
    return alarms


with Tap() as tap:
    url = store_url("watch")
    if not url:
        tap.skip("two nodes watch once", "no PostgreSQL (run below tools/with-postgres)")
    else:
        with Place("watch") as place:
            carrier = Receiver(MX, PORT, lambda address: f"550 Unknown user {address}" if number_of(address) % 10 else None)
            ops = Receiver(OPS, PORT)
            one = node(place, url, 1, ZONE, alarm__mail_to="ops@ops.example")
            one.brand()
            two = node(place, url, 2, ZONE, alarm__mail_to="ops@ops.example")
            one.serve()
            two.serve()
            shared(url, 1, 2)
            listed = {row["node"]: (row["state"], row["buckets"]) for row in one.rows("node", "list")}
            tap.equal(listed, {1: ("alive", 128), 2: ("alive", 128)}, "todoke node list has both")
            disbelieved(tap, url, one, two, carrier)
            alarmed(tap, url, one, two, ops)
            one.kill()
            until(lambda: number(url, "SELECT COUNT(*) FROM lease WHERE node = 2") == 256, 30, "node 2 leads")
            tap.equal([(row["node"], row["state"], row["leads"]) for row in two.rows("node", "list")], [(1, "stopped", False), (2, "alive", True)], "and the list says so")
            two.campaign("after")
            two.ok("campaign", "send", "after")
            report = two.settled("after", PEOPLE, 60)
            tap.equal(report["accepted"], PEOPLE, "the one that is left expands and finishes what comes")
            tap.equal(len(set(told(ops))), len(told(ops)), "no alarm was told twice")
            audit = two.audit(60)
            tap.ok(audit["status"] == 0 and audit["accepted"] == audit["sum"], "the books balance", json.dumps(audit))
            tap.equal(two.stop(), 0, "it stops")
