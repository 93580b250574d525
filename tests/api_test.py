"""The HTTP API of a running `todoke serve`, as a program and a browser use it: a key from the command line, a campaign started over HTTP,
watched live, what went wrong and whom it excluded (docs of the contract: data/api/openapi.yaml). Who may come in (X7, X16), and what
never may (X12). Receivers: two `todoke sink` on loopback; DNS from a file."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TODOKE = os.environ.get("TODOKE", os.path.join(ROOT, "build", "todoke"))
GOOD, REFUSING, BUSY = "127.25.77.1", "127.25.77.2", "127.25.77.3"
ZONE = {
    "good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [GOOD]},
    "refuse.example": {"MX": [[10, "mx.refuse.example"]]}, "mx.refuse.example": {"A": [REFUSING]},
    "busy.example": {"MX": [[10, "mx.busy.example"]]}, "mx.busy.example": {"A": [BUSY]},
    "null.example": {"MX": [[0, "."]]},
}
STATES = {"waiting", "deferred", "held", "on_wire", "in_doubt", "delivered", "bounced", "expired", "suppressed", "cancelled"}


def people():
    rows = ["email,name,phone"]
    rows += [f"g{i}@good.example,Good {i},03-0000-{i:04}" for i in range(40)]
    rows += [f"r{i}@refuse.example,Refused {i},03-1111-{i:04}" for i in range(6)]
    rows += [f"n{i}@nowhere.example,Nowhere {i}," for i in range(3)]
    rows += ["z@null.example,Null,"]
    rows += [f"b{i}@busy.example,Busy {i}," for i in range(2)]
    return "\n".join(rows) + "\n"


class House:
    """A folder with a store, a server, receivers; everything ends with it."""

    def __init__(self, folder):
        self.folder, self.programs = folder, []
        self.store, self.key_file = os.path.join(folder, "todoke.db"), os.path.join(folder, "todoke.key")
        with open(os.path.join(folder, "zone.json"), "w", encoding="utf-8") as zone:
            json.dump(ZONE, zone)
        with open(os.path.join(folder, "people.csv"), "w", encoding="utf-8") as csv:
            csv.write(people())
        with open(os.path.join(folder, "mail.html"), "w", encoding="utf-8") as html:
            html.write("<p>{{ contact.name | default: \"お客様\" }} 様</p><p>こんにちは。</p>")

    def todoke(self, *words):
        said = subprocess.run([TODOKE, *words], env={**os.environ, "TODOKE_STORE": self.store, "TODOKE_KEY_FILE": self.key_file},
                              capture_output=True, text=True, timeout=300, check=False)
        if said.returncode:
            raise RuntimeError(f"todoke {' '.join(words)}: {said.stderr}")
        return said.stdout

    def start(self, *words):
        log = open(os.path.join(self.folder, f"log{len(self.programs)}"), "w+", encoding="utf-8")
        self.programs.append(subprocess.Popen([TODOKE, *words], stdout=log, stderr=subprocess.STDOUT, cwd=self.folder))
        return log.name

    def serve(self):
        log = self.start("serve", *[word for setting in (
            f"store={self.store}", f"key_file={self.key_file}", "http.listen=127.0.0.1:0", "mail_in.listen=127.0.0.1:0",
            "smtp.ehlo_name=mta.shop.example", "network.mode=loopback", f"dns.zone={self.folder}/zone.json") for word in ("--set", setting)])
        for _ in range(6000):
            with open(log, encoding="utf-8") as lines:
                text = lines.read()
            found = re.search(r"console at http://127\.0\.0\.1:(\d+)/", text)
            if found:
                return int(found.group(1))
            if self.programs[-1].poll() is not None:
                raise RuntimeError(text)
            time.sleep(0.05)
        raise RuntimeError("no server within 300 s: " + text)

    def end(self):
        """The exit statuses; a program that does not end in 120 s is ended."""
        statuses = []
        for program in reversed(self.programs):
            program.send_signal(signal.SIGTERM)
            try:
                statuses.append(program.wait(120))
            except subprocess.TimeoutExpired:
                program.kill()
                statuses.append(-9)
        return statuses


class Client:
    def __init__(self, port):
        self.port, self.cookie = port, ""

    def ask(self, method, path, body=None, **headers):
        """Status, headers, and the body: parsed where it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
            headers.setdefault("Origin", f"http://127.0.0.1:{self.port}")
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if "json" in answer.headers.get("Content-Type", ""):
            data = json.loads(data)
        return answer.status, answer.headers, data

    def get(self, path, **headers):
        return self.ask("GET", "/api/v1" + path, **headers)[2]

    def raw(self, text):
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as peer:
            peer.sendall(text)
            said = b""
            while piece := peer.recv(65536):
                said += piece
            return said

    def stream(self, path):
        """The events, until the server closes: (name, data)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/api/v1" + path, headers={"Cookie": self.cookie})
        answer = connection.getresponse()
        name = ""
        while line := answer.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                yield name, json.loads(line[6:])
        connection.close()


def sign_in(tap, house, client):
    secret = house.todoke("key", "add", "test").strip()
    tap.ok(re.fullmatch(r"todoke_[A-Za-z0-9_-]{43}", secret), "`todoke key add` shows a new secret", secret)
    status, _, problem = client.ask("GET", "/api/v1/home")
    tap.equal((status, problem["status"], problem["title"]), (401, 401, "Unauthorized"), "nobody comes in without it, and the answer is a problem")
    tap.equal(client.ask("POST", "/api/v1/session", {"token": "wrong"})[0], 401, "a wrong one opens nothing")
    status, headers, _ = client.ask("POST", "/api/v1/session", {"token": secret}, Origin=f"http://127.0.0.1:{client.port}")
    cookie = headers.get("Set-Cookie", "")
    tap.ok(status == 204 and "HttpOnly" in cookie and "SameSite=Strict" in cookie, "the right one signs in, with a cookie no script can read (X7)", cookie)
    tap.equal(client.ask("GET", "/api/v1/session", Authorization="Bearer " + secret)[0], 200, "a program sends it as Bearer")
    client.cookie = cookie.split(";")[0]
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{client.port + 1}"):
        status, _, _ = client.ask("POST", "/api/v1/campaigns/1/send", {}, Origin=origin)
        tap.equal(status, 403, f"a POST from {origin} is refused, cookie or not (X7)")
    return secret


def watch(tap, house, client, campaign):
    """Start it and read the live report to the end of the first tries."""
    status, _, answer = client.ask("POST", f"/api/v1/campaigns/{campaign}/send", {})
    tap.ok(status == 200 and answer["state"] in ("expanding", "sending"), "a draft is started over HTTP", str(answer))
    tap.equal(client.ask("POST", f"/api/v1/campaigns/{campaign}/send", {})[0], 409, "a second click is a 409 and sends nothing twice")
    reports, sums, seen = [], [], 0
    for name, report in client.stream(f"/campaigns/{campaign}/stream"):
        if name != "progress":
            continue
        reports.append(report)
        counts = report["campaign"]["counts"]
        if counts["delivered"] == 40 and not seen:
            seen = time.time()
        sums.append(sum(counts.values()) == report["campaign"]["accepted"] and set(counts) == STATES)
        if report["campaign"]["accepted"] == 52 and counts["waiting"] + counts["on_wire"] == 0:
            break
    tap.ok(all(sums) and len(reports) > 1, "live: the ten states sum to accepted in each report (R34, S79)", str(sums))
    with contextlib.closing(sqlite3.connect(house.store)) as store:
        last = store.execute("SELECT MAX(at_ms) FROM event WHERE kind = 3").fetchone()[0] / 1000
    tap.note(f"the page heard of the last 250 after {seen - last:.2f} s")
    tap.ok(0 < seen - last < 30, "within seconds, on a busy machine too (S79)", f"{seen - last:.2f} s")
    return reports[-1] if reports else {}


def shown(tap, client, campaign, report):
    counts, faults = report["campaign"]["counts"], report["campaign"]["faults"]
    tap.equal((counts["delivered"], counts["bounced"], counts["deferred"]), (40, 10, 2), "who got it, who did not, who is tried again")
    tap.equal((faults["address"], faults["receiver"]), (10, 2), "by whose fault")
    tap.equal({row["site"]: row["total"] for row in report["receivers"]},
              {"good.example": 40, "refuse.example": 6, "nowhere.example": 3, "busy.example": 2, "null.example": 1}, "by receiver")
    reasons = {row["reason"]: row["count"] for row in report["reasons"]}
    tap.equal((reasons.get("user_unknown"), reasons.get("host_unknown"), reasons.get("not_accept")), (6, 3, 1), "by reason")
    tap.ok(all(row["cause"]["ja"] and row["cause"]["en"] and row["remedy"]["ja"] for row in report["reasons"]), "each in words, in both languages")

    errors = client.get(f"/errors?campaign={campaign}&reason=user_unknown")
    row = errors["items"][0]
    marked = [row["diagnostic"][start:end] for start, end in row["marks"]]
    tap.ok(len(errors["items"]) == 6 and "unknown" in " ".join(marked).lower(), "the words that decided are marked", f"{row['diagnostic']} {marked}")
    tap.equal((row["contact"]["phone"][:8], row["origin"], row["reply_code"], row["status"], row["command"]),
              ("03-1111-", "reply", "550", "5.1.1", "RCPT"), "with the person's telephone number, and what was said to which command")
    timeline = [entry["kind"] for entry in client.get("/errors/" + row["id"])["timeline"]]
    tap.ok(timeline[0] == "accepted" and "bounced" in timeline, "with its timeline", str(timeline))
    excluded = client.get("/suppressions?limit=500")
    tap.ok(excluded["total"] == len(excluded["items"]) >= 9, "who is excluded now", str(excluded["total"]))
    home = client.get("/home")
    tap.ok(any(todo["fault"] == "address" and "6 件の宛先が存在しませんでした" in todo["title"]["ja"] for todo in home["todos"]),
           "home says it in a sentence", json.dumps(home["todos"], ensure_ascii=False))


def second(tap, house, client):
    house.todoke("campaign", "create", "second", "--brand", "shop", "--list", "people", "--subject", "もう一度", "--html", f"{house.folder}/mail.html")
    campaign = next(row for row in client.get("/campaigns")["items"] if row["name"] == "second")
    tap.equal((campaign["state"], campaign["total"], campaign["accepted"]), ("draft", 52, 0), "a second campaign to the same people")
    client.ask("POST", f"/api/v1/campaigns/{campaign['id']}/send", {})
    for _ in range(1800):
        campaign = client.get("/campaigns/" + campaign["id"])
        if campaign["counts"]["delivered"] == 40 and campaign["left_out"]:
            break
        time.sleep(0.1)
    left_out = sum(row["count"] for row in campaign["left_out"])
    tap.ok(left_out >= 9 and campaign["accepted"] + left_out == campaign["total"] == 52, "leaves the excluded out, and says so", str(campaign))
    status, _, paused = client.ask("POST", f"/api/v1/campaigns/{campaign['id']}/pause", {})
    tap.equal((status, paused["state"]), (200, "paused"), "it can be paused")
    status, _, resumed = client.ask("POST", f"/api/v1/campaigns/{campaign['id']}/resume", {})
    tap.equal((status, resumed["state"]), (200, "sending"), "and goes on")


def unfriendly(tap, client):
    host = b"Host: x\r\n"
    for name, text in [
        ("bare LF", b"GET / HTTP/1.1\nHost: x\n\n"), ("two lengths", b"POST /api/v1/session HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        ("length and chunks", b"POST /api/v1/session HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("folded header", b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n b\r\n\r\n"), ("no host", b"GET / HTTP/1.1\r\n\r\n"),
    ]:
        said = client.raw(text)
        tap.ok(said.startswith(b"HTTP/1.1 400 "), f"{name}: 400 and closed (X12)", said[:200].decode("latin-1"))
    big = {"text": "a" * (1 << 20) + "a"}
    tap.equal(client.ask("POST", "/api/v1/bounces/explain", big)[0], 413, "a paste over 1 MiB: 413")
    status, _, answer = client.ask("POST", "/api/v1/bounces/explain", {"text": "550 5.7.26 This mail is unauthenticated"})
    tap.equal((status, answer["items"][0]["reason"]), (200, "auth_failure"), "a pasted reply is explained")
    status, headers, _ = client.ask("GET", "/")
    policy = headers.get("Content-Security-Policy", "")
    tap.ok("default-src 'self'" in policy and "script-src" not in policy and "unsafe-eval" not in policy, "the page comes with its policy (X9)", policy)
    tap.equal(client.ask("GET", "/api/v1/inbox")[0], 404, "no playground, no inbox")
    guesses = [client.ask("POST", "/api/v1/session", {"token": f"guess{i}"})[0] for i in range(12)]
    tap.ok(429 in guesses, "who guesses keys has to wait (X16)", str(guesses))


with Tap() as tap, tempfile.TemporaryDirectory(prefix="todoke-api-") as folder:
    house = House(folder)
    try:
        house.start("sink", "--listen", f"{GOOD}:2525")
        house.start("sink", "--listen", f"{REFUSING}:2525", "--refuse", "100")
        house.start("sink", "--listen", f"{BUSY}:2525", "--defer", "100")
        house.todoke("brand", "add", "shop", "--from", "花丸商店 <news@shop.example>", "--return-path", "bounce.shop.example", "--links", "https://mail.shop.example")
        house.todoke("contact", "import", f"{folder}/people.csv", "--list", "people", "--brand", "shop", "--consent", "test")
        house.todoke("campaign", "create", "first", "--brand", "shop", "--list", "people", "--subject", "冬の感謝祭", "--html", f"{folder}/mail.html")
        client = Client(house.serve())
        secret = sign_in(tap, house, client)
        first = client.get("/campaigns")["items"][0]
        tap.equal((first["state"], first["total"], first["from"]), ("draft", 52, "花丸商店 <news@shop.example>"), "the draft is there")
        report = watch(tap, house, client, first["id"])
        shown(tap, client, first["id"], report)
        second(tap, house, client)
        unfriendly(tap, client)
        tap.equal(client.ask("DELETE", "/api/v1/session")[0], 204, "signing out")
        tap.equal(client.ask("GET", "/api/v1/home")[0], 401, "ends the session")
        house.todoke("key", "remove", "test")
        over = time.monotonic() + 90  # the server asks the store for a key it knows once a second
        while not (refused := client.ask("GET", "/api/v1/session", Authorization="Bearer " + secret)[0] in (401, 429)) and time.monotonic() < over:
            time.sleep(0.1)
        tap.ok(refused, "a key that was taken away lets nobody in soon after")
    finally:
        statuses = house.end()
        if tap.failed:
            for number in range(len(statuses)):
                with open(os.path.join(folder, f"log{number}"), encoding="utf-8") as log:
                    tap.note(log.read()[-3000:])
    tap.equal(statuses[0], 0, "the server ends well at SIGTERM")
