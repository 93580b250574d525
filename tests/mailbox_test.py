"""Mailboxes elsewhere (issue 5, U4): error mail is fetched from a real Dovecot by IMAP and POP3, and from a Maildir; kill -9 between
fetching and deleting repeats nothing and loses nothing."""
import os
import random
import time

from dovecot import PASSWORD, Dovecot, is_there
from tap import Tap
from todoke import NET, Place, until

EACH = 40
SINK, BOX = f"{NET}.10", f"{NET}.20"
ZONE = {"many.example": {"MX": [[10, "mx.many.example"]]}, "mx.many.example": {"A": [SINK]}}


def report(recipient, path, header="Delivered-To"):
    return "\n".join([
        "Return-Path: <>", f"{header}: {path}", "From: Mail Delivery Subsystem <MAILER-DAEMON@mx.many.example>", f"To: <{path}>",
        "Subject: Returned mail: see transcript for details", "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="B"', "", "--B", "", "Your mail had a problem.", ".", "..two", "--B",
        "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mx.many.example", "", f"Final-Recipient: rfc822; {recipient}",
        "Action: failed", "Status: 5.2.2", "Diagnostic-Code: smtp; 552 5.2.2 Mailbox full", "", "--B--", ""]).encode()


def main():
    with Tap() as tap, Place("mailbox") as place:
        if not is_there():
            tap.skip("a Dovecot of our own", "needs root and dovecot-imapd, dovecot-pop3d")
            return
        place.sink(SINK, "--record", place.path("taken"))
        dovecot = Dovecot(place, BOX, "mail.other.example")
        todoke = place.installation(zone=ZONE)
        todoke.brand()
        people = [f"person{n}@many.example" for n in range(EACH * 6)]
        todoke.people(people)
        server = todoke.serve(test__time_percent="100")
        todoke.campaign("autumn")
        todoke.ok("campaign", "send", "autumn")
        todoke.settled("autumn", len(people), 120)
        with open(place.path("taken"), encoding="utf-8") as file:
            paths = {recipient: sender for _, recipient, sender, _ in (line.rstrip("\n").split("\t") for line in file)}
        parts = [people[n * EACH:(n + 1) * EACH] for n in range(6)]
        mails = [[report(who, paths[who]) for who in part] for part in parts]
        secret = place.write("secret", PASSWORD + "\n")

        def add(name, kind, user, port, *more):
            return todoke.ok("mailbox", "add", name, "--kind", kind, "--host", BOX, "--port", str(port), "--user", user, "--password-file", secret,
                             "--ca", dovecot.ca, "--every", "1", *more)

        bounced = lambda part: sum(todoke.states()[who] == "bounced" for who in part)
        inbound = lambda name: todoke.sql("SELECT COUNT(*) FROM inbound WHERE peer = ?", f"mailbox:{name}")[0][0]
        row = lambda name: next(found for found in todoke.rows("mailbox", "list") if found["name"] == name)

        # ── one after another ──
        dovecot.put("imap-left", mails[0])
        add("left", "imap", "imap-left", 2993)
        tap.ok(f"{EACH} mails" in todoke.ok("mailbox", "test", "left", "--loopback"), "mailbox test signs in and counts")
        until(lambda: bounced(parts[0]) == EACH, 30, "IMAP")
        rounds = row("left")["checked"]
        until(lambda: row("left")["checked"] > rounds, 30, "another round")
        tap.ok(inbound("left") == EACH and dovecot.holds("imap-left") == EACH, "IMAP over TLS: each mail once, and left there (UID remembered)")
        dovecot.put("imap-left", [report(parts[1][0], paths[parts[1][0]], "X-Original-To")])
        until(lambda: bounced(parts[1]) == 1, 20, "one more")
        tap.ok(inbound("left") == EACH + 1, "one that comes later is fetched alone")

        # the server counts anew: other numbers for the same mails, and one that came meanwhile
        validity = lambda: todoke.sql("SELECT uid_validity FROM mailbox WHERE name = 'left'")[0][0]
        counted, complaints = validity(), todoke.sql("SELECT COUNT(*) FROM event")[0][0]
        dovecot.put("imap-left", [report(parts[1][3], paths[parts[1][3]])])
        dovecot.count_anew("imap-left")
        until(lambda: bounced(parts[1]) == 2 and validity() != counted, 30, "the folder is read anew")
        rounds = row("left")["checked"]
        until(lambda: row("left")["checked"] > rounds, 10, "and another round")
        tap.ok(inbound("left") == EACH + 2, "UIDVALIDITY changed: every mail is met again, the one that is new is kept, no other twice", str(inbound("left")))
        tap.ok(todoke.sql("SELECT COUNT(*) FROM event")[0][0] == complaints + 1, "and nothing else is counted")

        dovecot.put("pop3-gone", mails[2])
        add("gone", "pop3", "pop3-gone", 2110, "--tls", "starttls", "--after", "delete")
        until(lambda: bounced(parts[2]) == EACH and dovecot.holds("pop3-gone") == 0, 30, "POP3")
        tap.ok(inbound("gone") == EACH, "POP3 with STLS: each mail once, deleted after it was kept")
        raw = todoke.sql("SELECT raw FROM inbound WHERE peer = 'mailbox:gone' LIMIT 1")[0][0].replace(b"\r\n", b"\n")
        tap.ok(any(raw == mail for mail in mails[2]), "byte for byte, but for line ends (lines that begin with a dot too)")

        dovecot.put("pop3-left", mails[1][1:3])
        add("pop-left", "pop3", "pop3-left", 2995)
        until(lambda: bounced(parts[1]) == 4, 30, "POP3, left")
        before = row("pop-left")["checked"]
        until(lambda: row("pop-left")["checked"] > before, 30, "another round")
        tap.ok(inbound("pop-left") == 2 and dovecot.holds("pop3-left") == 2, "POP3 over TLS: left there, and not fetched twice (UIDL remembered)")

        maildir = place.path("maildir")
        for name in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(maildir, name))
        for number, mail in enumerate(mails[3]):
            place.write(f"maildir/new/{number}.x.host", mail)
        todoke.ok("mailbox", "add", "local", "--kind", "maildir", "--folder", maildir, "--every", "1")
        until(lambda: bounced(parts[3]) == EACH and not os.listdir(os.path.join(maildir, "new")), 30, "the Maildir")
        tap.ok(inbound("local") == EACH and len(os.listdir(os.path.join(maildir, "cur"))) == EACH, "a Maildir: each once, new -> cur")

        large = b"Subject: large\n\n" + (b"x" * 76 + b"\n") * (51 * 1024 * 1024 // 77)
        for kind, port in (("imap", 2993), ("pop3", 2995)):
            user = f"{kind}-large"
            dovecot.put(user, [b"Subject: small\n\nx\n", large, b"Subject: small\n\ny\n"])
            add(user, kind, user, port, "--after", "delete")
            until(lambda user=user: inbound(user) == 2, 30, "the small ones")
            before = row(user)["checked"]
            until(lambda user=user, before=before: row(user)["checked"] > before and not row(user)["fault"], 20, "another round")
            before = row(user)["checked"]
            until(lambda user=user, before=before: row(user)["checked"] > before, 20, "and another")
            tap.ok(dovecot.holds(user) == 1, f"{kind}, --after delete: a mail of more than 50 MB is left where it is, the others go", str(dovecot.holds(user)))
            todoke.ok("mailbox", "remove", user)

        # ── what goes wrong is said ──
        wrong = place.write("wrong", "not this\n")
        todoke.ok("mailbox", "add", "wrong", "--kind", "imap", "--host", BOX, "--port", "2993", "--user", "x", "--password-file", wrong, "--ca", dovecot.ca, "--every", "1")
        done = todoke.run("mailbox", "test", "wrong", "--loopback")
        tap.ok(done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, f"a wrong password: status 2, one line: {done.stderr.strip()}")
        todoke.ok("mailbox", "add", "unknown", "--kind", "pop3", "--host", BOX, "--port", "2995", "--user", "x", "--password-file", secret, "--every", "1")
        done = todoke.run("mailbox", "test", "unknown", "--loopback")
        tap.ok(done.returncode == 3 and "certificate" in done.stderr.lower(), f"a certificate that nobody signed: {done.stderr.strip()}")
        until(lambda: row("wrong")["fault"] and row("unknown")["fault"], 30, "the faults of a round")
        tap.ok(True, "and mailbox list shows it")
        with open(todoke.store, "rb") as file:
            tap.ok(PASSWORD.encode() not in file.read(), "no password stands in the store in clear")
        for name in ("wrong", "unknown", "left", "gone", "pop-left", "local"):
            todoke.ok("mailbox", "remove", name)

        # ── kill -9 between fetching and deleting ──
        seed = int(os.environ.get("SEED") or random.randrange(1 << 31))
        chance = random.Random(seed)
        dovecot.put("imap-kill", mails[4])
        dovecot.put("pop3-kill", mails[5])
        kills = 0
        add("kill-imap", "imap", "imap-kill", 2143, "--tls", "starttls", "--after", "delete")
        add("kill-pop3", "pop3", "pop3-kill", 2995, "--after", "delete")
        for _ in range(6):
            before = inbound("kill-imap") + inbound("kill-pop3")
            until(lambda: inbound("kill-imap") + inbound("kill-pop3") > before or before == 2 * EACH, 30, "some are fetched", 0.001)
            time.sleep(chance.uniform(0, 0.02))
            todoke.kill()
            kills += 1
            server = todoke.serve(test__time_percent="100")
        until(lambda: dovecot.holds("imap-kill") + dovecot.holds("pop3-kill") == 0, 60, "both are empty")
        until(lambda: bounced(parts[4]) + bounced(parts[5]) == 2 * EACH, 30, "all are read")
        tap.ok(inbound("kill-imap") == EACH and inbound("kill-pop3") == EACH, f"{kills} times kill -9 in between: each mail is there once (SEED={seed})",
               f"{inbound('kill-imap')} and {inbound('kill-pop3')} of {EACH}")
        once = todoke.sql("SELECT COUNT(*), COUNT(DISTINCT address) FROM event WHERE kind = 5")[0]
        twice = todoke.sql("SELECT address FROM event WHERE kind = 5 GROUP BY address HAVING COUNT(*) > 1 LIMIT 1")
        if twice:
            tap.note([event for event in todoke.events() if event["address"] == twice[0][0]])
        tap.ok(once == (4 * EACH + EACH + 4, 4 * EACH + EACH + 4), "and each verdict came once", str(once))
        tap.ok(server.runs() and todoke.stop() == 0, "the server ends in good order")


main()
