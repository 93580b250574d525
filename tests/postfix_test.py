"""A real Postfix takes a campaign, refuses, relays and bounces; its own error mail comes back and is understood (U2, U3, S7, S10, S17, S30, S71, S72).

A hundred people at one domain whose MX is that Postfix (tests/postfix.py): 20 unknown (half refused in the conversation, half
accepted and bounced by Postfix afterwards), 5 over quota or refused by a policy map, 2 whose next hop is dead. Nothing here is
simulated: texts, TLS, queues and delivery status notifications are Debian's Postfix."""
import os
import shutil

from independent import dkim_by_python
from postfix import DOMAIN, People, Postfix
from tap import Tap
from todoke import NET, Place, until

OUTER, INNER, DEAD, MAIL_IN = f"{NET}.10", f"{NET}.11", f"{NET}.12", f"{NET}.2"
NAME = "a campaign of a hundred to a real Postfix"

# people, what their delivery ends as, the reason, told by (1: a reply in the conversation, 2: error mail), the contact is excluded
FATES = [
    ("delivered", People.GOOD, "delivered", None, None, False),
    ("unknown in the conversation (S17)", People.UNKNOWN, "bounced", "user_unknown", 1, True),
    ("unknown to the server behind (U3)", People.GONE, "bounced", "user_unknown", 2, True),
    ("unknown behind an alias: the error mail names another address", People.MOVED, "bounced", "user_unknown", 2, True),
    ("over quota in the conversation: 552 5.2.2 is soft (S30)", People.QUOTA, "deferred", "mailbox_full", 1, False),
    ("the mailbox file is full: told by error mail", People.FULL, "bounced", "mailbox_full", 2, False),
    ("refused by a policy map (S33)", People.POLICY, "bounced", "policy_violation", 1, False),
    ("given up by Postfix: never the address's fault (S7)", People.UNREACHED, "bounced", ("network_error", "expired"), 2, False),
]


def zone_of(dkim_name="", dkim_record=""):
    zone = {
        DOMAIN: {"MX": [[10, f"mx.{DOMAIN}"]]},
        f"mx.{DOMAIN}": {"A": [OUTER]},
        "bounce.shop.example": {"MX": [[10, "mta.shop.example"]], "TXT": [f"v=spf1 ip4:{MAIL_IN} -all"]},
        "mta.shop.example": {"A": [MAIL_IN]},
    }
    if dkim_name:
        zone[dkim_name] = {"TXT": [dkim_record]}
    return zone


def show_fates(tap, todoke):
    states, events = todoke.states(), todoke.events()
    excluded = {address for address, in todoke.sql("SELECT address FROM suppression")}
    for what, people, state, reason, origin, is_excluded in FATES:
        wrong = []
        for who in people:
            last = [event for event in events if event["address"] == who and event["kind"] in ("bounced", "deferred", "expired")]
            told = last[-1] if last else {"reason": None, "origin": None}
            wanted = reason if isinstance(reason, tuple) else (reason,)
            if states.get(who) != state or told["reason"] not in wanted or told["origin"] != origin or (who in excluded) != is_excluded:
                wrong.append(f"{who}: {states.get(who)} {told} excluded {who in excluded}")
        tap.ok(not wrong, f"{len(people)} {what}", "\n".join(wrong))
    return events


def show_report(tap, todoke):
    report = todoke.report("autumn")
    counts = {state: count for state, count in report["counts"].items() if count}
    tap.equal(counts, {"delivered": 73, "bounced": 25, "deferred": 2}, "the report: 73 delivered, 25 bounced, 2 to try again")
    reasons = {}
    for row in report["reasons"]:
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["count"]
    tap.equal([reasons.get(reason) for reason in ("user_unknown", "mailbox_full", "policy_violation")], [20, 3, 2],
              "the report by reason: 20 unknown, 3 full, 2 policy (S8)")
    for row in report["reasons"]:
        tap.ok(row["ja"]["cause"] and row["ja"]["remedy"] and row["en"]["cause"] and row["en"]["remedy"],
               f"{row['reason']} has cause and remedy in both languages (S6)", str(row))
    audit = todoke.audit()
    tap.ok(audit["status"] == 0 and audit["agrees"] and audit["accepted"] == audit["sum"] == 100, "the books balance (R34)", str(audit))


def show_notices(tap, todoke, events):
    notices = [event for event in events if event["origin"] == 2]
    failed = [event for event in notices if event["kind"] == "bounced"]
    late = People.LATE_UNKNOWN + People.FULL + People.UNREACHED
    tap.equal(sorted(event["address"] for event in failed), sorted(late), "every error mail of Postfix meets its own delivery, once (U3)")
    tap.equal({event["authenticity"] for event in notices}, {"genuine"}, "each is proven genuine by its return path")
    tap.equal(todoke.sql("SELECT count(*) FROM event WHERE kind = 19"), [(0,)], "none is left unverified (S12)")
    delays = {event["address"] for event in notices if event["kind"] == "delay_notice"}
    tap.equal(delays, set(People.UNREACHED), "\"Delayed Mail (still being retried)\" is a notice, not a failure (S7)")
    tap.equal(todoke.sql("SELECT count(*) FROM inbound WHERE state <> 1"), [(0,)], "every error mail was read")
    once = todoke.sql("SELECT count(*) FROM delivery WHERE state = 6 AND attempts <> 1")
    tap.equal(once, [(0,)], "what was refused for good was tried once (S10)")


def show_mails(tap, postfix, zone):
    mails = postfix.mails()
    tap.equal(sorted(mails), sorted(People.GOOD), "the mail lies in every good mailbox")
    tap.ok(all(len(found) == 1 for found in mails.values()), "once")
    tap.ok(all(b"(using TLSv1." in found[0].split(b"\n\n")[0] for found in mails.values()), "it came over TLS, says Postfix's Received")
    mail = mails[People.GOOD[0]][0].split(b"\n")
    while mail[0].startswith((b"Return-Path:", b"X-Original-To:", b"Delivered-To:", b"Received:", b"\t", b" ")):
        mail.pop(0)
    mail = b"\r\n".join(mail)
    tap.ok(dkim_by_python(mail, zone), "its signature verifies after Postfix (S36)", mail[:3000].decode("utf-8", "replace"))


def second_campaign(tap, todoke):
    todoke.campaign("winter")
    todoke.ok("campaign", "send", "winter")
    report = todoke.settled("winter", 80, 90, owed=2)
    tap.equal(report["left_out"], 20, "the second campaign leaves the 20 unknown out (S71)")
    tap.equal({row["why"]: row["count"] for row in report["left_out_by"]}, {"error": 20}, "and says why")


def story(tap, place):
    os.chmod(place.dir, 0o755) # Postfix's own users walk through it
    postfix = Postfix(place.path("postfix"), OUTER, INNER, DEAD, "bounce.shop.example", MAIL_IN)
    place.cleanups.append(postfix.stop)
    postfix.start()
    todoke = place.installation(zone=zone_of())
    zone = zone_of(*todoke.brand())
    todoke.zone(zone)
    todoke.people(People.ALL)
    todoke.campaign("autumn")
    todoke.serve()
    todoke.ok("campaign", "send", "autumn")
    todoke.settled("autumn", len(People.ALL), 90, owed=len(People.QUOTA))
    late = len(People.LATE_UNKNOWN + People.FULL + People.UNREACHED)
    try:
        until(lambda: todoke.sql("SELECT count(*) FROM event WHERE kind = 5 AND origin = 2")[0][0] >= late, 90, "Postfix's error mail", 0.2)
        until(lambda: todoke.report("autumn")["counts"]["bounced"] >= 25, 20, "the report has counted it", 0.2)
    finally:
        tap.note("\n".join(line for line in postfix.log().splitlines() if "bounced" in line or "fatal" in line)[:3000])
    events = show_fates(tap, todoke)
    show_report(tap, todoke)
    show_notices(tap, todoke, events)
    show_mails(tap, postfix, zone)
    second_campaign(tap, todoke)
    tap.equal(todoke.stop(), 0, "the server ends cleanly")


with Tap() as tap:
    if os.geteuid() != 0:
        tap.skip(NAME, "needs root: Postfix starts its own processes as other users")
    elif not shutil.which("postfix"):
        tap.skip(NAME, "Debian's postfix is not installed (./run setup)")
    else:
        with Place("postfix") as place:
            story(tap, place)
