"""M24, S12: `todoke bounce explain --store` says of each claim whether it is genuine, backscatter, forged or unverified; it changes nothing."""
import email
import json

from dsn import dsn
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place

MX = f"{NET}.47"
PHISH = """From: Mail Delivery System <support@mail-quota.example>
To: <news@shop.example>
Subject: Undelivered mail: 5 messages pending
MIME-Version: 1.0
Content-Type: text/html

<p>Your messages could not be delivered. <a href="http://evil.example/login">Click here to release message</a> and verify your password.</p>
"""



def claim(recipient, to, message_id):
    return dsn(recipient, to, original=f"From: news@shop.example\nMessage-ID: {message_id}")


with Tap() as tap, Place("explain") as place:
    receiver = Receiver(MX, PORT)
    todoke = place.installation(zone={"far.example": {"MX": [[10, "mx.far.example"]]}, "mx.far.example": {"A": [MX]}})
    todoke.brand()
    todoke.people(["ann@far.example", "bob@far.example"])
    todoke.serve()
    todoke.campaign("news")
    todoke.ok("campaign", "send", "news")
    todoke.settled("news", 2, 30)
    sent = {rcpt: (mail_from, email.message_from_bytes(mail)["Message-ID"]) for mail_from, rcpt, mail in receiver.mails}
    path, message_id = sent["ann@far.example"]
    letter = path[6]
    changed = path[:6] + ("a" if letter != "a" else "b") + path[7:]
    stranger = "<20260101.1@elsewhere.example>"
    rows = [ # what it says, and the mail
        ("genuine", "it came to the return path that we signed", claim("ann@far.example", path, stranger)),
        ("genuine", "it quotes the Message-ID of the mail to that address", claim("ann@far.example", "postmaster@shop.example", message_id)),
        ("backscatter", "that mail went to somebody else", claim("bob@far.example", "postmaster@shop.example", message_id)),
        ("forged", "a letter of the signature is another", claim("ann@far.example", changed, stranger)),
        ("forged", "a phish dressed as an error mail", PHISH),
        ("unverified", "nothing proves it", claim("ann@far.example", "postmaster@shop.example", stranger)),
    ]
    states = todoke.states()
    for number, (want, why, mail) in enumerate(rows):
        place.write(f"claim{number}.eml", mail)
        claim = place.path(f"claim{number}.eml")
        said = json.loads(todoke.ok("bounce", "explain", "--json", "--store", todoke.store, claim).splitlines()[0])
        tap.equal(said["authenticity"], want, f"{want}: {why}")
        alone = json.loads(todoke.ok("bounce", "explain", "--json", claim).splitlines()[0])
        tap.ok(alone["authenticity"] in ("unverified", "forged") and {**said, "authenticity": ""} == {**alone, "authenticity": ""},
               f"without --store it is {alone['authenticity']}, and all else is the same")
    text = todoke.ok("bounce", "explain", "--lang", "ja", "--store", todoke.store, place.path("claim2.eml"))
    tap.ok("私たちから送ったものではありません" in text, "people are told in words", text)
    tap.equal((todoke.states(), todoke.rows("suppress", "list"), todoke.events("unverified")), (states, [], []), "nothing was changed")
    tap.equal(todoke.run("bounce", "explain", "--store", place.path("no-such-folder/x.db"), place.path("claim0.eml")).returncode in (2, 3), True, "a store that is not there")
