"""The disk is full while programs hand in mail by SMTP: 452, nothing kept of what was refused, and on by itself when there is room (R8, F3)."""
from catcher import Catcher
from disk import Panel
from submission import RECEIVER, TRUSTED, Talk, door
from tap import Tap
from todoke import PORT, Place, until


def hand_in(who):
    """The last reply of one whole transaction."""
    with Talk(source=TRUSTED) as talk:
        talk.say("EHLO me")
        for line in ("MAIL FROM:<me@shop.example>", f"RCPT TO:<{who}@recv.example>", "DATA"):
            said = talk.say(line)
            if said[:1] not in "23":
                return said
        return talk.say("From: me@shop.example\r\nSubject: x\r\n\r\nhello\r\n.")


with Tap() as tap, Place("submission-disk") as place, Catcher(RECEIVER, PORT) as catcher:
    todoke = door(place)
    panel = Panel(place, todoke.store)
    todoke.serve(env=panel.env)
    tap.ok(hand_in("before").startswith("250"), "while there is room: 250")
    until(lambda: len(catcher.mails) == 1, 20, "the first mail")
    for error in ("ENOSPC", "EIO"):
        panel.fail(1, error, 0)
        replies = [hand_in(f"{error.lower()}{number}") for number in range(5)]
        tap.ok(all(reply.startswith("452 4.3.1") for reply in replies), f"{error}: every mail is 452 4.3.1", str(replies))
        panel.works()
        until(lambda name=error: hand_in(f"after-{name.lower()}").startswith("250"), 30, "mail is taken again", 0.3)
        tap.ok(todoke.server.runs(), f"{error}: the server lives, and goes on by itself when it can write")
    until(lambda: {"after-enospc@recv.example", "after-eio@recv.example"} <= {mail["to"][0] for mail in catcher.mails}, 60, "what was taken arrives")
    kept = {address for address, in todoke.sql("SELECT address FROM delivery")}
    tap.equal(sorted(kept), ["after-eio@recv.example", "after-enospc@recv.example", "before@recv.example"], "nothing is kept of what was refused")
    audit = todoke.audit()
    tap.ok(audit["agrees"], "the books balance (R34)", str(audit))
