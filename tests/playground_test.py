"""The playground's receivers, spoken to by Python's own SMTP and TLS: every fate is met, every notice comes back.

Shows part of issue "the main job" (6): real SMTP with real TLS on loopback, the behaviours and their texts, error mail,
complaints, vacation replies and forgeries by SMTP to the return path."""
import base64
import email
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dkim
from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TODOKE = os.environ.get("TODOKE", os.path.join(ROOT, "build", "todoke"))
PORT = 20000 + os.getpid() % 12000 # below those that the kernel gives to clients
RETURN_PATH = "b-aaaabbbbccccddddeeeeffffgggg2222@bounce.shop.example"


class ReturnPath(threading.Thread):
    """A plain little SMTP receiver for what comes back."""

    def __init__(self):
        super().__init__(daemon=True)
        self.mails, self.refuse_first = [], True
        self.socket = socket.create_server(("127.0.0.1", PORT), backlog=50)

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def talk(self, peer):
        with peer, peer.makefile("rwb") as stream:
            def say(text):
                stream.write(text.encode() + b"\r\n")
                stream.flush()
            say("220 bounce.shop.example ESMTP")
            sender = to = ""
            for line in stream:
                word = line[:4].upper()
                if word == b"MAIL":
                    sender = line.split(b"<")[1].split(b">")[0].decode()
                elif word == b"RCPT":
                    to = line.split(b"<")[1].split(b">")[0].decode()
                    if self.refuse_first: # the courier must come again
                        self.refuse_first = False
                        say("451 4.3.0 not yet")
                        continue
                elif word == b"DATA":
                    say("354 go on")
                    lines = []
                    for row in stream:
                        if row == b".\r\n":
                            break
                        lines.append(row[1:] if row.startswith(b".") else row)
                    self.mails.append((sender, to, b"".join(lines)))
                elif word == b"QUIT":
                    say("221 bye")
                    return
                say("250 ok")


def mail(size=0):
    body = "こんにちは。\r\n" * 3 + ("x" * 70 + "\r\n") * (size // 72)
    return ("From: Shop <news@shop.example>\r\nTo: you\r\nSubject: =?utf-8?B?44GK55+l44KJ44Gb?=\r\nMessage-ID: <m%d@shop.example>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" % time.time_ns()
            + body).encode()


def hosts(zone):
    """address domain -> IP of its receiver, by the zone."""
    found = {}
    for name, records in zone.items():
        for _, host in records.get("MX", []):
            if host and "A" in zone.get(host, {}):
                found[name] = zone[host]["A"][0]
    return found


def deliver(ip, to, message, starttls=True, sender=RETURN_PATH):
    """One mail on a connection of its own: (stage, code, text)."""
    try:
        connection = smtplib.SMTP(ip, PORT, local_hostname="mta.shop.example", timeout=5 if "silent" in to else 90)
    except smtplib.SMTPConnectError as refused:
        return "connect", refused.smtp_code, str(refused.smtp_error)
    except ConnectionRefusedError:
        return "connect", 0, "refused"
    except (ConnectionResetError, smtplib.SMTPServerDisconnected, TimeoutError) as lost:
        return "connect", 0, "silent" if "timed out" in str(lost) else "reset" if "reset" in str(lost).lower() else str(lost)
    with connection:
        connection.ehlo()
        tls = starttls and connection.has_extn("starttls")
        if tls:
            connection.starttls(context=ssl._create_unverified_context())
            connection.ehlo()
        code, text = connection.mail(sender, ["SIZE=%d" % len(message)] if connection.has_extn("size") else [])
        if code != 250:
            return "mail", code, text.decode()
        code, text = connection.rcpt(to)
        if code != 250:
            return "rcpt", code, text.decode()
        code, text = connection.data(message)
        return ("tls " if tls else "") + "dot", code, text.decode()


CONVERSATIONS = [  # what, to, stage, code, words
    ("accepts", "taro+accept@yahoo-jp.example", "tls dot", 250, "queued"),
    ("unknown user, Gmail-like", "a+user_unknown@gmail.example", "rcpt", 550, "does not exist"),
    ("unknown user, docomo-like", "a+user_unknown@docomo.example", "rcpt", 550, "Unknown user a+user_unknown@docomo.example"),
    ("unknown user, au-like", "a+user_unknown@ezweb.example", "rcpt", 550, "<a+user_unknown@ezweb.example>: User unknown"),
    ("the person's filter, au-like", "a+filtered@au.example", "rcpt", 550, ": User unknown"),
    ("unknown user, SoftBank-like", "a+user_unknown@softbank.example", "rcpt", 550, "Invalid recipient"),
    ("unknown user, Yahoo-Inc-like", "a+user_unknown@yahoo.example", "rcpt", 552, "mailbox not found"),
    ("unknown user, Outlook-like", "a+user_unknown@outlook.example", "rcpt", 550, "prod.protection.outlook.com"),
    ("a tenant of the Outlook-like", "a+user_unknown@tokai-kogyo.example", "rcpt", 550, "prod.protection.outlook.com"),
    ("full mailbox (S30)", "a+mailbox_full@yamada-shoten.example", "rcpt", 552, "5.2.2"),
    ("full mailbox, docomo's words", "a+mailbox_full@docomo.example", "rcpt", 552, "Too much mail data"),
    ("has moved", "a+has_moved@icloud.example", "rcpt", 550, "5.1.6"),
    ("account disabled", "a+suspended@gmail.example", "rcpt", 550, "5.2.1"),
    ("spam refusal (S33)", "a@spamwall.example", "tls dot", 550, "5.7.1"),
    ("virus refusal (S44)", "a@viruswall.example", "tls dot", None, "5.7.1"),
    ("company policy", "a@naiki.example", "tls dot", 550, "gcdp"),
    ("line too long (S46)", "a@furui-gateway.example", "tls dot", 500, "Line Too Long"),
    ("blocklist", "a@blocklist.example", "mail", 550, "S3150"),
    ("another's domain", "a@example.com", "rcpt", 554, "Relay access denied"),
    ("connection refused", "a@port-closed.example", "connect", 0, "refused"),
    ("reset after connect", "a@reset.example", "connect", 0, "reset"),
    ("never a banner", "a@silent.example", "connect", 0, "silent"),
    ("no TLS offered", "a+accept@au.example", "dot", 250, "queued"),
]


def story(tap, come_back, zone, key):
    ips = hosts(zone)
    authentication(tap, ips, key)
    for what, to, stage, code, words in CONVERSATIONS:
        message = mail(500) if "furui" in to else mail()
        ip = ips.get(to.split("@")[1], ips["accept.example"])
        got = deliver(ip, to, message)
        tap.ok(got[0] == stage and (code is None or got[1] == code) and words in got[2], f"{what}: {to}", str(got))

    big = mail(3000)
    tap.equal(deliver(ips["garakei.example"], "a@garakei.example", big)[:2], ("mail", 552), "too big, told by SIZE (S24)")
    got = deliver(ips["chiisana-hako.example"], "a@chiisana-hako.example", big)
    tap.ok(got[:2] == ("tls dot", 552) and "5.3.4" in got[2], "too big, told at the end (S24)", str(got))

    got = deliver(ips["city-hinode.example"], "a@city-hinode.example", mail())
    tap.ok(got[0] == "rcpt" and got[1] in (450, 451), "greylisted at first", str(got))
    got = deliver(ips["isogashii.example"], "a@isogashii.example", mail())
    tap.ok(got[:2] == ("connect", 421), "busy at first (S37)", str(got))
    time.sleep(1.2)
    tap.equal(deliver(ips["city-hinode.example"], "a@city-hinode.example", mail())[1], 250, "taken after the wait")
    tap.equal(deliver(ips["isogashii.example"], "a@isogashii.example", mail())[1], 250, "busy no more")

    with ThreadPoolExecutor(8) as hands: # at once, so that they come faster than its rate on any machine
        codes = list(hands.map(lambda _: deliver(ips["yahoo.example"], "a+throttle@yahoo.example", mail(), starttls=False)[:2], range(150)))
    tap.ok(("rcpt", 421) in codes and sum(code in (250, 550) for _, code in codes) >= 25, "throttled above its rate (421 4.7.0)", str(set(codes)))

    with smtplib.SMTP(ips["docomo.example"], PORT, local_hostname="mta.shop.example", timeout=90) as connection:
        codes = []
        for _ in range(101):
            connection.ehlo_or_helo_if_needed()
            codes.append(connection.mail(RETURN_PATH)[0])
            if codes[-1] == 250:
                connection.rcpt("a+accept@docomo.example")
                connection.data(mail())
    tap.equal((codes[:100], codes[100:]), ([250] * 100, [421]), "docomo-like: 100 mails in one session, then 421")

    virus = mail() + b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*\r\n"
    got = deliver(ips["yamada-shoten.example"], "a+accept@yamada-shoten.example", virus)
    tap.ok(got[1] in (550, 554) and "irus" in got[2], "a real virus signature is refused anywhere (S44)", str(got))

    notices(tap, come_back, ips)


NOTICES = [  # what, to, mails that come, something in each
    ("bounces later, Exchange-like", "a+user_unknown_late@works-exchange.example", 1, b"Status: 5.1.10"),
    ("bounces later, qmail", "a+user_unknown_late@kaisha-mail.example", 1, b"Hi. This is the qmail-send program"),
    ("bounces later, Postfix", "a+user_unknown_late@onsen-ryokan.example", 1, b"Action: failed"),
    ("full, told later", "a+mailbox_full_late@works-exchange.example", 1, b"5.2.2"),
    ("delayed, then failed", "a@delay-relay.example", 2, b"Action: "),
    ("vacation", "a+vacation@yahoo-jp.example", 1, b"Auto-Submitted: auto-replied"),
]


def authentication(tap, ips, key):
    """DKIM, SPF and DMARC are really checked: signed by python3-dkim, looked up in the zone, judged by src/mailauth."""
    def signed(message, selector=b"s1"):
        return dkim.sign(message, selector, b"shop.example", key, canonicalize=(b"relaxed", b"relaxed")) + message

    stranger = "news@yamada-shoten.example" # whose SPF is "mx -all": not us
    forged_from = mail().replace(b"news@shop.example", b"ceo@yamada-shoten.example")
    changed = signed(mail()).replace("こんにちは".encode(), "こんばんは".encode(), 1)
    strict = "a@strict-auth.example"
    rows = [  # what, to, mail, envelope sender, code, words
        ("signed and aligned", "a+accept@gmail.example", signed(mail()), RETURN_PATH, 250, "queued"),
        ("SPF alone is enough (S36)", "a+accept@gmail.example", mail(), RETURN_PATH, 250, "queued"),
        ("DKIM alone is enough", "a+accept@gmail.example", signed(mail()), stranger, 250, "queued"),
        ("neither SPF nor DKIM (S49)", "a+accept@gmail.example", forged_from, stranger, 550, "5.7.26"),
        ("a changed body, a stranger's envelope: DMARC says reject", "a+accept@outlook.example", changed, stranger, 550, "5.7.515"),
        ("an unknown selector", "a+accept@docomo.example", signed(mail(), b"s9"), stranger, 550, "DMARC"),
        ("exact alignment wanted, SPF only relaxed", strict, signed(mail()), RETURN_PATH, 550, "Spf= pass , Dkim= pass"),
        ("exact alignment wanted and given", strict, signed(mail()), "news@shop.example", 250, "queued"),
        ("the null sender is checked by its HELO name", "a+accept@gmail.example", mail(), "", 250, "queued"),
    ]
    for what, to, message, sender, code, words in rows:
        got = deliver(ips[to.split("@")[1]], to, message, sender=sender)
        tap.ok(got[1] == code and words in got[2], f"authentication: {what}", str(got))
    got = deliver(ips["softbank.example"], "a+accept@softbank.example", mail(), sender="news@no-such-domain.example")
    tap.ok(got[:2] == ("mail", 553) and "no-such-domain.example does not exist" in got[2],
           "SoftBank-like: a sender whose domain does not exist", str(got))


def notices(tap, come_back, ips):
    for _, to, _, _ in NOTICES + [("", "a+complaint@yahoo-jp.example", 1, b""), ("", "a+forged@kaisha-mail.example", 1, b"")]:
        got = deliver(ips[to.split("@")[1]], to, mail())
        tap.equal(got[1], 250, f"takes it first: {to}")
    end = time.monotonic() + 90
    while len(come_back.mails) < 9 and time.monotonic() < end:
        time.sleep(0.1)
    for what, to, count, words in NOTICES:
        found = [one for one in come_back.mails if to.encode() in one[2] and one[1] == RETURN_PATH]
        tap.ok(len(found) == count and all(words in text and sender == "" for sender, _, text in found),
               f"{what}: comes back to the return path from the null sender", f"{len(found)} mails: {found!r}"[:3000])
        for _, _, text in found:
            parsed = email.message_from_bytes(text)
            is_report = parsed.get_content_type() == "multipart/report"
            tap.ok(not parsed.defects and (not is_report or parsed.get_payload()[1].get_content_type() == "message/delivery-status"),
                   f"{what}: Python reads it without complaint", f"{parsed.defects} {text!r}"[:2000])
    complaints = [one for one in come_back.mails if one[1] == "fbl@bounce.shop.example"]
    tap.ok(len(complaints) == 1 and b"Feedback-Type: abuse" in complaints[0][2] and RETURN_PATH.encode() in complaints[0][2],
           "a complaint goes to the feedback address (ARF, U14)", repr(complaints)[:1500])
    forged = [one for one in come_back.mails if one[1] not in (RETURN_PATH, "fbl@bounce.shop.example")]
    tap.ok(len(forged) == 1 and forged[0][1].endswith("@bounce.shop.example") and forged[0][1].startswith("b-"),
           "a forged DSN has a token that is not ours (S12)", repr(forged)[:1500])


def new_key():
    key = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "DER"], input=key, capture_output=True, check=True).stdout
    return key, "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()


def main():
    key, record = new_key()
    zone = json.loads(subprocess.run([TODOKE, "playground", "--zone"], capture_output=True, check=True).stdout)
    with Tap() as tap, tempfile.TemporaryDirectory() as folder:
        tap.ok(all(ip.startswith(("127.", "::1")) for records in zone.values() for ip in records.get("A", []) + records.get("AAAA", [])),
               "every address of the zone is loopback")
        tap.equal(zone["null-mx.example"]["MX"], [[0, ""]], "null MX")
        come_back = ReturnPath()
        come_back.start()
        ledger = os.path.join(folder, "ledger")
        program = subprocess.Popen([TODOKE, "playground", "--port", str(PORT), "--late", "300", "--greylist", "1000", "--busy", "1000",
                                    "--dkim", "s1=" + record,
                                    "--ledger", ledger, "--inbox", os.path.join(folder, "inbox.mbox")], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        try:
            program.stderr.readline()
            story(tap, come_back, zone, key)
        finally:
            program.send_signal(signal.SIGTERM)
            said, noise = program.communicate(timeout=90)
        tap.equal(program.returncode, 0, "ends well")
        tap.equal(noise, b"", "without a word on stderr")
        counts = json.loads(said)
        tap.ok(counts["dkim_pass"] >= 4 and counts["spf_pass"] > counts["dkim_pass"] and counts["dmarc_pass"] > 4,
               "it counts what passed", str(counts))
        tap.ok(sum(counts["notices_sent"].values()) == len(come_back.mails) and not counts["notices_failed"],
               "it counts what it sent, and the deferred letter came again", f"{counts} {len(come_back.mails)}")
        with open(ledger, encoding="utf-8") as lines:
            rows = [line.rstrip("\n").split("\t") for line in lines]
        taken = sum(row[1] == "taken" for row in rows)
        tap.equal(taken, counts["accepted"], "the ledger has a line for each recipient taken")
        with open(os.path.join(folder, "inbox.mbox"), "rb") as file:
            mails = file.read().count(b"\nFrom ") + 1
        tap.equal(mails, taken + len(come_back.mails), "the inbox file has every mail")
        bad = subprocess.run([TODOKE, "playground", "--mail-in", "192.0.2.1"], capture_output=True, text=True, check=False)
        tap.ok(bad.returncode == 2 and "loopback" in bad.stderr and bad.stderr.count("\n") == 1, "an address outside is refused", bad.stderr)


main()
