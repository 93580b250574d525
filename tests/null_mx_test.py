"""M9: a sender whose domain publishes a null MX (RFC 7505 4.2) is refused with 5.7.27 wherever mail comes in: handed in by SMTP, by the API, or
brought by a stranger. A domain that cannot be asked about is never refused, and what was heard is not asked again.

swaks and smtplib hand in; each mail that is refused is a row."""
import shutil
import smtplib
import subprocess

from contract import Api
from submission import DOOR, RECEIVER, STARTTLS, TRUSTED, ZONE, Talk, key
from tap import Tap
from todoke import NET, PORT, Place

ARRIVALS = f"{NET}.2"
NAMES = {**ZONE, "null.example": {"MX": [[0, "."]]}, "both.example": {"MX": [[0, "."], [10, "mx.recv.example"]]}, "broken.example": {"error": "servfail"}}


def mail(sender):
    return f"From: Shop <{sender}>\r\nTo: ann@recv.example\r\nSubject: x\r\n\r\nx\r\n"


def hand_in(envelope, sender):
    """What smtplib hears: "250", or the refusal."""
    with smtplib.SMTP(DOOR, STARTTLS, timeout=90, source_address=(TRUSTED, 0)) as client:
        try:
            client.sendmail(envelope, ["ann@recv.example"], mail(sender))
            return "250"
        except smtplib.SMTPSenderRefused as refused:
            return f"MAIL {refused.smtp_code} {refused.smtp_error.decode()}"
        except smtplib.SMTPDataError as refused:
            return f"DATA {refused.smtp_code} {refused.smtp_error.decode()}"


def show_submission(tap):
    for name, envelope, sender, begins in (
            ("the envelope's domain", "me@null.example", "me@shop.example", "MAIL 550 5.7.27"), ("the domain of From", "me@shop.example", "me@null.example", "DATA 550 5.7.27"),
            ("in capitals", "me@NULL.Example", "me@shop.example", "MAIL 550 5.7.27"), ("a second time, as it is known", "me@null.example", "me@shop.example", "MAIL 550 5.7.27"),
            ("a null MX beside another means nothing", "me@both.example", "me@both.example", "250"), ("the DNS fails", "me@broken.example", "me@broken.example", "250"),
            ("a domain that does not exist", "me@nobody.example", "me@shop.example", "250"), ("the null sender", "", "me@shop.example", "250")):
        said = hand_in(envelope, sender)
        tap.ok(said.startswith(begins), f"submission: {name}: {begins} (M9)", said)
    with Talk(source=TRUSTED) as talk: # the session goes on
        talk.say("EHLO x.example")
        tap.ok(talk.say("MAIL FROM:<a@null.example>").startswith("550 5.7.27"), "a refused sender ...")
        tap.ok(talk.say("RCPT TO:<ann@recv.example>").startswith("503"), "... has no mail under way")
        tap.ok(talk.say("MAIL FROM:<a@shop.example>").startswith("250"), "and another one is taken in the same session")
        talk.say("RCPT TO:<ann@recv.example>")
        talk.say("DATA")
        tap.ok(talk.say(mail("me@null.example").encode() + b".\r\n").startswith("550 5.7.27"), "a From that takes no mail is refused at the dot")
        tap.ok(talk.say("MAIL FROM:<a@shop.example>").startswith("250"), "and the session goes on")


def show_swaks(tap, secret):
    if not shutil.which("swaks"):
        return tap.skip("swaks", "not installed")
    done = subprocess.run(["swaks", "--server", DOOR, "--port", str(STARTTLS), "--tls", "--auth", "PLAIN", "--auth-user", "app", "--auth-password", secret, "--from", "me@null.example",
                           "--to", "ann@recv.example", "--h-From", "me@shop.example"], capture_output=True, text=True, timeout=60, check=False)
    return tap.ok(done.returncode != 0 and "550 5.7.27" in done.stdout, "swaks hears 550 5.7.27 (M9)", done.stdout + done.stderr)


def show_api(tap, todoke):
    api = Api(todoke.http, todoke.ok("key", "add", "programs").strip())
    letter = {"to": "ann@recv.example", "subject": "x", "text": "x"}
    for name in ("asked", "known"):
        status, _, answer = api.ask("POST", "/messages", {**letter, "brand": "Nowhere"})
        tap.ok(status == 400 and answer["field"] == "from" and "null MX" in answer["detail"], f"API, {name}: a From that takes no mail is refused (M9)", f"{status} {answer}")
    for name in ("asked", "known"):
        status, _, answer = api.ask("POST", "/messages", {**letter, "brand": "Hanamaru"})
        tap.equal(status, 202, f"API, {name}: another one is taken")


def show_strangers(tap):
    with Talk(at=(ARRIVALS, PORT)) as talk:
        talk.say("EHLO mx.null.example")
        tap.ok(talk.say("MAIL FROM:<postmaster@null.example>").startswith("550 5.7.27"), "a stranger from there is refused at MAIL (M9)")
        tap.ok(talk.say("MAIL FROM:<postmaster@recv.example>").startswith("250"), "another one is not")
        talk.say("RSET")
        tap.ok(talk.say("MAIL FROM:<postmaster@broken.example>").startswith("250"), "one that cannot be asked about neither")
        talk.say("RSET")
        tap.ok(talk.say("MAIL FROM:<>").startswith("250"), "error mail comes from nobody")


with Tap() as tap_:
    with Place("null-mx") as place:
        place.sink(RECEIVER)
        house = place.installation(zone=NAMES, submission__listen=f"{DOOR}:{STARTTLS}", submission__trusted=f"{TRUSTED}/32", submission__brand="Hanamaru")
        house.brand()
        house.brand("Nowhere", "Nowhere <news@null.example>", "bounce.null.example")
        secret_ = key(house, "app")
        house.serve()
        show_submission(tap_)
        show_swaks(tap_, secret_)
        show_api(tap_, house)
        show_strangers(tap_)
        house.stop()
