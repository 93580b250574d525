"""todoke - the program under test, as an operator meets it: an installation in a directory of its own, its commands, its server.

    with Place("kill") as place:                          # a temporary directory; all that was started ends with it
        todoke = place.installation(zone={...})
        todoke.ok("brand", "add", "Shop", ...)            # a command that must succeed; gives its stdout
        todoke.serve()                                    # in the background, ready when this returns
        todoke.kill()                                     # kill -9

Everything listens on 127.66.x.y, x from our process id, so that two test runs do not meet; port 25 is 2525 there.
Waiting is always `until(question, seconds, what)`: a deadline, never a fixed sleep. Deadlines are nets: they are meant for a quiet machine and
stretched here (PATIENCE), since a test beside others on a slow one must not be red for that. Processes are ended by their pid."""
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TODOKE = os.environ.get("TODOKE", os.path.join(ROOT, "build", "todoke"))
PORT = 2525 # where port 25 is, with network.mode loopback
NET = f"127.66.{os.getpid() % 250 + 1}"
STATES = ["waiting", "deferred", "held", "on_wire", "in_doubt", "delivered", "bounced", "expired", "suppressed", "cancelled"]
OWED = STATES[:5]
PATIENCE, NET_LEAST = 4, 90 # a deadline is so many times what the story says, and never less than so many seconds


def words_of(header, table):
    """number -> word of a table of words in a header: `X(NAME, word)` counts from 0, `X(NAME, word, number)` says."""
    with open(os.path.join(ROOT, "src", *header.split("/")), encoding="utf-8") as file:
        body = re.search(rf"#define {table}\(X\)((?:.*\\\n)*.*)", file.read()).group(1)
    rows = re.findall(r"X\(\w+, (\w+)(?:, (\d+))?", body)
    return {int(number) if number else nth: word for nth, (word, number) in enumerate(rows)}


class Late(Exception):
    """What was waited for did not come."""


def until(question, seconds, what, every=0.05):
    """Ask until the answer is true, and give it back. `seconds`: what is plenty on a quiet machine. Whatever comes at all is in time:
    how long something may take is shown by what the server says of itself, or by figures of the same run beside it."""
    seconds = max(seconds * PATIENCE, NET_LEAST)
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Late(f"{what}: not within {seconds} s")
        time.sleep(every)


def one_day(seconds=300):
    """For stories about a day (caps, reports): they do not begin so short before midnight (UTC), but behind it."""
    left = 86400 - time.time() % 86400
    if left < seconds:
        time.sleep(left + 1)


def answers(ip, port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((ip, port)) == 0


def free_port(ip="127.0.0.1"):
    """Below those that the kernel gives to clients: nobody's connection takes it while a server is away."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
            try:
                probe.bind((ip, port))
            except OSError:
                continue
            return port


class Process:
    """A program of ours in the background, its output in a file."""

    def __init__(self, command, log, env=None, cwd=None):
        self.log, self.command = log, command
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                          env={**os.environ, **(env or {})}, cwd=cwd)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def runs(self):
        return self.popen.poll() is None

    def wait_for(self, pattern, seconds, since=0):
        """Until a line of its output matches; fails at once when it has ended."""
        def seen():
            found = re.search(pattern, self.said()[since:])
            if not found and not self.runs():
                raise Late(f"{' '.join(self.command[:3])} ended with {self.popen.returncode}:\n{self.said()[-3000:]}")
            return found
        try:
            return until(seen, seconds, f"{pattern!r} in {self.log}")
        except Late as late:
            raise Late(f"{late}\n{self.said()[-3000:]}") from None

    def end(self, signal_number=signal.SIGTERM, seconds=120):
        """Its exit status; killed when it does not go in time."""
        if self.runs():
            self.popen.send_signal(signal_number)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise Late(f"{' '.join(self.command[:3])} did not end within {seconds} s of signal {signal_number}\n"
                       + self.said()[-3000:]) from None


class Place:
    """A temporary directory, and the processes that work in it."""

    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix=f"todoke-{name}.")
        self.processes, self.cleanups = [], []

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)) # told to end: end what was started, too
        return self

    def __exit__(self, kind, error, trace):
        for process in reversed(self.processes):
            if process.runs():
                process.popen.terminate()
        for process in reversed(self.processes):
            try:
                process.popen.wait(20)
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
        for clean in reversed(self.cleanups):
            clean()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, content, encoding="utf-8"):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    def start(self, command, log, env=None):
        process = Process(command, self.path(log), env, self.dir)
        self.processes.append(process)
        return process

    def installation(self, name="a", **settings):
        return Todoke(self, name, **settings)

    def sink(self, ip, *options, log="sink.log"):
        process = self.start([TODOKE, "sink", "--listen", f"{ip}:{PORT}", "--json", *options], log)
        until(lambda: answers(ip, PORT) or not process.runs(), 20, f"the sink at {ip}")
        return process


class Todoke:
    """One installation: store, key, settings, server."""

    def __init__(self, place, name, zone=None, store=None, mail_in=f"{NET}.2", **settings):
        self.place, self.name = place, name
        self.store = store or place.path(f"{name}.db")
        self.key = place.path(f"{name}.key")
        self.mail_in, self.server = mail_in, None
        self.http = f"127.0.0.1:{free_port()}"
        self.zone_file = place.write(f"{name}.zone.json", json.dumps(zone or {}))
        self.settings = {
            "store": self.store, "key_file": self.key, "network.mode": "loopback", "dns.zone": self.zone_file,
            # retries come a hundred times as fast; but who is waited for is not dead because the machine is slow: only stories
            # about silence shorten these waits
            "test.time_percent": "1", "test.wait_percent": "100", "mail_in.listen": f"{mail_in}:{PORT}", "http.listen": self.http,
            "smtp.ehlo_name": "mta.shop.example", **{key.replace("__", "."): str(value) for key, value in settings.items()}}

    def zone(self, zone):
        self.place.write(f"{self.name}.zone.json", json.dumps(zone))

    def run(self, *arguments, seconds=300, stdin=None):
        env = {**os.environ, "TODOKE_STORE": self.store, "TODOKE_KEY_FILE": self.key}
        return subprocess.run([TODOKE, *arguments], capture_output=True, text=True, env=env, cwd=self.place.dir, input=stdin,
                              timeout=seconds, check=False)

    def ok(self, *arguments, seconds=300):
        done = self.run(*arguments, seconds=seconds)
        if done.returncode != 0:
            raise AssertionError(f"todoke {' '.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *arguments):
        """The one object that the command prints with --json."""
        return json.loads(self.ok(*arguments, "--json"))

    def rows(self, *arguments):
        """The objects, one a line, that the command prints with --json."""
        return [json.loads(line) for line in self.ok(*arguments, "--json").splitlines()]

    def audit(self, seconds=10):
        """The books, once the counters have read what was written last; as they are when that takes too long."""
        def books():
            done = self.run("queue", "audit", "--json")
            return {**json.loads(done.stdout), "status": done.returncode}
        try:
            return until(lambda: (lambda found: found if found["agrees"] and not found["lag"] else None)(books()), seconds, "the books", 0.3)
        except Late:
            return books()

    def sql(self, query, *values):
        """Look into the SQLite file beside the program; it may be running."""
        db = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=60)
        try:
            return db.execute(query, values).fetchall()
        finally:
            db.close()

    def events(self, *kinds):
        """What the SQLite store says happened, oldest first: dicts with the words of src/mail/*.h."""
        reasons, names = words_of("mail/verdict.h", "REASONS"), words_of("mail/event.h", "EVENT_KINDS")
        proofs = words_of("mail/verdict.h", "AUTHENTICITIES")
        columns = ["kind", "origin", "delivery_id", "address", "state_before", "state_after", "reason", "authenticity", "code",
                   "status", "diagnostic", "attempt", "remote_mta", "note"]
        found = []
        for row in self.sql(f"SELECT {', '.join(columns)} FROM event ORDER BY id"):
            event = dict(zip(columns, row))
            event["kind"], event["reason"] = names.get(event["kind"], event["kind"]), reasons.get(event["reason"], event["reason"])
            event["authenticity"] = proofs.get(event["authenticity"], event["authenticity"])
            for state in ("state_before", "state_after"):
                event[state] = STATES[event[state]] if event[state] is not None else None
            if not kinds or event["kind"] in kinds:
                found.append(event)
        return found

    def doubted(self, since_ms=0):
        """Whose mail has been in doubt since then, by the events of the SQLite store: these stay, also when a slow machine's look at
        `queue list --state in_doubt` comes when they have been tried again."""
        kind = next(number for number, word in words_of("mail/event.h", "EVENT_KINDS").items() if word == "in_doubt")
        return {address for address, in self.sql("SELECT DISTINCT address FROM event WHERE kind = ? AND at_ms >= ?", kind, since_ms)}

    def states(self):
        """address -> state of its delivery (of the one campaign), by the SQLite store."""
        return {address: STATES[state] for address, state in self.sql("SELECT address, state FROM delivery")}

    def spawn(self, env=None, wrap=(), **settings):
        """Start the server without waiting for it; `wrap` are words before its command, `env` more of the environment."""
        every = {**self.settings, **{key.replace("__", "."): str(value) for key, value in settings.items()}}
        command = [*wrap, TODOKE, "serve"]
        for key, value in every.items():
            command += ["--set", f"{key}={value}"]
        self.server = self.place.start(command, f"{self.name}.log", env)
        return self.server

    def serve(self, seconds=30, env=None, wrap=(), **settings):
        """Start the server; it is ready when this returns."""
        log = self.place.path(f"{self.name}.log")
        since = os.path.getsize(log) if os.path.exists(log) else 0
        self.spawn(env, wrap, **settings).wait_for(r"serving", seconds, since)
        return self.server

    def stop(self):
        status = self.server.end(signal.SIGTERM)
        self.server = None
        return status

    def kill(self):
        """kill -9, and how many connections it had open to port 25 at that moment (stopped first, so that none moves)."""
        stand_still(self.server.popen.pid)
        count = len(connections_of(self.server.popen.pid))
        self.server.popen.kill()
        self.server.popen.wait()
        self.server = None
        return count

    def brand(self, name="Hanamaru", sender="花まる商店 <news@shop.example>", return_path="bounce.shop.example"):
        """Make one; its DKIM key's DNS name and record."""
        said = self.ok("brand", "add", name, "--from", sender, "--return-path", return_path, "--links", "https://shop.example",
                       "--footer", "花まる商店 東京都千代田区1-1 / Hanamaru, Tokyo")
        found = re.search(r'^(\S+)\s+TXT\s+"(.*)"\s*$', said, re.M)
        if not found:
            raise AssertionError(f"no DKIM record in: {said!r}")
        return found.group(1), found.group(2)

    def people(self, addresses, list_name="all"):
        """Import them, by a CSV file as Excel saves it."""
        rows = [(address, f"山田{number}") for number, address in enumerate(addresses)] if not isinstance(addresses, dict) else list(addresses.items())
        csv = "メールアドレス,お名前\r\n" + "".join(f"{address},{name}\r\n" for address, name in rows)
        path = self.place.write(f"{list_name}.csv", csv, "cp932")
        return self.ok("contact", "import", path, "--list", list_name, seconds=300)

    def campaign(self, name, subject="秋の新作のお知らせ", html=None, list_name="all", brand="Hanamaru"):
        html = html or ("<html><body><h1>秋の新作</h1><p>{{ contact.name | default: \"お客様\" }} 様</p>"
                        "<p>いつもありがとうございます。<a href=\"https://shop.example/autumn\">新作を見る</a></p></body></html>")
        path = self.place.write(f"{name}.html", html)
        return self.ok("campaign", "create", name, "--brand", brand, "--list", list_name, "--subject", subject, "--html", path)

    def report(self, name):
        return self.json("campaign", "report", name)

    def settled(self, name, total, seconds, owed=0):
        """Until the campaign owes at most `owed`; its report."""
        def done():
            report = self.report(name)
            return report if report["accepted"] == total and sum(report["counts"][state] for state in OWED) <= owed else None
        try:
            return until(done, seconds, f"campaign {name} of {total}", every=0.3)
        except Late as late:
            raise Late(f"{late}\n{json.dumps(self.report(name)['counts'])}\n{self.server.said()[-3000:] if self.server else ''}") from None


def certificate_make(place, name="localhost"):
    """A certificate for loopback that signs itself, and its key: paths."""
    certificate, key = place.path("tls.pem"), place.path("tls.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    return certificate, key


def stores(name):
    """The stores to tell a story on: SQLite (None), and a database of its own where tools/with-postgres gives a cluster: (words, url)."""
    yield "SQLite", None
    cluster = os.environ.get("TODOKE_TEST_POSTGRES")
    if cluster:
        database = f"{name}_{os.getpid()}"
        subprocess.run(["psql", "-qX", "-d", cluster, "-c", f"CREATE DATABASE {database}"], check=True, timeout=60)
        yield "PostgreSQL", re.sub(r"^(postgres(?:ql)?://[^/]*)/[^?]*", rf"\1/{database}", cluster)


def stand_still(pid):
    """SIGSTOP, and until each of its threads has stopped: the signal alone returns before they have."""
    os.kill(pid, signal.SIGSTOP)

    def has_stopped():
        states = []
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii", errors="replace") as stat:
                states.append(stat.read().rsplit(")", 1)[1].split()[0])
        return set(states) <= {"T", "t", "Z", "X"}
    until(has_stopped, 20, f"process {pid} stands still", 0.001)


def cpu_seconds(pid):
    """Processor time that it has used: a busy machine changes nothing of it."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connections_of(pid, port=PORT):
    """Remote (ip, port) of this process's TCP connections to `port` that are established; port None: to any, under way too."""
    sockets = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
        if found:
            sockets.add(found.group(1))
    remote = []
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            fields = line.split()
            ip, at = fields[2].split(":")
            # established, or the other end's last words not read yet (CLOSE_WAIT)
            wanted = fields[3] in ("01", "08") and int(at, 16) == port if port else fields[3] in ("01", "02", "08")
            if fields[9] in sockets and wanted:
                remote.append((socket.inet_ntoa(bytes.fromhex(ip)[::-1]), int(at, 16)))
    return remote
