"""Programs hand in mail by SMTP: clients nobody here wrote, and everything that must not pass (issue 5: R1-R13, M1-M7, M13-M20, X1, X2, X4).

swaks, Python's smtplib, nodemailer, gsasl (SCRAM), smtp-source and Postfix submit; what reaches the receiver is looked at octet by octet."""
import base64
import email
import email.policy
import json
import os
import re
import shutil
import smtplib
import ssl
import subprocess

from catcher import Catcher
from contract import Api
from postfix_instance import PostfixInstance
from submission import DOOR, RECEIVER, SINK, STARTTLS, TLS, TRUSTED, ZONE, Talk, door, key
from tap import Tap
from todoke import NET, PORT, ROOT, Place, until

ARRIVALS = f"{NET}.2" # where error mail comes
FROM = "From: Shop <news@shop.example>\r\n"


def run(*command, seconds=60, stdin=None, env=None):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, input=stdin, check=False, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout + done.stderr


def of(catcher, who):
    return [mail for mail in catcher.mails if mail["to"] == [who]]


def read(mail):
    return email.message_from_bytes(mail["data"], policy=email.policy.default)


def arrives(catcher, who, seconds=20):
    return until(lambda: of(catcher, who), seconds, f"mail to {who}")[0]


# ── clients nobody here wrote ──

def show_swaks(tap, catcher, secret):
    if not shutil.which("swaks"):
        return tap.skip("swaks", "not installed")
    common = ["swaks", "--from", "me@shop.example", "--auth-user", "app", "--auth-password", secret, "--server", DOOR]
    for name, options in (("PLAIN in STARTTLS", ["--port", str(STARTTLS), "--tls", "--auth", "PLAIN"]),
                          ("LOGIN in STARTTLS", ["--port", str(STARTTLS), "--tls", "--auth", "LOGIN"]),
                          ("PLAIN in TLS from the first byte", ["--port", str(TLS), "--tlsc", "--auth", "PLAIN"])):
        who = f"swaks{len(catcher.mails)}@recv.example"
        status, said = run(*common, *options, "--to", who, "--header", "X-Todoke-Tag: swaks, test", "--body", "line one\n.\n..two\n")
        if tap.ok(status == 0, f"swaks: {name} (M16)", said):
            text = read(arrives(catcher, who)).get_content()
            tap.equal(text.splitlines()[:3], ["line one", ".", "..two"], f"swaks: {name}: the dots are what they were (M2)")
    status, said = run(*common, "--port", str(STARTTLS), "--tls", "--auth", "CRAM-MD5", "--to", "cram@recv.example")
    tap.ok(status != 0, "swaks: CRAM-MD5 is not offered (M16)", said)
    status, said = run(*common, "--port", str(STARTTLS), "--auth", "PLAIN", "--to", "clear@recv.example")
    tap.ok(status != 0 and "AUTH" not in re.findall(r"<-.*AUTH.*", said), "swaks: AUTH is not offered in clear (M16)", said)
    return None


def show_smtplib(tap, todoke, catcher, secret):
    context = ssl._create_unverified_context() # pylint: disable=protected-access
    with smtplib.SMTP(DOOR, STARTTLS, timeout=90) as client:
        client.starttls(context=context)
        client.login("app", secret)
        body = "Authentication-Results: mta.shop.example; dkim=pass\r\nAuthentication-Results: relay.example; none\r\n" + FROM + "Subject: =?UTF-8?B?44GU5rOo5paH?=\r\nBcc: secret@recv.example\r\nX-Todoke-Campaign: spring\r\n\r\n花より団子\r\n"
        refused = client.sendmail("app@shop.example", ["py1@recv.example", "py2@recv.example"], body.encode(), ["BODY=8BITMIME"])
        tap.equal(refused, {}, "smtplib: two recipients are taken")
    one, other = arrives(catcher, "py1@recv.example"), arrives(catcher, "py2@recv.example")
    tap.ok(one["data"] == other["data"] and one["from"] != other["from"], "the same mail for both, a return path of its own for each (M24)")
    tap.ok(all(mail["from"].startswith("b-") and mail["from"].endswith("@bounce.shop.example") for mail in (one, other)), "our signed return path is on the wire", one["from"])
    tap.ok(one["data"].isascii() and read(one).get_content() == "花より団子\r\n" or read(one).get_content() == "花より団子\n", "an 8-bit body is 7-bit before it is signed (R10, M17)", str(one["data"]))
    names = [name.lower() for name in read(one).keys()]
    tap.equal([names.count(name) for name in ("received", "date", "message-id", "dkim-signature", "bcc", "x-todoke-campaign")], [1, 1, 1, 1, 0, 0],
              "Received, Date, Message-ID and a signature are added; Bcc and what was for us only are gone")
    tap.equal(read(one).get_all("Authentication-Results"), ["relay.example; none"], "a verdict in our own name that is not ours is gone (M37)")
    tap.equal(todoke.sql("SELECT subject, label FROM message WHERE label <> ''"), [("ご注文", "spring")], "what its sender calls it is kept")
    with smtplib.SMTP_SSL(DOOR, TLS, timeout=90, context=context) as client:
        try:
            client.login("app", "todoke_" + "A" * 43)
            tap.ok(False, "smtplib: a wrong key is refused")
        except smtplib.SMTPAuthenticationError as error:
            unknown = None
            try:
                client.login("nobody", secret)
            except smtplib.SMTPAuthenticationError as second:
                unknown = (second.smtp_code, second.smtp_error)
            tap.equal(unknown, (error.smtp_code, error.smtp_error), "a wrong key and a wrong name sound the same (M16)")


def show_nodemailer(tap, catcher, secret):
    if not os.path.isdir(os.path.join(ROOT, "tests", "node", "node_modules", "nodemailer")):
        return tap.skip("nodemailer", "its npm packages are not installed (./run setup)")
    for mode, port in (("starttls", STARTTLS), ("secure", TLS)):
        status, said = run("node", os.path.join(ROOT, "tests", "node", "send.mjs"), DOOR, str(port), "app", secret, mode)
        tap.ok(status == 0 and said.count("250 2.0.0 accepted") == 3, f"nodemailer, pooled, {mode}", said)
    mail = read(arrives(catcher, "node3@recv.example"))
    tap.equal(mail["subject"], "ご注文 3", "nodemailer's subject arrives")
    tap.equal(mail.get_body(("plain",)).get_content().replace("\r\n", "\n").rstrip("\n"), "ありがとうございます。\n.\n..", "and its text, dots and all")
    return None


def show_scram(tap, secret):
    if not shutil.which("gsasl"):
        return tap.skip("SCRAM-SHA-256 by gsasl", "not installed")
    for name, password, is_good in (("the key", secret, True), ("another key", secret[:-1] + "x", False)):
        _, said = run("gsasl", "--smtp", "--mechanism", "SCRAM-SHA-256", "--connect", f"{DOOR}:{STARTTLS}", "--starttls", "--no-cb", "--x509-ca-file=",
                      "-a", "app", "-p", password, "--quality-of-protection=qop-auth", stdin="", seconds=20)
        tap.ok(("235 2.7.0" in said) == is_good and ("535 5.7.8" in said) == (not is_good), f"gsasl: SCRAM-SHA-256 with {name}", said[-1500:])
    return None


def show_traces(tap, catcher, secret):
    """What clients really say, as recorded from swaks, smtplib and nodemailer; the fourth is written after Thunderbird's manner."""
    plain = base64.b64encode(b"\0app\0" + secret.encode()).decode()
    user, password = base64.b64encode(b"app").decode(), base64.b64encode(secret.encode()).decode()
    traces = {
        "swaks": ["EHLO vm", "TLS", "EHLO vm", f"AUTH PLAIN {plain}", "MAIL FROM:<me@shop.example>", "RCPT TO:<trace@recv.example>", "DATA"],
        "smtplib": ["ehlo [127.0.0.1]", "TLS", "ehlo [127.0.0.1]", f"AUTH PLAIN {plain}", "mail FROM:<me@shop.example> size=76", "rcpt TO:<trace@recv.example>", "data"],
        "nodemailer": ["EHLO vm", "TLS", "EHLO vm", f"AUTH PLAIN {plain}", "MAIL FROM:<me@shop.example> BODY=8BITMIME SMTPUTF8", "RCPT TO:<trace@recv.example>", "DATA"],
        "after Thunderbird's manner": ["EHLO [192.0.2.7]", "TLS", "EHLO [192.0.2.7]", "AUTH PLAIN", plain,
                                       "MAIL FROM:<me@shop.example> BODY=8BITMIME SIZE=420", "RCPT TO:<trace@recv.example>", "DATA"],
        "AUTH LOGIN in three lines": ["EHLO old.client", "TLS", "EHLO old.client", "AUTH LOGIN", user, password, "MAIL FROM: <me@shop.example>",
                                      "RCPT TO: <trace@recv.example>", "DATA"],
    }
    for name, lines in traces.items():
        before = len(of(catcher, "trace@recv.example"))
        with Talk() as talk:
            wrong = []
            for line in lines:
                said = talk.starttls() if line == "TLS" else talk.say(line)
                if said[:1] not in ("2", "3"):
                    wrong.append(f"{line[:40]}: {said}")
            said = talk.say(f"{FROM}Subject: {name}\r\n\r\nhello\r\n.")
            wrong += [] if said.startswith("250 2.0.0") else [said]
            wrong += [] if talk.say("QUIT").startswith("221") else ["QUIT"]
        tap.equal(wrong, [], f"the trace of {name}")
        until(lambda n=before: len(of(catcher, "trace@recv.example")) > n, 20, f"the mail of {name}")


def show_smtp_source(tap, place):
    if not shutil.which("smtp-source"):
        return tap.skip("smtp-source with 100 sessions", "postfix is not installed")
    record = place.path("source.tsv")
    todoke = place.installation("b", zone=ZONE, mail_in=f"{NET}.20", submission__listen=f"{NET}.21:{STARTTLS}", submission__trusted="127.0.0.0/8")
    todoke.brand()
    todoke.serve()
    place.sink(SINK, "--record", record, log="source-sink.log")
    status, said = run("smtp-source", "-s", "100", "-m", "3000", "-l", "2000", "-d", "-f", "me@shop.example", "-t", "load@sink.example", f"{NET}.21:{STARTTLS}", seconds=120)
    tap.ok(status == 0, "smtp-source: 3,000 mails by 100 sessions", said[-500:])
    until(lambda: todoke.sql("SELECT COUNT(*) FROM delivery WHERE state = 5")[0][0] >= 3000, 120, "3,000 delivered")

    def taken():
        with open(record, encoding="utf-8") as file:
            return [line.split("\t")[0] for line in file]
    until(lambda: len(taken()) >= 3000, 20, "the sink's record")
    ids = taken()
    tap.equal((len(ids), len(set(ids))), (3000, 3000), "each arrives once")
    todoke.stop()
    return None


def show_postfix(tap, place, catcher, secret):
    if os.geteuid() != 0 or not shutil.which("postfix"):
        return tap.skip("Postfix as a relaying client", "needs root and Debian's postfix")
    at = f"{NET}.12"
    place.write("sasl", f"[{DOOR}]:{STARTTLS} app:{secret}\n")
    with_submission = {"relayhost": f"[{DOOR}]:{STARTTLS}", "smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": f"texthash:{place.path('sasl')}",
                       "smtp_sasl_security_options": "noanonymous", "smtp_sasl_mechanism_filter": "plain", "smtp_tls_security_level": "encrypt",
                       "smtp_tls_mandatory_protocols": ">=TLSv1.2", "smtp_bind_address": at}
    postfix = RelayingPostfix(place, at, with_submission)
    try:
        postfix.start()
        with smtplib.SMTP(at, PORT, timeout=90) as client:
            client.sendmail("me@shop.example", ["by-postfix@recv.example"], FROM + "Subject: by Postfix\r\n\r\nhello\r\n")
        mail = arrives(catcher, "by-postfix@recv.example", 60)
        tap.ok(mail["data"].count(b"Received:") == 2, "Postfix relays through us, with SASL in TLS", str(mail["data"]))
    finally:
        postfix.stop()
    return None


class RelayingPostfix(PostfixInstance):
    """A Postfix that gives everything to us."""

    def __init__(self, place, at, settings):
        super().__init__(place.path("relay"), [(at, PORT)])
        os.chmod(place.dir, 0o755)
        main = {"myhostname": "relay.shop.example", "mynetworks": "127.0.0.0/8", "alias_maps": "", "smtp_dns_support_level": "disabled", **settings}
        self.configure(f"{at}:{PORT} inet n - n - - smtpd\n", "".join(f"{name} = {value}\n" for name, value in main.items()))


# ── what must not pass ──

def show_relay(tap, catcher, secret):
    """M20, X4: nobody who has not signed in sends anything to anybody."""
    forms = ["victim@recv.example", "victim%recv.example@shop.example", "recv.example!victim@shop.example", '"victim@recv.example"@shop.example',
             "@shop.example:victim@recv.example", "@shop.example,@mta.shop.example:victim@recv.example", '"victim@recv.example"', "victim@[127.0.0.1]",
             "victim@recv.example@shop.example", '"victim%recv.example"', "victim@RECV.example.", "victim", "victim@bounce.shop.example@recv.example",
             "victim@recv.example,b-x@bounce.shop.example"]
    taken, tried = [], 0
    doors = {"the door": ((DOOR, STARTTLS), ""), "in TLS after STARTTLS": ((DOOR, STARTTLS), "starttls"), "in TLS from the start": ((DOOR, TLS), "tls"), "where error mail comes": ((ARRIVALS, PORT), "")}
    for door_words, (at, how) in doors.items():
        for sender in ("", "me@shop.example", "spam@elsewhere.example", "mta.shop.example"):
            for form in forms:
                tried += 1
                with Talk(at, greet=how != "tls") as talk:
                    if how == "tls":
                        talk.socket = ssl._create_unverified_context().wrap_socket(talk.socket) # pylint: disable=protected-access
                        talk.reply()
                    elif how:
                        talk.say("EHLO stranger.example")
                        talk.starttls()
                    talk.say("EHLO stranger.example")
                    replies = [talk.say(f"MAIL FROM:<{sender}>"), talk.say(f"RCPT TO:<{form}>"), talk.say("DATA")]
                    if any(reply[:1] in "23" for reply in replies[1:]) or (at[0] == DOOR and replies[0][:1] in "23"):
                        taken.append((door_words, sender, form, replies))
    tap.equal(taken, [], f"0 of {tried} attempts to relay without a key, at four doors (M20, X4)")
    with Talk() as talk:
        talk.say("EHLO me")
        talk.starttls()
        talk.say("EHLO me")
        tap.ok(talk.say("MAIL FROM:<me@shop.example>").startswith("530 5.7.0"), "in TLS, without a key: 530")
        tap.ok(talk.say("AUTH PLAIN " + base64.b64encode(b"boss\0app\0" + secret.encode()).decode()).startswith("535"), "nobody acts for somebody else")
        tap.ok(talk.say("VRFY me@shop.example").startswith("252") and talk.say("EXPN all").startswith("502"), "VRFY and EXPN tell nothing (M20)")
    tap.equal([mail for mail in catcher.mails if "victim" in str(mail["to"])], [], "and nothing left")


def show_starttls_injection(tap):
    """X2, M13, R4: what was said before TLS is not heard in it."""
    with Talk() as talk:
        talk.say("EHLO me")
        replies = [talk.say(b"STARTTLS\r\nMAIL FROM:<injected@shop.example>\r\nRCPT TO:<x@recv.example>\r\n"), *talk.rest()]
    tap.ok(replies[-1].startswith("554 5.5.0") and not any(reply.startswith("250") for reply in replies), "commands behind STARTTLS end the session", str(replies))
    with Talk(greet=False) as talk:
        talk.socket.sendall(b"EHLO early\r\n")
        replies = talk.rest()
    tap.ok(any(reply.startswith("554") for reply in replies) or replies[:1] == ["220 mta.shop.example ESMTP"], "who speaks before the greeting is refused or answered in turn (R4)", str(replies))
    with Talk() as talk:
        talk.say("EHLO me")
        talk.say("STARTTLS")
        talk.socket.sendall(b"NOOP\r\nMAIL FROM:<x@shop.example>\r\n")
        replies = talk.rest()
    tap.ok(not any(reply.startswith("250") for reply in replies), "clear commands where TLS should begin end it", str(replies))
    heard, tried = [], 0
    for payload in (b"MAIL FROM:<injected@shop.example>\r\n", b"EHLO injected\r\n", b"NOOP\r\nNOOP\r\n", b"RSET\r\nMAIL FROM:<injected@shop.example>\r\n", b"STARTTLS\r\n", b"AUTH PLAIN AHUAcA==\r\n", b"\r\n\r\n\r\n"):
        whole = b"STARTTLS\r\n" + payload
        for at in range(1, len(whole)):
            tried += 1
            with Talk() as talk:
                talk.say("EHLO me")
                talk.socket.sendall(whole[:at])
                talk.socket.sendall(whole[at:])
                replies = talk.rest()
            if [reply[:3] for reply in replies] not in ([], ["220"], ["554"], ["220", "554"]):
                heard.append((payload, at, replies))
    tap.equal(heard, [], f"commands in clear behind STARTTLS, in {tried} ways over the wire: 0 heard (X2)")


def show_smuggling(tap, catcher):
    """X1, R1, M1: whatever looks like the end of a mail and is not, gives no second mail; through the real server to the receiver."""
    ends = [one + b"." + other for one in (b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\n\r", b"\0\r\n", b"") for other in (b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n", b"\r\0\n", b" \r\n", b"\0\r\n", b"")]
    ends = [end for end in ends if b"\r\n.\r\n" not in end]
    second = b"MAIL FROM:<me@shop.example>\r\nRCPT TO:<smuggled@recv.example>\r\nDATA\r\n" + FROM.encode() + b"Subject: smuggled\r\n\r\nevil"
    accepted, tried, before = 0, 0, len(catcher.mails)
    for number, end in enumerate(ends):
        whole = FROM.encode() + f"Subject: first {number}\r\n\r\nfirst".encode() + end + second + b"\r\n.\r\n"
        places = range(1, len(end) + 8) if number % 9 == 0 else (0, len(end) // 2 + 1, len(end) + 4)
        for place in places:
            tried += 1
            with Talk(source=TRUSTED) as talk:
                for line in ("EHLO me", "MAIL FROM:<me@shop.example>", "RCPT TO:<first@recv.example>", "DATA"):
                    talk.say(line)
                at = whole.index(b"\r\n\r\nfirst") + 9 + place - 4
                talk.socket.sendall(whole[:at])
                reply = talk.say(whole[at:])
                accepted += reply.startswith("250")
                tail = talk.say("NOOP")
                if not tail.startswith("250 2.0.0 ok"):
                    tap.ok(False, f"{end!r} cut at {place}: one message, one reply", f"{reply}\n{tail}")
    tap.note(f"{tried} messages, {accepted} accepted, the others refused")
    until(lambda: len(catcher.mails) >= before + accepted, 60, "those that were accepted")
    mails = catcher.mails[before:]
    tap.equal((len(mails), [mail["to"] for mail in mails if mail["to"] != ["first@recv.example"]]), (accepted, []),
              f"{len(ends)} ends of mails that are none, cut in {tried} ways: 0 second messages (X1, R1)")
    tap.ok(all(not re.search(rb"(?<!\r)\n|\r(?!\n)", mail["data"]) for mail in mails), "no bare CR or LF leaves (R2)")


def show_header_injection(tap, catcher):
    """X3: what stands in a value stays in it. (Through the API, CSV and templates: injection_test.py.)"""
    sneaky = ["=?UTF-8?Q?a=0D=0AX-Evil:_1?=", "=?UTF-8?B?YQ0KWC1FdmlsOiAx?=", "a\tX-Evil: 1", "=?UTF-8?Q?=00X-Evil:_1?=", "a\\r\\nX-Evil: 1", "\u00e4\u2028X-Evil: 1", "\u00e4\u0085X-Evil: 1"]
    taken = tried = 0
    catcher.refuse["evil-nobody@recv.example"] = "550 5.1.1 nobody\x85X-Evil: 1"
    with Talk(source=TRUSTED) as talk:
        talk.say("EHLO x;X-Evil:1")
        for value in sneaky:
            for field in ("Subject", "X-Todoke-Tag", "X-Todoke-Campaign", "X-Todoke-Schedule", "X-Todoke-Unsubscribe", "To", "Cc", "Reply-To", "Message-ID", "In-Reply-To", "List-Id", "Content-Type", "X-Other"):
                talk.say("MAIL FROM:<me@shop.example> SMTPUTF8")
                talk.say("RCPT TO:<evil@recv.example>")
                talk.say("DATA")
                taken += talk.say(f"{FROM}{field}: {value}\r\n\r\nhello\r\n.").startswith("250")
                tried += 1
                talk.say("RSET")
        for envelope in ('"a\\\tX-Evil: 1"@shop.example', "me@shop.example"):
            for param in ("ENVID=a+0D+0AX-Evil:+201", "ENVID=a+0AX-Evil:1", "ENVID=a+00X", "AUTH=a+0D+0AX-Evil:1", "RET=FULL+0D+0AX-Evil:1", "ENVID=a\tX-Evil:1"):
                for orcpt in ("", "ORCPT=rfc822;a+0D+0AX-Evil:1", "ORCPT=a+0D+0AX-Evil:+201;b", "ORCPT=rfc822;+00"):
                    replies = [talk.say(f"MAIL FROM:<{envelope}> {param}"), talk.say(f"RCPT TO:<evil-nobody@recv.example> NOTIFY=FAILURE {orcpt}")]
                    talk.say("DATA")
                    taken += replies[1].startswith("250") and talk.say(f"{FROM}Subject: of the envelope\r\n\r\nhello\r\n.").startswith("250")
                    tried += 1
                    talk.say("RSET")
    until(lambda: sum(mail["to"] == ["evil@recv.example"] or mail["from"] == "" for mail in catcher.mails) >= taken, 30, "those that were taken")
    extra = [mail for mail in catcher.mails if re.search(rb"(?im)^X-Evil", mail["data"] if mail["from"] == "" else mail["data"].split(b"\r\n\r\n")[0])]
    tap.equal(extra, [], f"{taken} of {tried} mails with values that would be headers, in fields and envelopes: 0 extra headers (X3)")


def show_rights(tap, todoke, catcher):
    limited = key(todoke, "limited", "--from", "app.shop.example", "--per-hour", "3")
    context = ssl._create_unverified_context() # pylint: disable=protected-access
    with smtplib.SMTP_SSL(DOOR, TLS, timeout=90, context=context) as client:
        client.login("limited", limited)
        code, said = client.docmd("MAIL", "FROM:<a@app.shop.example>")
        client.docmd("RCPT", "TO:<lim@recv.example>")
        code, said = client.data((FROM + "\r\nhello\r\n").encode())
        tap.ok(code == 550 and b"5.7.1" in said, "a From domain that is not the key's: 550 5.7.1", str((code, said)))
        client.docmd("MAIL", "FROM:<a@app.shop.example>")
        codes = [client.docmd("RCPT", f"TO:<lim{n}@recv.example>") for n in range(4)]
        tap.ok([code for code, _ in codes] == [250, 250, 250, 451] and re.search(rb"again from 20\d\d-", codes[3][1]), "a key's recipients of an hour: 451 that says when", str(codes))
        code, said = client.data(b"From: a@app.shop.example\r\n\r\nhello\r\n")
        tap.ok(code == 250, "the others are taken (R5)", str(said))
    arrives(catcher, "lim2@recv.example")
    with smtplib.SMTP_SSL(DOOR, TLS, timeout=90, context=context) as client:
        client.login("limited", limited)
        todoke.ok("key", "remove", "limited")
        until(lambda: client.docmd("RSET")[0] == 250, 30, "RSET")

        def is_refused():
            client.docmd("MAIL", "FROM:<a@app.shop.example>")
            codes = client.docmd("RCPT", "TO:<late@recv.example>")
            if codes[0] == 451: # the hour is still full
                return True
            return client.data(b"From: a@app.shop.example\r\n\r\nhello\r\n")[0] == 550
        tap.ok(until(is_refused, 30, "the key is gone"), "a key that was taken away sends nothing more, on an open connection too")
    reader = todoke.json("key", "add", "reader", "--scope", "all:read")["secret"]
    with smtplib.SMTP_SSL(DOOR, TLS, timeout=90, context=context) as client:
        try:
            client.login("reader", reader)
            tap.ok(False, "a key without the right to submit is let in by nobody")
        except smtplib.SMTPAuthenticationError:
            tap.ok(True, "a key without the right to submit is let in by nobody")


def show_refusals(tap):
    rows = [("R2: a bare LF", "a\nb", "550 5.6.0"), ("R9: a line of 999", "x" * 999, "554 5.6.0"), ("R9: a line of 998", "x" * 998, "250 2.0.0")]
    for name, body, code in rows:
        with Talk(source=TRUSTED) as talk:
            for line in ("EHLO me", "MAIL FROM:<me@shop.example>", "RCPT TO:<refused@recv.example>", "DATA"):
                talk.say(line)
            said = talk.say(f"{FROM}\r\n{body}\r\n.")
            tap.ok(said.startswith(code), name, said)
    for name, head, code in (("M19: 50 hops", "Received: from a by b; Sun, 22 Nov 2026 00:00:00 +0000\r\n" * 50 + FROM, "554 5.4.6"),
                             ("M26: no From", "Subject: x\r\n", "554 5.6.0"), ("M26: two Subject", FROM + "Subject: a\r\nSubject: b\r\n", "554 5.6.0"),
                             ("a wish that is not understood", FROM + "X-Todoke-Schedule: soon\r\n", "550 5.6.0")):
        with Talk(source=TRUSTED) as talk:
            for line in ("EHLO me", "MAIL FROM:<me@shop.example>", "RCPT TO:<refused2@recv.example>", "DATA"):
                talk.say(line)
            said = talk.say(f"{head}\r\nhello\r\n.")
            tap.ok(said.startswith(code), name, said)
    with Talk(source=TRUSTED) as talk:
        talk.say("EHLO me")
        tap.ok(talk.say("MAIL FROM:<me@shop.example> SIZE=999999999").startswith("552 5.3.4"), "M14: SIZE over the limit at MAIL")
        tap.ok(talk.say(f"MAIL FROM:<{'x' * 65}@shop.example>").startswith("553"), "M4: 65 octets before the @")
        talk.say("MAIL FROM:<me@shop.example>")
        tap.ok(talk.say("RCPT TO:<a..b@docomo.ne.jp>").startswith("250"), "R12: an address that breaks the RFC but exists")
        tap.ok(talk.say("RCPT TO:<x@[127.0.0.1]>").startswith("550 5.1.2"), "no address literals")
        tap.ok(talk.say("BDAT 5 LAST\r\n" + "hello").startswith("554") , "R3: BDAT of what is no mail is refused")


def show_shared_hour(tap, todoke):
    """X16: what a key makes by the API draws on its own hour; a restart forgets neither."""
    maker = todoke.json("key", "add", "maker", "--scope", "submit,keys", "--per-hour", "3")["secret"]
    made = {"maker": maker}
    for name, by in (("child", "maker"), ("grandchild", "child")):
        status, _, answer = Api(todoke.http, made[by]).ask("POST", "/keys", {"name": name, "scopes": ["submit", "keys"]})
        tap.equal(status, 201, f"{by} makes {name}", )
        made[name] = answer["secret"]
    context = ssl._create_unverified_context() # pylint: disable=protected-access

    def asks(name, count):
        with smtplib.SMTP_SSL(DOOR, TLS, timeout=90, context=context) as client:
            client.login(name, made[name])
            client.docmd("MAIL", "FROM:<a@shop.example>")
            codes = [client.docmd("RCPT", f"TO:<shared-{name}{n}@recv.example>")[0] for n in range(count)]
            return codes, client.data((FROM + "\r\nhello\r\n").encode())[0] if 250 in codes else None
    tap.equal(asks("child", 2), ([250, 250], 250), "a key that was made takes two of the three")
    tap.equal(asks("grandchild", 2), ([250, 451], 250), "the third is another's, and then there are none")
    tap.equal([asks(name, 1)[0] for name in ("maker", "child")], [[451], [451]], "for whoever shares them")
    todoke.stop()
    todoke.serve()
    tap.equal([asks(name, 1)[0] for name in made], [[451], [451], [451]], "a restart forgets none of it")


def show_suppression(tap, todoke, catcher):
    """U13: who is excluded gets nothing, and that is written down."""
    todoke.ok("suppress", "add", "gone@recv.example")
    with Talk(source=TRUSTED) as talk:
        for line in ("EHLO me", "MAIL FROM:<me@shop.example>", "RCPT TO:<gone@recv.example>", "RCPT TO:<there@recv.example>", "DATA"):
            talk.say(line)
        said = talk.say(f"{FROM}\r\nhello\r\n.")
    tap.ok(said.startswith("250"), "a mail to somebody excluded and somebody else is taken", said)
    arrives(catcher, "there@recv.example")
    until(lambda: todoke.states().get("gone@recv.example") == "suppressed", 20, "suppressed")
    tap.ok(not of(catcher, "gone@recv.example"), "who is excluded gets nothing, and it says suppressed (U13)")


def show_reports(tap, todoke, catcher):
    """M23, R13: whoever handed it in is told of a failure by mail, once, and nobody of the notice's own."""
    catcher.refuse.update({f"nobody{n}@recv.example": "550 5.1.1 there is no such user" for n in range(3)})
    with Talk(source=TRUSTED) as talk:
        talk.say("EHLO me")
        for number, (sender, options) in enumerate((("app@shop.example", "ORCPT=rfc822;first+40recv.example"), ("app@shop.example", "NOTIFY=NEVER"), ("", ""))):
            for line in (f"MAIL FROM:<{sender}> ENVID=order-7", f"RCPT TO:<nobody{number}@recv.example> {options}", "DATA"):
                talk.say(line)
            talk.say(f"{FROM}Subject: order\r\nMessage-ID: <order{number}@shop.example>\r\n\r\nsecret text\r\n.")
    told = arrives(catcher, "app@shop.example", 30)
    until(lambda: len([state for who, state in todoke.states().items() if who.startswith("nobody") and state == "bounced"]) == 3, 20, "all three failed")
    tap.equal((told["from"], len(of(catcher, "app@shop.example"))), ("", 1), "one notice, from the null sender; none for NOTIFY=NEVER and for the null sender")
    mail = read(told)
    tap.equal((mail.get_content_type(), mail.get_param("report-type"), mail["auto-submitted"], mail["in-reply-to"]),
              ("multipart/report", "delivery-status", "auto-replied", "<order0@shop.example>"), "it is a multipart/report that says what it is (M23)")
    parts = [part.get_content_type() for part in mail.iter_parts()]
    tap.equal(parts, ["text/plain", "message/delivery-status", "text/rfc822-headers"], "its three parts")
    status = str(list(mail.iter_parts())[1])
    wanted = ["Original-Envelope-Id: order-7", "Original-Recipient: rfc822;first@recv.example", "Final-Recipient: rfc822; nobody0@recv.example", "Action: failed", "Status: 5.1.1",
              "Diagnostic-Code: smtp; 550 5.1.1 there is no such user", "Remote-MTA: dns; mx.recv.example"]
    tap.equal([line for line in wanted if line not in status], [], "and every field")
    tap.ok("secret text" not in str(mail), "the body is not given back unless asked")
    tap.ok(b"DKIM-Signature" in told["data"] and mail["from"].endswith("<mailer-daemon@bounce.shop.example>"), "it is signed, and from the return path's domain", str(mail["from"]))


def fields(mail):
    """The two groups of a delivery-status part, as Python's parser reads them."""
    return [dict(group.items()) for group in list(mail.iter_parts())[1].get_payload()]


def show_success_and_delay(tap, todoke, place, catcher):
    """RFC 3461: what NOTIFY asks for is told, each thing once; RET, ENVID and ORCPT come back; our own reader understands it."""
    catcher.refuse.update({"late@recv.example": "451 4.2.1 not now", "lateagain@recv.example": "451 4.2.1 not now"})
    asked = (("wants@shop.example", "ok1@recv.example", "NOTIFY=SUCCESS,DELAY,FAILURE ORCPT=rfc822;First+2Bone@recv.example"), ("quiet@shop.example", "ok2@recv.example", "NOTIFY=FAILURE"),
             ("never@shop.example", "ok3@recv.example", "NOTIFY=NEVER"), ("slow@shop.example", "late@recv.example", "NOTIFY=DELAY"), ("plain@shop.example", "lateagain@recv.example", ""))
    with Talk(source=TRUSTED) as talk:
        talk.say("EHLO me")
        for number, (sender, to, options) in enumerate(asked):
            for line in (f"MAIL FROM:<{sender}> RET=FULL ENVID=a+3Db{number}", f"RCPT TO:<{to}> {options}", "DATA"):
                talk.say(line)
            talk.say(f"{FROM}Subject: order\r\nMessage-ID: <ask{number}@shop.example>\r\n\r\nsecret text\r\n.")
    success, delay = read(arrives(catcher, "wants@shop.example", 30)), read(arrives(catcher, "slow@shop.example", 30))
    (about, one), (_, other) = fields(success), fields(delay)
    tap.equal((about["Original-Envelope-Id"], one["Original-Recipient"], one["Final-Recipient"], one["Action"], one["Status"][0], one["Remote-MTA"]),
              ("a=b0", "rfc822;First+one@recv.example", "rfc822; ok1@recv.example", "relayed", "2", "dns; mx.recv.example"), "NOTIFY=SUCCESS: relayed, with what was said about it")
    tap.equal((other["Action"], other["Status"], other["Diagnostic-Code"]), ("delayed", "4.2.1", "smtp; 451 4.2.1 not now"), "NOTIFY=DELAY: delayed, and why")
    tap.ok(other.get("Will-Retry-Until", "").endswith(("+0900", "+0000")), "and until when it is tried", str(other))
    tap.ok("secret text" not in str(success) + str(delay), "RET=FULL is for failures only")
    for name, mail, kind in (("success", success, "delivered"), ("delay", delay, "delay")):
        rows = [json.loads(line) for line in todoke.ok("bounce", "explain", place.write(f"{name}.eml", mail.as_bytes().decode("latin-1")), "--json").splitlines()]
        tap.equal([(row["kind"], row["permanent"]) for row in rows], [(kind, False)], f"our own reader reads {name} as {kind}")
    until(lambda: todoke.sql("SELECT COUNT(*) FROM notice_owed")[0][0] == 0, 20, "all is told")
    tap.equal([len(of(catcher, f"{who}@shop.example")) for who in ("wants", "quiet", "never", "slow", "plain")], [1, 0, 0, 1, 0], "each told once, others nothing")


def show_schedule(tap, todoke):
    with Talk(source=TRUSTED) as talk:
        for line in ("EHLO me", "MAIL FROM:<me@shop.example>", "RCPT TO:<later@recv.example>", "DATA"):
            talk.say(line)
        talk.say(f"{FROM}X-Todoke-Schedule: 2027-06-01T09:00:00+09:00\r\n\r\nhello\r\n.")
    tap.equal(todoke.sql("SELECT due_ms, state FROM delivery WHERE address = 'later@recv.example'"), [(1811808000000, 0)], "a mail for later waits (X-Todoke-Schedule)")


with Tap() as tap, Place("submission") as place, Catcher(RECEIVER, PORT) as catcher:
    todoke = door(place, submission__delay_after="1ms")
    secret = key(todoke, "app")
    todoke.serve()
    show_swaks(tap, catcher, secret)
    show_smtplib(tap, todoke, catcher, secret)
    show_nodemailer(tap, catcher, secret)
    show_scram(tap, secret)
    show_traces(tap, catcher, secret)
    show_postfix(tap, place, catcher, secret)
    show_relay(tap, catcher, secret)
    show_starttls_injection(tap)
    show_smuggling(tap, catcher)
    show_header_injection(tap, catcher)
    show_rights(tap, todoke, catcher)
    show_refusals(tap)
    show_suppression(tap, todoke, catcher)
    show_schedule(tap, todoke)
    show_reports(tap, todoke, catcher)
    show_success_and_delay(tap, todoke, place, catcher)
    show_shared_hour(tap, todoke)
    tap.ok(todoke.sql("SELECT last_used_ms FROM access_key WHERE name = 'app'")[0][0] > 0, "when a key was used last is known")
    audit = todoke.audit()
    tap.ok(audit["agrees"], "the books balance (R34)", str(audit))
    status = todoke.stop()
    tap.equal(status, 0, "the server ends in order")
    show_smtp_source(tap, place)
