"""R35, X8, U16, issue 5 point 3: webhooks. At least once, in order, the same webhook-id when repeated, signatures verified with Python's hmac; a receiver
that fails, is slow, redirects, is private; kill -9 between POST and the move of the cursor; replay; the log; given up with an alarm."""
import base64
import http.server
import json
import os
import re
import shutil
import sqlite3
import subprocess
import threading
import time

from hook_verify import verify
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, ROOT, Place, free_port, until

MX, HOST = f"{NET}.45", f"{NET}.60"


class Hooked:
    """An HTTP receiver that keeps what it gets and answers as it is told to."""

    def __init__(self, ip):
        self.got, self.answer, self.pause, self.headers = [], 200, 0, {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.answer
                outer.got.append((dict((name.lower(), value) for name, value in self.headers.items()), body, status, self.path))
                time.sleep(outer.pause)
                try:
                    self.send_response(status)
                    for name, value in outer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(b"thank you")
                except OSError:
                    pass

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((ip, free_port(ip)), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self):
        """The events of all batches that were answered 200, in order."""
        return [event for _, body, status, _ in self.got if status == 200 for event in json.loads(body)["data"].get("events", [])]

    def ids(self):
        return [headers["webhook-id"] for headers, _, _, _ in self.got]


def example(language):
    """The verifying example of docs/webhooks.md."""
    with open(os.path.join(ROOT, "docs", "webhooks.md"), encoding="utf-8") as page:
        return re.search(rf"```{language}\n(.*?)```", page.read(), re.S).group(1)


documented = {}
exec(example("python"), documented)  # pylint: disable=exec-used


def verify_by_node(secret, headers, body):
    script = place.write("verify.mjs", example("javascript") + """
import { readFileSync } from "node:fs";
const { secret, headers, body } = JSON.parse(readFileSync(0));
console.log(verify(secret, headers, Buffer.from(body, "base64")));
""")
    given = json.dumps({"secret": secret, "headers": headers, "body": base64.b64encode(body).decode()})
    return subprocess.run(["node", script], input=given, capture_output=True, text=True, check=True, timeout=60).stdout.strip() == "true"


def judge(address):
    return "550 5.1.1 user unknown" if address.startswith("gone") else None


def send(name, people):
    todoke.people(people, name)
    todoke.campaign(name, list_name=name)
    todoke.ok("campaign", "send", name)
    todoke.settled(name, len(people), 60)


with Tap() as tap, Place("hook") as place:
    mail = Receiver(MX, PORT, judge)
    hooked = Hooked(HOST)
    todoke = place.installation(in_doubt__wait="5m", zone={"ops.example": {"MX": [[10, "mx.ops.example"]]}, "mx.ops.example": {"A": [MX]}, "app.example": {"A": [HOST]},
                                      "private.example": {"A": ["10.1.2.3"]}, "meta.example": {"A": ["169.254.169.254"]}})
    todoke.brand()
    URL = f"http://app.example:{hooked.port}/in"
    made = json.loads(todoke.ok("hook", "add", URL, "--json"))
    secret, hook = made["secret"], made["id"]
    tap.ok(secret.startswith("whsec_") and len(base64.b64decode(secret[6:])) == 32, "add prints the secret, of 32 octets")
    tap.ok(secret.encode() not in open(todoke.store, "rb").read(), "it is not in the store")
    for url in ("ftp://app.example/", "app.example", "https://u:p@app.example/", "https://app.example/#x", "http://app.example/a b", "file:///etc/passwd"):
        tap.equal(todoke.run("hook", "add", url).returncode, 2, f"no url of a webhook: {url}")
    tap.equal(todoke.run("hook", "add", URL, "--kinds", "delivered,nonsense").returncode, 2, "no kind of event: nonsense")
    bounces = json.loads(todoke.ok("hook", "add", URL + "/bounces", "--kinds", "bounced", "--json"))
    todoke.serve()

    # told
    send("first", [f"u{n}@ops.example" for n in range(30)] + ["gone1@ops.example", "gone2@ops.example"])
    def to_in():
        return [event for _, body, _, path in list(hooked.got) if path == "/in" for event in json.loads(body)["data"]["events"]]
    until(lambda: {int(event["id"]) for event in to_in()} == {number for number, in todoke.sql("SELECT id FROM event")}, 30, "every event is told")
    tap.equal(sum(event["kind"] == "delivered" for event in to_in()), 30, "30 deliveries are told, once")
    tap.ok(all(verify(secret if path == "/in" else bounces["secret"], headers, body) for headers, body, _, path in hooked.got), "every signature is good by Python's hmac")
    tap.ok(not verify(bounces["secret"], hooked.got[0][0], b"x" + hooked.got[0][1]) and not verify("whsec_" + "A" * 43 + "=", hooked.got[0][0], hooked.got[0][1]),
           "a changed body or another secret is not")
    headers, body, _, _ = next(got for got in hooked.got if got[3] == "/in")
    tap.ok(documented["verify"](secret, headers, body) and not documented["verify"](secret, headers, body + b" "), "docs/webhooks.md: the example in Python")
    if shutil.which("node"):
        tap.ok(verify_by_node(secret, headers, body) and not verify_by_node(secret, headers, body + b" "), "docs/webhooks.md: the example in Node")
    mine = to_in()
    tap.equal(len({event["id"] for event in mine}), len(mine), "each event once when nothing goes wrong")
    orders = {}
    for event in mine:
        if event["delivery_id"]:
            orders.setdefault(event["delivery_id"], []).append(int(event["id"]))
    tap.ok(all(ids == sorted(ids) for ids in orders.values()), "events of one mail come in their order (R35)")
    until(lambda: sum(len(json.loads(body)["data"]["events"]) for _, body, _, path in hooked.got if path == "/in/bounces") == 2, 20, "2 bounces")
    tap.ok({event["kind"] for _, body, _, path in hooked.got if path == "/in/bounces" for event in json.loads(body)["data"]["events"]} == {"bounced"},
           "--kinds bounced is told of bounces only")
    todoke.ok("hook", "remove", bounces["id"])
    until(lambda: todoke.rows("hook", "list")[0]["told"] >= len(mine), 20, "the last answer is on record")
    line = todoke.rows("hook", "list")
    tap.ok(len(line) == 1 and line[0]["state"] == "enabled" and line[0]["told"] == len(mine) and not line[0]["fault"], "list says how many were told", json.dumps(line))
    tap.equal(todoke.ok("hook", "test", hook).split()[3], "test,", "a test is sent and answered")
    headers, body, _, _ = hooked.got[-1]
    tap.ok(verify(secret, headers, body) and json.loads(body)["type"] == "todoke.test", "signed too")

    # fails, redirects, is slow: the same id again and again, nothing lost
    for what, answer, extra, pause in (("500", 500, {}, 0), ("a redirect", 302, {"Location": f"http://{HOST}:{hooked.port}/elsewhere"}, 0), ("slow", 200, {}, 30)):
        if pause: # nobody is waited for longer than the least there is, 2 s
            todoke.stop()
            todoke.serve(test__wait_percent=1)
        hooked.got.clear()
        hooked.answer, hooked.headers, hooked.pause = answer, extra, pause
        name = f"f{answer}{pause}"
        send(name, [f"{name}x{n}@ops.example" for n in range(5)])
        until(lambda: len(hooked.got) >= 3, 40, f"three attempts: {what}")
        ids, bodies = hooked.ids()[:3], {body for _, body, _, _ in hooked.got[:3]}
        tap.ok(len(set(ids)) == 1 and len(bodies) == 1, f"{what}: the same batch under the same webhook-id", str(ids))
        tap.ok(all(path == "/in" for _, _, _, path in hooked.got), f"{what}: and nowhere else")
        shown = todoke.json("hook", "show", hook)
        tap.ok(shown["attempts"] >= 1 and shown["failing_since"] and shown["fault"], f"{what}: show says so: {shown['fault']}", json.dumps(shown))
        hooked.got.clear()
        hooked.answer, hooked.headers, hooked.pause = 200, {}, 0
        until(lambda: {event["address"] for event in hooked.told() if event["kind"] == "delivered"} >= {f"{name}x{n}@ops.example" for n in range(5)}, 60,
              f"after {what} all are told")
        until(lambda: not todoke.json("hook", "show", hook)["failing_since"], 30, "it is well again")
    todoke.stop()
    todoke.serve()
    attempts = todoke.rows("hook", "log", hook, "--limit", "1000")
    tap.ok({row["status"] for row in attempts} >= {200, 500, 302, 0} and any("redirect" in row["fault"] for row in attempts) and attempts[-1]["answer"] == "thank you",
           "the log has every attempt", json.dumps(attempts)[:1500])

    # kill -9 between the POST and the move of the cursor
    hooked.got.clear()
    hooked.pause = 60 # longer than the kill can take to come
    todoke.people([f"k{n}@ops.example" for n in range(20)], "kill")
    todoke.campaign("kill", list_name="kill")
    todoke.ok("campaign", "send", "kill")
    until(lambda: hooked.got, 30, "a POST is under way")
    todoke.kill()
    interrupted = hooked.got[0]
    hooked.got.clear()
    hooked.pause = 0
    todoke.serve()
    again = until(lambda: hooked.got, 30, "a POST after the crash")[0]
    tap.equal((again[0]["webhook-id"], again[1]), (interrupted[0]["webhook-id"], interrupted[1]), "kill -9 in the middle: the same id and body again")
    todoke.settled("kill", 20, 60)
    until(lambda: {event["address"] for event in hooked.told() if event["kind"] == "delivered"} >= {f"k{n}@ops.example" for n in range(20)}, 30, "nothing is lost")
    tap.ok(True, "and nothing is lost")

    # replay
    hooked.got.clear()
    todoke.ok("hook", "replay", hook, "--from", "begin")
    # all that the hook may see: every event there is
    total = todoke.sql("SELECT COUNT(*) FROM event")[0][0]
    until(lambda: len({event["id"] for event in hooked.told()}) >= total, 40, f"all {total} events again")
    told = [event["id"] for event in hooked.told()]
    tap.equal(len(told), len(set(told)), "replay from the beginning tells every event again, once")
    middle = json.loads(hooked.got[len(hooked.got) // 2][1])["data"]["cursor"]
    behind = {event["id"] for _, body, _, _ in hooked.got[len(hooked.got) // 2 + 1:] for event in json.loads(body)["data"]["events"]}
    hooked.got.clear()
    todoke.ok("hook", "replay", hook, "--from", middle)
    if behind:
        until(lambda: {event["id"] for event in hooked.told()} >= behind, 30, "replay from a cursor")
    tap.ok({event["id"] for event in hooked.told()} <= set(told) and len(hooked.told()) <= len(behind) + 1, "replay from a batch's cursor begins behind it")
    tap.equal(todoke.run("hook", "replay", hook, "--from", "nonsense").returncode, 2, "no cursor: nonsense")

    # never to addresses that are not ours to reach (X8): in loopback mode everything else is refused before connect
    for host in ("10.1.2.3", "169.254.169.254", "192.168.1.1", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[::ffff:10.1.2.3]", "[64:ff9b::a01:203]", "0.0.0.0", "0x0a010203",
                 "private.example", "meta.example"):
        other = json.loads(todoke.ok("hook", "add", f"http://{host}/", "--json"))["id"]
        done = todoke.run("hook", "test", other)
        tap.ok(done.returncode == 3 and "HTTP" not in done.stderr and "connect to server" not in done.stderr, f"{host} is refused", done.stderr + done.stdout)
        todoke.ok("hook", "remove", other)

    # given up after three days, with an alarm
    hooked.answer = 503
    send("over", ["o1@ops.example"])
    until(lambda: todoke.json("hook", "show", hook)["failing_since"], 30, "it fails")
    with sqlite3.connect(todoke.store, timeout=90) as db:
        db.execute("UPDATE hook SET failing_since_ms = failing_since_ms - 4 * 86400000, next_ms = 0")
    until(lambda: todoke.json("hook", "show", hook)["state"] == "failed", 40, "it is given up")
    alarms = [alarm for alarm in todoke.rows("alarm", "list") if alarm["kind"] == "webhook"]
    tap.ok(len(alarms) == 1 and alarms[0]["about"] == hook and alarms[0]["detail"]["url"] == URL and hook in alarms[0]["title"]["ja"], "given up with an alarm", json.dumps(alarms))
    time.sleep(1)
    hooked.got.clear()
    hooked.answer = 200
    time.sleep(2)
    tap.equal(hooked.got, [], "and told nothing any more")
    todoke.ok("hook", "enable", hook)
    until(lambda: "o1@ops.example" in {event["address"] for event in hooked.told()}, 30, "enabled it goes on")
    tap.ok([alarm for alarm in todoke.rows("alarm", "list") if alarm["kind"] == "webhook"][0]["ended"], "enabled it goes on where it stopped; the alarm ends")
    hooked.answer = 410
    send("gone", ["o2@ops.example"])
    until(lambda: todoke.json("hook", "show", hook)["state"] == "failed", 30, "410")
    tap.ok(True, "410 Gone: given up at once")
    tap.equal(todoke.run("hook", "show", "12").returncode, 2, "no such webhook")
    todoke.ok("hook", "remove", hook)
    tap.equal(todoke.rows("hook", "list"), [], "removed")
    tap.equal(todoke.stop(), 0, "the server ends in order")
