"""SIGTERM and SIGHUP under load: an upgrade in the middle of a queue (F12), certificates read anew meanwhile (F13). Each stop ends within 30 s, leaves nobody on
the wire and nobody in doubt, and the next start goes on; everybody gets the mail, once. SIGHUP drops nobody, in or out."""
import os
import random
import signal
import smtplib
import ssl
import time

from kill import Record, zone
from tap import Tap
from todoke import NET, PORT, Place, certificate_make, until

SINK, PEOPLE, STOPS, RELOADS = f"{NET}.3", 6000, 3, 10


def story(tap, place):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 31))
    chance = random.Random(seed)
    tap.note(f"seed {seed}")
    certificate, key = certificate_make(place)
    todoke = place.installation(zone=zone(), workers=2, tls__cert=certificate, tls__key=key)
    record = Record(place.path("record.tsv"))
    place.sink(SINK, "--record", record.path, "--delay", "40", "--threads", "1")
    todoke.brand()
    todoke.people([f"hito{number}@d{number % 40}.example" for number in range(PEOPLE)])
    todoke.campaign("big")
    todoke.serve()
    todoke.ok("campaign", "send", "big")
    longest = 0
    for nth in range(STOPS):
        at = PEOPLE * (nth + 1) // (STOPS + 3)
        until(lambda: record.count() >= at, 60, f"{at} mails", 0.005)
        time.sleep(chance.random() * 0.05)
        start = time.monotonic()
        status = todoke.stop()
        longest = max(longest, time.monotonic() - start)
        left = todoke.sql("SELECT COUNT(*) FROM delivery WHERE state IN (3, 4)")[0][0]
        tap.ok(status == 0 and left == 0, f"stop {nth + 1} at {record.count()}: it ends cleanly, nobody is left on the wire or in doubt (F12)", f"status {status}, {left} left")
        todoke.serve()
    tap.ok(longest <= 60, "each stop takes 30 s at most, and what a busy machine adds", f"{longest:.1f} s")
    until(lambda: record.count() >= PEOPLE * (STOPS + 1) // (STOPS + 3), 60, "it goes on")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(todoke.mail_in, PORT, timeout=90) as early: # in TLS, by the certificate that goes
        early.starttls(context=trusting)
        early.ehlo("x.example")
        for _ in range(RELOADS):
            os.kill(todoke.server.popen.pid, signal.SIGHUP)
            time.sleep(0.02)
            if early.noop()[0] != 250:
                tap.ok(False, "a session that was there before is served")
                break
        else:
            tap.ok(True, f"{RELOADS} times SIGHUP in the middle of it: a session that was there before is served (F13)")
        certificate_make(place, "second.example")
        os.kill(todoke.server.popen.pid, signal.SIGHUP)

        def subject():
            with smtplib.SMTP(todoke.mail_in, PORT, timeout=90) as late:
                late.starttls(context=trusting)
                der = late.sock.getpeercert(binary_form=True)
                return b"second.example" in der
        tap.ok(until(subject, 20, "the new certificate"), "whoever comes later meets the new certificate")
        tap.equal(early.noop()[0], 250, "and the one from before goes on with his")
    report = todoke.settled("big", PEOPLE, 90)
    tap.equal({state: count for state, count in report["counts"].items() if count}, {"delivered": PEOPLE}, "everybody is delivered")
    until(lambda: record.count() >= PEOPLE, 30, "the record")
    who = [address for _, address in record.read()]
    tap.equal((len(set(who)), len(who)), (PEOPLE, PEOPLE), "each of them got it, once: lost 0, twice 0")
    tap.equal(todoke.events("in_doubt"), [], "nobody ever was in doubt")
    tap.equal(todoke.stop(), 0, "the server ends cleanly")


with Tap() as tap, Place("drain") as place:
    story(tap, place)
