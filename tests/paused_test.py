"""R28, D14, issue 4.5: what a receiver's words brought upon us outlasts kill -9. Who said "go away for now" is left alone until its time is over, `explain
site` says why, since and until when and where that is written, with and without a server; a person ends it, also behind the restart; and a backup has it."""
import datetime
import re
import time
import urllib.request

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, stores, until

MX, BRIEF = f"{NET}.80", f"{NET}.81"
RULE = """name: {name}
label: {name}
hosts: [{name}.example]
connections: 2
messages_per_connection: 100
rate: none
new_connections: none
daily: none
tls: may
reactions:
  - id: {name}.go-away
    text: ["go away for now"]
    suspend: {time}
    examples: ["421 4.7.0 go away for now, please"]
    not: ["550 5.1.1 no such user"]
"""
BRIEF_S = 20


def seconds_of(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


class Mood:
    """Of a receiver: it wants nobody, until it is told otherwise. And when whoever asked for a recipient did so."""

    def __init__(self):
        self.is_angry, self.asked = True, []

    def judge(self, address):
        self.asked.append(time.time())
        return "421 4.7.0 go away for now, please" if self.is_angry else None


def gauge(todoke, name):
    with urllib.request.urlopen(f"http://{todoke.http}/metrics", timeout=90) as answer:
        return int(re.search(rf"^{re.escape(name)} (\d+)$", answer.read().decode(), re.M).group(1))


def suspended(todoke):
    return gauge(todoke, 'todoke_ways_suspended{by="reaction"}')


def story(tap, words, store):
    mood, brief = Mood(), Mood()
    with Place("paused") as place:
        receivers = [Receiver(MX, PORT, mood.judge), Receiver(BRIEF, PORT, brief.judge)]
        place.cleanups += [receiver.end for receiver in receivers]
        place.write("sites/slowco.yaml", RULE.format(name="slowco", time="1h"))
        place.write("sites/briefco.yaml", RULE.format(name="briefco", time=f"{BRIEF_S}s"))
        zone = {"mx.slowco.example": {"A": [MX]}, "d.example": {"MX": [[10, "mx.slowco.example"]]},
                "mx.briefco.example": {"A": [BRIEF]}, "e.example": {"MX": [[10, "mx.briefco.example"]]}}
        todoke = place.installation(zone=zone, store=store, test__time_percent="100", sites__folder=place.path("sites"))
        todoke.brand()
        todoke.people([f"a{n}@{domain}" for n in range(20) for domain in ("d.example", "e.example")])
        todoke.campaign("autumn")
        todoke.serve()
        todoke.ok("campaign", "send", "autumn")

        def site(name):
            return todoke.json("explain", "site", name)

        def binds(domain):
            """Once it is suspended there, and the store knows it. A receiver's own name is unknown until something went there, a domain never is."""
            return until(lambda: (lambda said: said if said["pauses"] and said["binds"] and said["binds"]["limit"] == "reaction_suspend" else None)(site(domain)), 20, f"{domain} is suspended", 0.1)

        slow = binds("d.example")
        short = binds("e.example")
        over = seconds_of(short["pauses"][0]["until"])
        tap.equal(suspended(todoke), 2, f"{words}: both ways are suspended, say the metrics")
        before = [receiver.visits for receiver in receivers]
        todoke.kill()

        said = site("slowco")["pauses"]
        tap.ok(len(said) == 1 and said[0]["by"] == "reaction_suspend" and said[0]["reaction"] == "slowco.go-away" and said[0]["file"].endswith("slowco.yaml") and said[0]["line"] == 11
               and "rcpt: 421 4.7.0 go away for now" in said[0]["words"], f"{words}: without a server the store knows who said what, and which rule answers it", str(said))
        text = said[0]["text"]
        tap.ok(re.search(r"slowco\.go-away \(\S*slowco\.yaml line 11\), since .* UTC, by rcpt: 421", text["en"]) and re.search(r"slowco\.yaml 11 行.*UTC まで、理由: rcpt: 421", text["ja"])
               and "slowco.yaml line 11" in todoke.ok("explain", "site", "slowco", "--lang", "en"), f"{words}: for people, too", str(text))

        brief.is_angry = False
        todoke.serve()
        tap.equal(suspended(todoke), 2, f"{words}: both are suspended behind kill -9, from the first moment on")
        said = until(lambda: (lambda said: said if said["binds"] else None)(site("d.example")), 20, "a way to it")
        way, was = said["ways"][0], slow["binds"]
        tap.equal((said["binds"]["limit"], said["binds"]["reaction"], said["binds"]["line"], said["binds"]["file"]), ("reaction_suspend", "slowco.go-away", 11, was["file"]),
                  f"{words}: the same binds, with the rule's file and line")
        tap.ok(abs(seconds_of(said["binds"]["until"]) - seconds_of(was["until"])) < 3 and abs(seconds_of(said["binds"]["since"]) - seconds_of(was["since"])) < 5,
               f"{words}: since and until when it did before", f"{was} {said['binds']}")
        tap.ok(way["lowered"]["by"] == "reaction_suspend" and "go away for now" in way["lowered"]["words"], f"{words}: and by whose words", str(way["lowered"]))
        until(lambda: receivers[1].mails, BRIEF_S + 20, "mail for who said so for a short time")
        tap.ok(min(at for at in brief.asked if at > over - BRIEF_S + 2) >= over - 0.1 and receivers[1].visits > before[1],
               f"{words}: who said so for {BRIEF_S} s was left alone for that time", f"{over} {brief.asked}")
        tap.equal((receivers[0].visits, len(receivers[0].mails)), (before[0], 0), f"{words}: no connection to who said so for an hour")
        until(lambda: not site("e.example")["pauses"] and suspended(todoke) == 1, 20, "what is over is told no more")

        todoke.kill()
        if not store:
            kept = site("slowco")["pauses"]
            todoke.ok("backup", place.path("all.backup"))
            new = place.installation("new", zone=zone)
            new.key = new.settings["key_file"] = todoke.key
            new.ok("restore", place.path("all.backup"), "--owed", "send")
            tap.equal((new.json("explain", "site", "slowco")["pauses"], len(kept)), (kept, 1), f"{words}: a store that moves takes it along (docs/backup.md)")
        mood.is_angry = False
        todoke.serve()
        tap.ok("goes on: nothing is held against it any more (ways: 1)" in todoke.ok("queue", "resume", "--site", "d.example", "--why", "we talked"), f"{words}: resumed behind a restart")
        until(lambda: receivers[0].mails, 20, "mail for who was resumed")
        said = site("slowco")
        tap.ok(not said["pauses"] and not said["ways"][0]["suspended_until"] and said["resumed"]["why"] == "we talked" and suspended(todoke) == 0, f"{words}: nothing is left of it, but on record who did it", str(said["pauses"]))
        todoke.kill()
        todoke.serve()
        tap.equal((suspended(todoke), site("d.example")["pauses"]), (0, []), f"{words}: nor behind another kill -9")
        tap.equal(todoke.stop(), 0, f"{words}: it stops")


with Tap() as shown:
    for store_name, store_url in stores("paused"):
        story(shown, store_name, store_url)
