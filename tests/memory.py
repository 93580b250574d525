"""memory - the nth allocation of the server fails, for every n (F4).

The server runs over tests/shim/memory.c. Each turn makes and sends a campaign of a few people through the API, hands in an error mail, and refuses the nth
allocation from there: once, or some in a row. Expected, whichever it is: the server goes on (a 5xx or 4xx here and there), or it
says "out of memory" and stops, which is what it does where only its own bounded memory was asked for; nothing else ends it, and it
starts again as after kill -9. Everybody gets the mail; twice only who was in doubt when it stopped."""
import http.client
import json
import random
import signal
import smtplib
import time

from disk import Panel
from kill import Record
from todoke import NET, PORT, Late, until

SINK, PEOPLE = f"{NET}.3", 12


class Memory:
    def __init__(self, tap, place, seed):
        self.tap, self.place, self.seed = tap, place, seed
        self.record = Record(place.path("record.tsv"))
        self.turns = self.hit = self.stops = self.twice = 0
        self.wrong = []
        self.todoke = place.installation(zone={"mx.example": {"A": [SINK]}, "d.example": {"MX": [[10, "mx.example"]]}}, workers=1, in_doubt__wait="5m")
        self.panel = Panel(place, self.todoke.store, "memory")
        self.people = [f"hito{number}@d.example" for number in range(PEOPLE)]
        place.sink(SINK, "--record", self.record.path)
        self.todoke.brand()
        self.todoke.people(self.people)
        self.secret = json.loads(self.todoke.ok("key", "add", "test", "--json"))["secret"]

    def serve(self):
        self.todoke.serve(env=self.panel.env)

    def send(self, number):
        """The status of POST send; None: no answer."""
        host, port = self.todoke.http.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("POST", f"/api/v1/campaigns/{number}/send", "{}",
                               {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def mail_in(self):
        """Error mail comes in meanwhile: any answer will do, or none."""
        try:
            with smtplib.SMTP(self.todoke.mail_in, PORT, timeout=5) as smtp:
                smtp.sendmail("", ["postmaster@bounce.shop.example"], "From: mailer-daemon@d.example\r\nSubject: returned\r\n\r\nno such user\r\n")
        except (OSError, smtplib.SMTPException):
            pass

    def rise(self, what):
        """It has ended, or should have: only by its own word. Started again."""
        server, log = self.todoke.server, self.todoke.server.said()[-3000:]
        if server.runs():
            return
        self.stops += 1
        if server.popen.returncode != -signal.SIGABRT or "out of memory" not in log:
            self.wrong.append(f"{what}: the server ended with {server.popen.returncode}: {log[-600:]}")
        self.panel.works()
        self.serve()

    def turn(self, nth, most):
        name = f"c{self.turns}"
        what = f"allocation {nth}, {most} in a row"
        self.turns += 1
        self.todoke.campaign(name)
        number = self.todoke.sql("SELECT id FROM campaign WHERE name = ?", name)[0][0]
        before, known = self.record.count(), len(self.todoke.events("in_doubt"))
        self.panel.fail(nth, "ENOMEM", most)
        end = time.monotonic() + 30
        status = None
        try:
            while time.monotonic() < end and (status is None or status >= 500):
                status = self.send(number)
                self.rise(what)
            self.mail_in()
            until(lambda: self.rise(what) or self.done(name), 30, f"{what}: everybody delivered", 0.02)
        except (Late, OSError) as late:
            self.wrong.append(f"{what}: {str(late)[:1500]}")
        self.rise(what)
        self.panel.works()
        self.hit += bool(self.panel.get("failed"))
        until(lambda: self.record.count() >= before + PEOPLE, 5, f"{what}: the record")
        got = [who for _, who in self.record.read()[before:]]
        extra = sorted(got)
        for who in set(got):
            extra.remove(who)
        doubtful = sorted(event["address"] for event in self.todoke.events("in_doubt")[known:])
        self.twice += len(extra)
        if set(got) != set(self.people) or set(extra) - set(doubtful) or len(extra) > len(doubtful):
            self.wrong.append(f"{what}: {len(set(got))} of {PEOPLE} got it, twice {extra}, in doubt were {doubtful}")

    def done(self, name):
        rows = self.todoke.sql("SELECT state, COUNT(*) FROM delivery WHERE campaign_id = (SELECT id FROM campaign WHERE name = ?) GROUP BY state", name)
        return rows == [(5, PEOPLE)]

    def sweep(self, points, seconds=None):
        self.serve()
        self.turn(1 << 40, 1) # whatever is made once is made
        start = self.panel.get("count")
        self.turn(1 << 40, 1)
        allocations, begun = self.panel.get("count") - start, time.monotonic()
        chance = random.Random(self.seed)
        for _ in range(points):
            if seconds and time.monotonic() - begun > seconds:
                break
            self.turn(chance.randrange(1, allocations + 1), chance.choice((1, 1, 3, 20)))
        self.tap.note(f"seed {self.seed}: {allocations} allocations in a campaign; {self.hit} of {self.turns - 2} turns met a refused one, {self.stops} stopped the server")
        self.tap.ok(self.hit > 0, "allocations were refused while mail went out")
        self.tap.ok(not self.wrong, "memory refused: it goes on, or says so and stops; each gets the mail, twice only who was in doubt (F4)", "\n".join(self.wrong[:10]))
        self.tap.equal(self.todoke.stop(), 0, "the server ends cleanly")

    def last_line(self):
        return (f"faults: memory refused in {self.hit} of {self.turns} campaigns, {self.stops} stops by its own word, lost 0, twice {self.twice} (all named)"
                if not self.wrong else f"faults: memory: {len(self.wrong)} WRONG") + f"; seed {self.seed}"
