"""Webhooks by the API (issue 5 points 2 and 3): made, tested, read, replayed, removed; a key of one brand never sees another's (X17)."""
import http.server
import json
import threading
import urllib.error
import urllib.request

from tap import Tap
from todoke import NET, Place, free_port, until

got = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def ask(secret, method, path, body=None):
    request = urllib.request.Request(f"http://{todoke.http}/api/v1{path}", method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


with Tap() as tap, Place("hookapi") as place:
    server = http.server.ThreadingHTTPServer((f"{NET}.60", free_port(f"{NET}.60")), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{NET}.60:{server.server_address[1]}/"
    todoke = place.installation()
    todoke.brand("One")
    todoke.brand("Two", "two <news@two.example>", "bounce.two.example")
    todoke.serve()
    everything = todoke.ok("key", "add", "all").strip().split()[-1]
    brands = {row["name"]: row["id"] for row in ask(everything, "GET", "/brands")[1]["items"]}
    of_one = ask(everything, "POST", "/keys", {"name": "one", "scopes": ["webhooks"], "brand_ids": [brands["One"]]})[1]["secret"]
    reader = ask(everything, "POST", "/keys", {"name": "reader", "scopes": ["webhooks:read"]})[1]["secret"]

    for body, field in (({}, "url"), ({"url": "ftp://x/"}, "url"), ({"url": url, "kinds": ["nonsense"]}, "kinds"), ({"url": url, "kinds": "delivered"}, "kinds"),
                        ({"url": url, "from": "nonsense"}, "from"), ({"url": url, "brand": "Three"}, "brand"), ({"url": url, "colour": "red"}, "colour")):
        status, problem = ask(everything, "POST", "/hooks", body)
        tap.ok(status == 400 and problem["field"] == field, f"400 names {field}", f"{body}: {status} {problem}")
    status, made = ask(everything, "POST", "/hooks", {"url": url, "kinds": ["delivered", "bounced"], "brand": "Two"})
    tap.ok(status == 201 and made["secret"].startswith("whsec_") and made["kinds"] == ["delivered", "bounced"] and made["brand_id"] == brands["Two"], "made", f"{status} {made}")
    status, mine = ask(of_one, "POST", "/hooks", {"url": url})
    tap.ok(status == 201 and mine["brand_id"] == brands["One"] and mine["kinds"] == [], "a key of one brand makes one of its brand", f"{status} {mine}")
    tap.equal([row["id"] for row in ask(of_one, "GET", "/hooks")[1]["items"]], [mine["id"]], "and sees no other")
    other = f"/hooks/{made['id']}"
    tap.equal([ask(of_one, *request)[0] for request in (("GET", other), ("GET", other + "/log"), ("DELETE", other), ("POST", other + "/test", {}),
                                                        ("POST", other + "/disable", {}), ("POST", other + "/replay", {"from": "begin"}))], [404] * 6, "nor touches one")
    tap.equal((ask(reader, "POST", "/hooks", {"url": url})[0], ask(reader, "GET", other)[0]), (403, 200), "webhooks:read only reads")
    tap.ok("secret" not in ask(everything, "GET", other)[1], "the secret is shown once")

    tap.equal(ask(everything, "POST", other + "/test", {})[0], 204, "a test is asked for")
    log = until(lambda: ask(everything, "GET", other + "/log")[1]["items"], 20, "a line in the log")
    tap.ok(log[0]["is_test"] and log[0]["status"] == 204 and not log[0]["fault"] and got[0]["type"] == "todoke.test" and got[0]["data"]["hook_id"] == made["id"], "sent, and in the log", json.dumps(log))
    for verb, state in (("disable", "disabled"), ("enable", "enabled")):
        tap.equal((ask(everything, "POST", f"{other}/{verb}", {})[0], ask(everything, "GET", other)[1]["state"]), (204, state), verb)
    tap.equal((ask(everything, "POST", other + "/replay", {})[0], ask(everything, "POST", other + "/replay", {"from": "begin"})[0]), (400, 204), "replay")
    tap.equal((ask(everything, "DELETE", other)[0], ask(everything, "GET", other)[0], ask(everything, "DELETE", other)[0]), (204, 404, 404), "removed")
