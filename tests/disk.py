"""disk - the disk beneath the server fails: the nth write, for every n; and a full disk that gets room again (F3, F7).

The server runs over tests/shim/disk.c, which counts what is written to the store's files and fails what this file says, while it
runs. Each turn sends a campaign of a few people through the API and fails the nth operation from there: once, or all from the nth on until
"space is back". Expected: the server lives, says 503 with Retry-After (API) and 452 (SMTP) while it cannot write, and 2xx only for what is
kept; when it can write again it goes on by itself; everybody gets the mail, and nobody twice."""
import errno
import http.client
import json
import mmap
import os
import random
import smtplib
import struct
import subprocess
import time

from kill import Record
from todoke import NET, PORT, TODOKE, Late, until

SINK, PEOPLE, ERRORS = f"{NET}.3", 12, ("ENOSPC", "EIO", "EDQUOT")
FIELDS = ("count", "at", "most", "failed", "error", "torn") # struct panel of tests/shim/disk.c


def shim(name):
    """Where it is built: beside the program."""
    build = os.path.dirname(os.path.dirname(os.path.realpath(TODOKE)))
    subprocess.run(["ninja", "--quiet", "-C", build, f"tests/libtodoke-{name}.so"], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(build, "tests", f"libtodoke-{name}.so")


class Panel:
    """What the shim counts, and what it is told."""

    def __init__(self, place, store, name="disk"):
        self.path = place.write("panel", bytes(8 * len(FIELDS)))
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.env = {"LD_PRELOAD": shim(name), "TODOKE_FAULT_FILES": store, "TODOKE_FAULT_PANEL": self.path}

    def get(self, name):
        return struct.unpack_from("Q", self.map, 8 * FIELDS.index(name))[0]

    def put(self, **values):
        for name, value in values.items():
            struct.pack_into("Q", self.map, 8 * FIELDS.index(name), value)

    def fail(self, nth, error, most, torn=False):
        """From the nth operation from now on `most` of them fail; 0: all, until works()."""
        self.put(at=0, failed=0, most=most, error=getattr(errno, error), torn=int(torn))
        self.put(at=self.get("count") + nth)

    def works(self):
        self.put(at=0)


class Disk:
    def __init__(self, tap, place, seed):
        self.tap, self.place, self.seed = tap, place, seed
        self.record = Record(place.path("record.tsv"))
        self.turns = self.hit = self.told_503 = self.told_452 = self.deaths = 0
        self.wrong = []
        self.todoke = place.installation(zone={"mx.example": {"A": [SINK]}, "d.example": {"MX": [[10, "mx.example"]]}}, workers=1)
        self.panel = Panel(place, self.todoke.store)
        self.people = [f"hito{number}@d.example" for number in range(PEOPLE)]
        place.sink(SINK, "--record", self.record.path)
        self.todoke.brand()
        self.todoke.people(self.people)
        self.secret = json.loads(self.todoke.ok("key", "add", "test", "--json"))["secret"]

    def serve(self):
        self.todoke.serve(env=self.panel.env)

    def send(self, name):
        """The API's answer to "send this campaign"; what is not 2xx says when to ask again."""
        host, port = self.todoke.http.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=90)
        connection.request("POST", f"/api/v1/campaigns/{self.id_of(name)}/send", "{}", {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 503:
            self.told_503 += 1
            if not answer.headers.get("Retry-After"):
                self.wrong.append("503 without Retry-After")
        elif answer.status >= 300 and answer.status != 409: # 409: it is being sent, an answer before said 503 too early
            self.wrong.append(f"POST send: {answer.status}")
        connection.close()
        return answer.status

    def id_of(self, name):
        return self.todoke.sql("SELECT id FROM campaign WHERE name = ?", name)[0][0]

    def mail_in(self):
        """Error mail comes in while nothing can be written: 452 to be sent again, never 250."""
        try:
            with smtplib.SMTP(self.todoke.mail_in, PORT, timeout=90) as smtp:
                smtp.sendmail("", ["postmaster@bounce.shop.example"], "From: mailer-daemon@d.example\r\nSubject: returned\r\n\r\nno such user\r\n")
                return 250
        except smtplib.SMTPResponseException as refused:
            code = refused.smtp_code
        except smtplib.SMTPRecipientsRefused as refused:
            code = next(iter(refused.recipients.values()))[0]
        self.told_452 += code == 452
        return code

    def taken(self, before):
        """How often each got this turn's mail."""
        counts = {}
        for message_id, who in self.record.read()[before:]:
            counts[who, message_id] = counts.get((who, message_id), 0) + 1
        return counts

    def turn(self, nth, error, most, torn=False):
        """One campaign with a disk that fails from the nth write on; what was wrong with it is noted."""
        name = f"c{self.turns}"
        what = f"write {nth} {error} {'once' if most == 1 else f'{most} times' if most else 'until there is space'}{', torn' if torn else ''}"
        self.turns += 1
        self.todoke.campaign(name)
        before = self.record.count()
        self.panel.fail(nth, error, most, torn)
        end = time.monotonic() + 40
        is_sent = False
        try:
            while not is_sent and time.monotonic() < end:
                is_sent = self.send(name) != 503
                if not most and self.panel.get("failed"):
                    break
            if not most:
                until(lambda: self.panel.get("failed") or len(self.taken(before)) == PEOPLE, 30, "the failure", 0.01)
                if self.panel.get("failed"):
                    code = self.mail_in()
                    if code != 452:
                        self.wrong.append(f"{what}: error mail was answered {code} while nothing could be written")
                time.sleep(0.1)
                self.panel.works()
                while not is_sent and time.monotonic() < end:
                    is_sent = self.send(name) != 503
            until(lambda: self.done(name), 60, f"{what}: everybody delivered", 0.02)
        except (Late, OSError) as late:
            self.wrong.append(f"{what}: {str(late)[:2000]}")
        self.panel.works()
        if not self.todoke.server.runs():
            self.deaths += 1
            self.wrong.append(f"{what}: the server ended: {self.todoke.server.said()[-1500:]}")
            self.serve()
        self.hit += bool(self.panel.get("failed"))
        until(lambda: len(self.taken(before)) >= PEOPLE, 30, "the record") if is_sent else None
        counts = self.taken(before)
        if sorted(who for who, _ in counts) != sorted(self.people) or set(counts.values()) - {1}:
            self.wrong.append(f"{what}: not each got one mail: {len(counts)} of {PEOPLE}, {sum(counts.values())} taken")

    def done(self, name):
        rows = self.todoke.sql("SELECT state, COUNT(*) FROM delivery WHERE campaign_id = (SELECT id FROM campaign WHERE name = ?) GROUP BY state", name)
        return rows == [(5, PEOPLE)]

    def operations(self):
        """How many operations one campaign takes when nothing fails."""
        before = self.panel.get("count")
        self.turn(1 << 40, "EIO", 1)
        return self.panel.get("count") - before

    def sweep(self, points, seconds=None):
        """`points`: of the operations of a campaign, so many evenly spread ones; None: each. Ends early after `seconds`."""
        tap = self.tap
        self.serve()
        self.operations() # what is written once is written
        operations = min(self.operations() for _ in range(2))
        chance, start = random.Random(self.seed), time.monotonic()
        nths = list(range(1, operations + 6))
        chance.shuffle(nths) # whatever time allows is a fair part of them
        nths = nths[:points]
        plans = [(nth, error, most, torn) for nth in nths for error, most, torn in
                 (("ENOSPC", 0, True), ("EIO", 1, False), (chance.choice(ERRORS), chance.choice((1, 2, 5)), False))]
        for plan in plans:
            if seconds and time.monotonic() - start > seconds:
                break
            self.turn(*plan)
        tap.note(f"seed {self.seed}: a campaign of {PEOPLE} takes about {operations} writes and syncs; {self.turns} turns, a failure was met in {self.hit}, "
                 f"503 {self.told_503} times, 452 {self.told_452} times")
        # (some of the drawn lie behind a campaign's last write: how many it takes depends on who comes when)
        tap.ok(self.hit >= self.turns // 4, "the disk really failed", f"in {self.hit} of {self.turns} turns")
        tap.ok(not self.wrong, "a failing disk: the server lives, answers 503 and 452, goes on by itself; each gets one mail (F3)", "\n".join(self.wrong[:12]))
        tap.equal(self.todoke.stop(), 0, "the server ends cleanly")
        audit = self.todoke.audit()
        tap.ok(audit["status"] == 0 and audit["accepted"] == audit["sum"] == self.turns * PEOPLE, "the books balance (R34)", str(audit))

    def starting(self, points):
        """The nth write of a start fails: it says so, or serves; the next start serves."""
        tap, wrong = self.tap, []
        chance = random.Random(self.seed + 1)
        self.panel.put(count=0)
        self.serve()
        operations = self.panel.get("count")
        self.todoke.kill()
        for nth in sorted(chance.sample(range(1, operations + 1), min(points, operations))):
            error = chance.choice(ERRORS)
            self.panel.fail(nth, error, 0)
            process = self.todoke.spawn(env=self.panel.env)
            end = time.monotonic() + 3
            while process.runs() and time.monotonic() < end and "serving" not in process.said()[-400:]:
                time.sleep(0.02)
            self.panel.works()
            if not process.runs():
                said = process.said().splitlines()[-1]
                if process.popen.returncode not in (1, 2, 3) or "store" not in said:
                    wrong.append(f"write {nth} {error}: status {process.popen.returncode}: {said}")
                self.serve()
            else:
                try:
                    process.wait_for("serving", 20)
                except Late as late:
                    wrong.append(f"write {nth} {error}: {late}")
            self.todoke.kill()
        tap.ok(not wrong, f"a start over a failing disk says why, or serves; the next one serves ({operations} writes)", "\n".join(wrong[:10]))

    def last_line(self):
        return (f"faults: disk failed in {self.hit} of {self.turns} campaigns, lost 0, 503 {self.told_503} times, 452 {self.told_452} times, went on by itself"
                if not self.wrong else f"faults: disk: {len(self.wrong)} WRONG") + f"; seed {self.seed}"
