"""soak - a server under an even load of everything for a long time: what grows without end is found (F11).

    with Place("soak") as place:
        Soak(tap, place, minutes=10, rate=40, seed=7).story()

Meanwhile programs hand in mail over SMTP (in clear, and in TLS with AUTH, with a new connection after every few mails) and HTTP, campaigns are sent, error
mail comes in, pages and metrics are read, SIGHUP is given, and the receivers refuse, defer and hang up now and then. Every two seconds memory (of the
server and its readers: anonymous pages, what files are mapped is the kernel's affair), descriptors, threads and the store's log are looked at. A campaign to FILL
people before fills SQLite's cache (64 MB). A run is cut into quarters; after the first one descriptors and threads must not grow, the log stays bounded, and memory grows less than
TENTH in a short run, less than 1 % an hour after the first hour in one of two hours and more. At the end everything accepted has been delivered or has come back."""
import http.client
import json
import os
import random
import signal
import smtplib
import ssl
import statistics
import threading
import time

from submission import DOOR, STARTTLS
from todoke import NET, PORT, Late, certificate_make, until

SINK = f"{NET}.20"
TENTH, LOG_MOST = 0.10, 256 << 20
DOMAINS, SITES, PEOPLE, FILL = 20, 8, 1000, 150000
ODD = f"{NET}.21" # the receiver of one domain, that hangs up
BODY = "\r\n".join(["hello " * 10] * 30)


def family(pid):
    """The process and its children."""
    found = [pid]
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            found += [int(word) for word in file.read().split()]
    return found


def look(pid, log):
    """One sample."""
    memory = descriptors = threads = 0
    for one in family(pid):
        try:
            with open(f"/proc/{one}/status", encoding="ascii", errors="replace") as status:
                fields = dict(line.split(":", 1) for line in status if ":" in line)
            memory += int(fields["RssAnon"].split()[0])
            threads += int(fields["Threads"])
            descriptors += len(os.listdir(f"/proc/{one}/fd"))
        except (OSError, KeyError): # it has just ended
            pass
    return {"at": time.monotonic(), "memory": memory, "descriptors": descriptors, "threads": threads,
            "log": os.path.getsize(log) if os.path.exists(log) else 0}


def slope(samples, field):
    """Growth an hour, as a part of the mean: least squares."""
    ats, values = [sample["at"] / 3600 for sample in samples], [sample[field] for sample in samples]
    return statistics.linear_regression(ats, values).slope / max(1, statistics.mean(values))


class Worker(threading.Thread):
    """Does one thing again and again, so many times a second."""

    def __init__(self, soak, name, rate, do):
        super().__init__(daemon=True)
        self.soak, self.label, self.rate, self.do = soak, name, rate, do
        self.done, self.failed = 0, []

    def run(self):
        due = time.monotonic()
        while not self.soak.over.is_set():
            try:
                self.do(self.done)
                self.done += 1
            except (OSError, http.client.HTTPException, smtplib.SMTPException) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            self.soak.over.wait(max(0, due - time.monotonic()))


class Soak:
    def __init__(self, tap, place, minutes, rate, seed):
        self.tap, self.place, self.minutes, self.rate, self.seed = tap, place, minutes, rate, seed
        self.chance, self.over = random.Random(seed), threading.Event()
        self.lock, self.accepted, self.campaigns, self.samples = threading.Lock(), set(), 0, []
        self.todoke = self.secret = None
        self.clear = self.secure = None

    # ── what goes on ──

    def who(self, name, number):
        return f"{name}{number}@d{number % DOMAINS}.example"

    def take(self, who):
        with self.lock:
            self.accepted.add(who)

    def mail_clear(self, number):
        who = self.who("clear", number)
        if self.clear is None:
            self.clear = smtplib.SMTP(DOOR, STARTTLS, timeout=20)
        try:
            self.clear.sendmail("me@shop.example", [who], f"From: Shop <news@shop.example>\r\nSubject: {number}\r\n\r\n{BODY}\r\n")
            self.take(who)
        except (OSError, smtplib.SMTPException):
            self.clear = None
            raise
        if number % 50 == 49:
            self.clear.quit()
            self.clear = None

    def mail_secure(self, number):
        who = self.who("secure", number)
        if self.secure is None:
            self.secure = smtplib.SMTP(DOOR, STARTTLS, timeout=20)
            self.secure.starttls(context=ssl._create_unverified_context()) # pylint: disable=protected-access
            self.secure.login("soak", self.secret)
        try:
            self.secure.sendmail("me@shop.example", [who], f"From: Shop <news@shop.example>\r\nSubject: {number}\r\n\r\nhello\r\n")
            self.take(who)
        except (OSError, smtplib.SMTPException):
            self.secure = None
            raise
        if number % 5 == 4:
            self.secure.close() # without a word
            self.secure = None

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.todoke.http, timeout=20)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Authorization": "Bearer " + self.api_secret, "Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            if answer.status >= 300:
                raise http.client.HTTPException(f"{method} {path}: {answer.status} {data[:200]}")
            return data
        finally:
            connection.close()

    def message(self, number):
        who = self.who("api", number)
        self.ask("POST", "/api/v1/messages", {"to": who, "subject": f"{number}", "html": "<p>hello</p>"})
        self.take(who)

    def pages(self, number):
        self.ask("GET", ["/api/v1/home", "/metrics", "/api/v1/queue", "/api/v1/campaigns", "/api/v1/events?limit=100", "/api/v1/contacts?limit=50"][number % 6])

    def mail_in(self, number):
        with smtplib.SMTP(self.todoke.mail_in, PORT, timeout=20) as smtp:
            smtp.sendmail("", ["postmaster@bounce.shop.example"],
                          f"From: mailer-daemon@d.example\r\nSubject: returned {number}\r\n\r\n550 5.1.1 <nobody{number}@d1.example>: user unknown\r\n")

    def campaign(self, number):
        self.todoke.campaign(f"soak{number}")
        self.todoke.ok("campaign", "send", f"soak{number}")
        self.campaigns += 1

    def reload(self, number):
        os.kill(self.todoke.server.popen.pid, signal.SIGHUP)

    # ── the story ──

    def workers(self):
        each = self.rate / 3
        return [Worker(self, "mails in clear", each, self.mail_clear), Worker(self, "mails in TLS", each / 2, self.mail_secure),
                Worker(self, "messages by HTTP", each, self.message), Worker(self, "pages read", 4, self.pages), Worker(self, "error mails", 2, self.mail_in),
                Worker(self, "campaigns", 1 / 45, self.campaign), Worker(self, "reloads", 1 / 20, self.reload)]

    def begin(self):
        place = self.place
        zone = {"odd.example": {"A": [ODD]}, **{f"mx{n}.example": {"A": [SINK]} for n in range(SITES)},
                **{f"d{n}.example": {"MX": [[10, f"mx{n % SITES}.example" if n else "odd.example"]]} for n in range(DOMAINS)}}
        certificate, key = certificate_make(place, "mta.shop.example")
        self.todoke = todoke = place.installation(zone=zone, submission__listen=f"{DOOR}:{STARTTLS}", submission__trusted="127.0.0.0/8", tls__cert=certificate,
                                                  tls__key=key, workers=2, submission__sessions_of_one=100)
        todoke.brand()
        self.secret = todoke.json("key", "add", "soak", "--scope", "submit")["secret"]
        self.api_secret = todoke.ok("key", "add", "api").strip().split()[-1]
        place.sink(SINK, "--refuse", "1", "--defer", "2", "--delay", "5", "--tls", "--seed", str(self.seed)) # no word that slows the pace: nothing piles up
        place.sink(ODD, "--drop", "2", "--reset", "2", "--seed", str(self.seed), log="odd.log")
        todoke.people([f"person{number}@d{number % DOMAINS}.example" for number in range(PEOPLE)])
        todoke.people([f"fill{number}@d{1 + number % (DOMAINS - 1)}.example" for number in range(FILL)], "fill")
        todoke.campaign("fill", list_name="fill")
        todoke.serve()
        todoke.ok("campaign", "send", "fill")
        todoke.settled("fill", FILL, 1800, FILL // 50)

    def quarter(self, nth, field):
        """The field's values in this quarter, from 0."""
        size = len(self.samples) / 4
        return [sample[field] for sample in self.samples[int(nth * size):int((nth + 1) * size)]]

    def judge(self):
        tap = self.tap
        words = {"descriptors": "descriptors", "threads": "threads"}
        for field, name in words.items():
            before, after = statistics.median(self.quarter(1, field)), statistics.median(self.quarter(3, field))
            tap.ok(after <= before * 1.1 + 4, f"{name} do not grow: {before:.0f} in the second quarter, {after:.0f} in the last (F11)")
        log = max(sample["log"] for sample in self.samples)
        tap.ok(log <= LOG_MOST, f"the store's log stays bounded: {log >> 20} MB at most", f"more than {LOG_MOST >> 20} MB")
        before, after = statistics.median(self.quarter(1, "memory")), statistics.median(self.quarter(3, "memory"))
        if self.minutes >= 120:
            late = [sample for sample in self.samples if sample["at"] - self.samples[0]["at"] >= 3600]
            self.growth = slope(late, "memory")
            tap.ok(self.growth < 0.01, f"memory grows by {self.growth * 100:.2f} % an hour after the first hour, less than 1 % (F11)")
        else:
            self.growth = slope(self.samples[len(self.samples) // 2:], "memory")
            tap.ok(after <= before * (1 + TENTH), f"memory: {before / 1024:.1f} MB in the second quarter, {after / 1024:.1f} MB in the last (F11)", f"more than {TENTH:.0%}")

    def owed(self):
        return sum(self.todoke.sql(f"SELECT COUNT(*) FROM delivery WHERE {words}")[0][0] for words in ("state <= 1", "((28 >> state) & 1) = 1"))

    def reconcile(self):
        tap, todoke = self.tap, self.todoke

        try:
            until(lambda: self.owed() == 0, 240, "nothing is owed any more", 0.5)
        except Late as late:
            rows = todoke.sql("SELECT d.state, e.reason, e.code, e.diagnostic, COUNT(*), MIN(d.due_ms) FROM delivery d LEFT JOIN event e ON e.bucket = d.bucket AND e.seq = d.last_seq "
                              "WHERE d.state <= 4 GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 5")
            raise Late(f"{late}; {rows}, now {int(time.time() * 1000)}") from None
        states = dict(todoke.sql("SELECT address, state FROM delivery WHERE campaign_id IS NULL"))
        lost = [who for who in self.accepted if who not in states]
        tap.equal(sorted(lost)[:5], [], f"{len(self.accepted)} mails were accepted, and each is there")
        ended = {5, 6, 7, 8, 9}
        tap.ok(all(states[who] in ended for who in self.accepted if who in states), "each of them was delivered or came back")
        audit = todoke.audit(60)
        tap.ok(audit["agrees"], "the books balance (R34)", str(audit))

    def story(self):
        tap = self.tap
        tap.note(f"seed {self.seed}: {self.minutes} minutes, {self.rate} mails a second and campaigns of {PEOPLE}")
        self.begin()
        workers, pid, log = self.workers(), self.todoke.server.popen.pid, f"{self.todoke.store}-wal"
        for worker in workers:
            worker.start()
        end, told = time.monotonic() + self.minutes * 60, time.monotonic()
        while time.monotonic() < end and self.todoke.server.runs():
            time.sleep(2)
            self.samples.append(look(pid, log))
            if time.monotonic() - told >= 60:
                told, last = time.monotonic(), self.samples[-1]
                tap.note(f"{len(self.accepted)} accepted, {self.campaigns} campaigns; {last['memory'] / 1024:.1f} MB, {last['descriptors']} descriptors, "
                         f"{last['threads']} threads, log {last['log'] >> 20} MB, {self.owed()} owed")
        self.over.set()
        for worker in workers:
            worker.join(60)
            tap.ok(worker.done and len(worker.failed) <= worker.done / 100, f"{worker.label}: {worker.done} done, {len(worker.failed)} failed", "\n".join(worker.failed[:3]))
        tap.ok(self.todoke.server.runs(), "the server runs", self.todoke.server.said()[-1000:])
        self.judge()
        self.reconcile()
        tap.equal(self.todoke.stop(), 0, "the server ends cleanly")

    def last_line(self):
        last = self.samples[-1]
        return (f"soak: {self.minutes} min, {len(self.accepted)} mails and {self.campaigns} campaigns, lost 0, memory {last['memory'] / 1024:.1f} MB "
                f"({self.growth * 100:+.1f} %/h in the last half), {last['descriptors']} descriptors, {last['threads']} threads; seed {self.seed}")
