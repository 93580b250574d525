"""data/api/openapi.yaml against the running server: every route, every example, every error that can be made; then thousands of requests
made up from the schemas with a fixed seed, line ends and other naughty strings in every field: no 500, no header more, and every answer
one that the contract knows (X3, X12, U24). And a key of one brand goes through all routes with the other's ids: it never sees anything of
it (X17)."""
import json
import os
import urllib.parse

from contract import Api, Contract, seeded
from tap import Tap
from todoke import Place, until, stores

REQUESTS = int(os.environ.get("TODOKE_FUZZ_REQUESTS", "3000"))
HEADERS = {"date", "server", "connection", "content-type", "content-length", "transfer-encoding", "cache-control", "x-content-type-options", "retry-after", "www-authenticate",
           "allow", "ratelimit", "ratelimit-policy", "idempotent-replayed", "content-disposition", "x-next-cursor", "set-cookie", "x-accel-buffering"}
STREAMS = {"campaign_stream", "event_stream"} # open until the client closes
MARK = "KEPT-FROM-OTHERS"


def url(path, operation, ids, query=None):
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace("{%s}" % parameter["name"], urllib.parse.quote(str(ids[parameter["name"]]), safe=""))
    return path + ("?" + urllib.parse.urlencode(query) if query else "")


def seed(api, brand, mark, people_api=None):
    """One of everything, for one brand; the ids by the route that takes them. New people come by a key of every brand."""
    def made(path, body, api=api):
        status, _, answer = api.ask("POST", path, body)
        if status not in (200, 201, 202):
            raise AssertionError(f"{path}: {status} {answer}")
        return answer
    domain = f"{brand.lower()}.example"
    people = made("/lists", {"name": f"people {mark}", "brand": brand})
    contact = made("/contacts", {"email": f"{mark}@person.{domain}", "name": f"Name {mark}", "fields": {"note": mark}, "list_ids": [people["id"]]}, people_api or api)
    content = made("/contents", {"name": f"content {mark}", "brand": brand, "subject": f"s {mark}", "html": f"<p>{mark}</p>"})
    campaign = made("/campaigns", {"name": f"campaign {mark}", "brand": brand, "content_id": content["id"], "list_id": people["id"]})
    message = made("/messages", {"to": f"{mark}@message.{domain}", "brand": brand, "subject": f"m {mark}", "text": mark, "label": mark, "tags": [mark], "send_at": "2027-06-01T00:00:00Z"})
    made("/suppressions", {"email": f"{mark}@stop.{domain}", "brand": brand})
    status, _, file = api.ask("POST", "/files?" + urllib.parse.urlencode({"name": f"file {mark}.pdf", "brand": brand}), raw=f"%PDF {mark}".encode())
    if status != 201:
        raise AssertionError(f"/files: {status} {file}")
    return {"file": file["id"], "list": people["id"], "contact": contact["id"], "content": content["id"], "campaign": campaign["id"], "message": message["id"],
            "delivery": message["recipients"][0]["delivery_id"], "email": f"{mark}@stop.{domain}"}


def id_for(path, ids):
    for word, kind in [("/lists", "list"), ("/contacts", "contact"), ("/contents", "content"), ("/files", "file"), ("/campaigns", "campaign"), ("/messages", "message"), ("/deliveries", "delivery"), ("/explain/message", "delivery")]:
        if path.startswith(word):
            return ids[kind]
    return "123456789"


def places(path, ids):
    return {"id": id_for(path, ids), "contact_id": ids["contact"], "email": ids["email"], "kind": "domain", "name": "held.example", "pool": "news", "site": "held.example", "ip": "192.0.2.77"}


def is_ours(contract, path, operation):
    return contract.scope(operation) != "-"


def the_door(tap, contract, where, todoke):
    nobody, poor = Api(where, ""), Api(where, todoke.ok("key", "add", "poor", "--scope", "settings:read").strip())
    opened, told = [], []
    for path, method, operation in contract.operations():
        if contract.scope(operation) == "-":
            continue
        place = url(path, operation, {"id": "1", "contact_id": "1", "email": "a@b.example", "kind": "domain", "name": "b", "domain": "b.example"} | {
            one["name"]: "1" for one in operation["parameters"] if one["in"] == "path"})
        body = {} if method != "GET" else None
        status, headers, answer = nobody.ask(method, place, body)
        if status != 401 or "problem" not in headers["Content-Type"] or "Bearer" not in headers.get("WWW-Authenticate", ""):
            opened.append(f"{method} {path}: {status}")
        scope = contract.scope(operation)
        if scope and scope != "settings:read":
            status, headers, answer = poor.ask(method, place, body)
            if status != 403 or scope not in answer["detail"]:
                told.append(f"{method} {path}: {status} {answer}")
    tap.equal(opened, [], "without a key every route is a 401 that says how to come in")
    tap.equal(told, [], "with a key of another scope a 403 that names the scope")


def readable(tap, contract, api):
    import http.client
    connection = http.client.HTTPConnection(api.where, timeout=90)
    connection.request("GET", "/api")
    answer = connection.getresponse()
    page, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    missing = [operation["operationId"] for _, _, operation in contract.operations() if f'id="{operation["operationId"]}"' not in page]
    tap.ok(answer.status == 200 and not missing and "<script" not in page and "http" not in page.split("<main>")[0].replace("http-equiv", ""),
           "/api is a page with every operation, no script, nothing from elsewhere", str(missing))
    tap.ok("default-src 'none'" in policy, "and its policy says so", policy)
    connection.request("GET", "/api/openapi.json")
    served = json.loads(connection.getresponse().read())
    tap.equal(sorted(served["paths"]), sorted(contract.typed["paths"]), "/api/openapi.json is the contract")
    connection.request("GET", "/health/ready")
    tap.equal(connection.getresponse().status, 200, "/health/ready")


def examples(tap, contract, api, ids):
    """Each GET, and each example of a body."""
    wrong, asked = [], 0
    for path, method, operation in contract.operations():
        if operation["operationId"] in STREAMS | {"session_close", "session_show"} or method in ("DELETE",):
            continue
        media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if method != "GET" and "example" not in media:
            continue
        query = {"campaign": ids["campaign"]} if operation["operationId"] in ("delivery_list", "delivery_export") else {}
        body = media.get("example")
        if operation["operationId"] in ("message_send", "list_create", "content_create", "key_create"):
            body = {**body, "brand": "Hanamaru"} if operation["operationId"] != "key_create" else body
        status, headers, answer = api.ask(method, url(path, operation, places(path, ids), query), body)
        asked += 1
        if misfit := contract.judge(operation, status, headers.get("Content-Type", ""), answer):
            wrong.append(f"{method} {path}: {misfit}")
        elif status >= 400 and not any(word in path for word in ("/inbox", "/mails", "/errors/{id}")) and not (status == 404 and id_for(path, ids) == "123456789"):
            wrong.append(f"{method} {path}: {status} {str(answer)[:200]}")
    tap.equal(wrong, [], f"every GET and every example is answered as the contract says ({asked} of them)")


def made_up(tap, contract, api, ids, todoke):
    rng = seeded(20261122)
    operations = [one for one in contract.operations() if one[2]["operationId"] not in STREAMS | {"session_open", "session_close", "contact_import"}]
    known = list(ids.values())
    wrong, counts = [], {}
    for number in range(REQUESTS):
        path, method, operation = rng.choice(operations)
        values = {one["name"]: rng.choice([id_for(path, ids)] * 3 + known + ["0", "-1", "9" * 30, "a\r\nX-Evil: 1", "日本", "%", "a/b", "\x00"]) for one in operation["parameters"]
                  if one["in"] == "path"}
        query = {one["name"]: contract.made_up(one["schema"], rng, known) for one in operation["parameters"] if one["in"] == "query" and rng.random() < 0.4}
        headers = {}
        if operation["operationId"] == "message_send" and rng.random() < 0.3:
            headers["Idempotency-Key"] = rng.choice(["a", "b", "c" * 300, "d e", "é"])
        body, raw = None, None
        media = operation.get("requestBody", {}).get("content", {})
        if "application/json" in media:
            body = contract.made_up(media["application/json"]["schema"], rng, known)
            if isinstance(body, dict) and "brand" in contract.resolve(media["application/json"]["schema"]).get("properties", {}) and rng.random() < 0.8:
                body["brand"] = "Hanamaru"
            if rng.random() < 0.03:
                raw = rng.choice([b"", b"{", b"[]", b"\xff\xfe", b'{"a":"\\u0000"}', b'{"a":1,"a":2}', b"[" * 3000, b'{"a":1e400}'])
        elif media:
            raw = rng.choice([b"", b"email\n", "email\na@b.example\n=1+1\n".encode(), b"\xff\xfe\x00", b'"a', "メールアドレス\nc@d.example\n".encode("cp932")])
        try:
            status, answered, answer = api.ask(method, url(path, operation, values, {key: str(value) for key, value in query.items()}), body, headers, raw)
        except Exception as error: # the connection must not break
            wrong.append(f"{number}: {method} {path} {values} {query} {str(body)[:300]}: {error!r}")
            if not todoke.server.runs():
                break
            continue
        counts[status] = counts.get(status, 0) + 1
        extra = {name.lower() for name in answered.keys()} - HEADERS
        misfit = contract.judge(operation, status, answered.get("Content-Type", ""), answer)
        if status >= 500 or extra or misfit:
            wrong.append(f"{number}: {method} {path} {values} {query} {str(body if raw is None else raw)[:300]}: {status} {extra or ''} {misfit} {str(answer)[:200]}")
    tap.equal(wrong[:10], [], f"{REQUESTS} made-up requests: no 500, no header more, every answer known to the contract (X3)")
    tap.ok(sum(count for status, count in counts.items() if status < 300) > REQUESTS // 10, "of which many were fine", str(counts))
    tap.note(f"answers by status: {dict(sorted(counts.items()))}")


def apart(tap, contract, where, todoke, admin):
    """X17: ids of the one brand, the key of the other."""
    kept = seed(admin, "Other", MARK)
    admin.ask("POST", "/queue/holds", {"kind": "brand", "name": next(row["id"] for row in admin.ask("GET", "/brands")[2]["items"] if row["name"] == "Other"), "why": MARK})
    todoke.ok("key", "add", f"key {MARK}", "--brand", "Other")
    bound = Api(where, todoke.ok("key", "add", "bound", "--brand", "Hanamaru").strip())
    own = seed(bound, "Hanamaru", "own", admin)
    leaks, seen = [], 0
    for path, method, operation in contract.operations():
        if contract.scope(operation) == "-" or operation["operationId"] in ("session_close", "session_open"):
            continue
        queries = [{}, {"campaign": kept["campaign"]}, {"list": kept["list"]}, {"message": kept["message"]}, {"email": f"{MARK}@message.other.example"}, {"q": MARK}, {"brand": "Other"}, {"name": f"content {MARK}"}]
        for query in queries if method == "GET" or operation["operationId"] == "suppression_import" else [{}, {"brand": "Other"}]:
            if operation["operationId"] in STREAMS and method == "GET":
                if "{" not in path:
                    continue # the stream is asked below
            body = None if method == "GET" else {"brand": "Other", "name": "taken", "subject": "x", "html": "y", "text": "y", "to": "a@b.example", "content_id": kept["content"], "list_id": kept["list"],
                                                 "email": f"{MARK}@person.other.example", "list_ids": [kept["list"]], "contact_ids": [kept["contact"]], "emails": [f"{MARK}@stop.other.example"],
                                                 "kind": "brand"}
            allowed = contract.resolve(operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})).get("properties")
            if body is not None and allowed is not None:
                body = {key: value for key, value in body.items() if key in allowed}
                if operation["operationId"] == "message_send":
                    body.pop("html"), body.pop("text"), body.pop("subject")
            status, _, answer = bound.ask(method, url(path, operation, places(path, kept), query), body)
            seen += 1
            said = json.dumps(answer, ensure_ascii=False) if not isinstance(answer, bytes) else answer.decode("utf-8", "replace")
            if MARK in said and not (status in (400, 404, 409)) or any(value in said for key, value in kept.items() if key != "email") and status < 300:
                leaks.append(f"{method} {path} {query}: {status} {said[:300]}")
            if method != "GET" and status < 300 and "{id}" in path:
                leaks.append(f"{method} {path}: {status}, something of the other brand was changed")
    tap.equal(leaks, [], f"a key of one brand never sees or changes the other's ({seen} requests, X17)")
    checked = bound.ask("POST", "/suppressions/check", {"emails": [f"{MARK}@stop.other.example"]})[2]
    tap.equal(checked["items"][0]["suppressed"], False, "what the other brand excludes says nothing to this one")
    tap.equal([admin.ask("GET", f"/{kind}s/{kept[kind]}".replace("deliverys", "deliveries"))[0] for kind in ("list", "contact", "content", "campaign", "message", "delivery", "file")], [200] * 7, "it is all still there")
    tap.equal([bound.ask("GET", f"/{kind}s/{own[kind]}".replace("deliverys", "deliveries"))[0] for kind in ("list", "contact", "content", "campaign", "message", "delivery", "file")], [200] * 7, "and its own it sees")
    own_people(tap, admin, bound, kept, own)
    tap.equal(bound.ask("POST", "/contacts", {"email": "own@person.hanamaru.example", "name": "New", "list_ids": [own["list"]]})[0], 200, "its own people it changes")
    tap.equal(bound.ask("POST", "/keys", {"name": "more"})[0], 403, "a bound key makes no key for every brand")
    status, _, made = bound.ask("POST", "/keys", {"name": "fewer", "scopes": ["messages:read"], "brand_ids": [bound.ask("GET", "/brands")[2]["items"][0]["id"]]})
    tap.equal((status, made["scopes"]), (201, ["messages:read"]), "but one for its own")
    tap.equal((bound.ask("DELETE", "/keys/" + made["id"])[0], Api(where, made["secret"]).ask("GET", "/session")[0]), (204, 401), "revoked, it is refused at once")


def own_people(tap, admin, bound, kept, own):
    """New people of a bound key: its own, whoever else knows them."""
    before = admin.ask("GET", "/contacts/" + kept["contact"])[2]
    addresses = f"{MARK}@person.other.example", "nobody-knows@person.example"
    def told(status, answer, address):
        said = {key: value for key, value in answer.items() if key not in ("id", "created_at", "updated_at")}
        return status, json.dumps(said).replace(address, "ADDRESS"), int(answer.get("id", 0)) >> 8 > int(kept["delivery"]) >> 8
    making = {"name": "Mine", "consent": "the shop's form", "fields": {"size": "L"}, "list_ids": [own["list"]]}
    said = []
    for address in addresses: # the same conversation about both
        here = []
        status, _, answer = bound.ask("POST", "/contacts", {"email": address, "list_ids": [own["list"]]})
        here.append((status, answer.get("field")))
        status, _, made = bound.ask("POST", "/contacts", {"email": address, **making})
        here.append(told(status, made, address))
        for method, place, body in [("GET", "/contacts/" + made["id"], None), ("POST", "/contacts", {"email": address, "name": "Again", "list_ids": [own["list"]]}),
                                    ("PATCH", "/contacts/" + made["id"], {"fields": {"size": None, "note": "mine"}})]:
            status, _, answer = bound.ask(method, place, body)
            here.append(told(status, answer, address))
        here.append([len(bound.ask("GET", "/contacts?q=" + urllib.parse.quote(address))[2]["items"]), len(bound.ask("GET", "/contacts/export?format=json")[2])])
        status, _, answer = bound.ask("POST", "/lists/" + own["list"] + "/members", {"contact_ids": [made["id"]]})
        here.append(status)
        here.append(bound.ask("GET", f"/contacts/{made['id']}/optins")[2]["items"])
        here.append(admin.ask("GET", "/contacts/" + made["id"])[2]["brand_id"] is not None)
        here.append(admin.ask("POST", "/lists/" + kept["list"] + "/members", {"contact_ids": [made["id"]]})[0])
        here.append((bound.ask("DELETE", "/contacts/" + made["id"])[0], bound.ask("GET", "/contacts/" + made["id"])[0], admin.ask("GET", "/contacts/" + made["id"])[0]))
        _, _, answer = bound.ask("POST", f"/contacts/import?list=own&consent=shop", raw=f"email,name\r\n{address},Filed\r\n".encode())
        last = [json.loads(line) for line in (answer if isinstance(answer, bytes) else json.dumps(answer).encode()).splitlines()][-1]
        here.append((last["done"], last["new"], last["updated"], last["rejected"]))
        _, _, answer = bound.ask("GET", "/contacts?q=" + urllib.parse.quote(address))
        here.append([(row["name"], row["fields"], row["consent"]) for row in answer["items"]])
        for row in answer["items"]:
            bound.ask("DELETE", "/contacts/" + row["id"])
        said.append(here)
    tap.equal(said[0], said[1], "every answer about one whom the other brand knows is that about one whom nobody knows (X17)")
    tap.equal([said[0][0], said[0][1][0], said[0][3][0], said[0][4][0], said[0][9]], [(400, "consent"), 201, 200, 200, 400], "made with a consent, changed, and put on no list of another brand")
    tap.equal(said[0][-1], [("Filed", {}, "shop")], "a file of a bound key fills its own contacts")
    tap.equal(admin.ask("GET", "/contacts/" + kept["contact"])[2], before, "and the other brand's contact is as it was, to the millisecond")
    both = bound.ask("POST", "/lists", {"name": "both"})[2]["id"]
    for api in (bound, admin):
        api.ask("POST", "/contacts", {"email": "both@person.example", "consent": "c", "list_ids": [both]})
    campaign = bound.ask("POST", "/campaigns", {"name": "both", "content_id": own["content"], "list_id": both})[2]["id"]
    bound.ask("POST", f"/campaigns/{campaign}/send", {})
    mails = until(lambda: bound.ask("GET", f"/deliveries?campaign={campaign}")[2]["items"], 20, "a campaign to both")
    tap.equal((bound.ask("GET", "/lists/" + both)[2]["members"], [row["email"] for row in mails]), (2, ["both@person.example"]), "known to the brand and to the house, on one list: one mail")


def story(tap, store):
    with Place("openapi") as place:
        contract = Contract()
        todoke = place.installation(store=store)
        todoke.brand()
        todoke.serve()
        where = todoke.http
        admin = Api(where, todoke.ok("key", "add", "admin").strip())
        ids = seed(admin, "Hanamaru", "mine")
        readable(tap, contract, admin)
        the_door(tap, contract, where, todoke)
        examples(tap, contract, admin, ids)
        todoke.ok("brand", "add", "Other", "--from", f"{MARK} <news@other.example>", "--return-path", "bounce.other.example", "--links", "https://other.example")
        until(lambda: admin.ask("POST", "/lists", {"name": "x"})[0] == 400, 30, "the second brand")
        apart(tap, contract, where, todoke, admin)
        made_up(tap, contract, admin, ids, todoke)
        tap.equal(todoke.stop(), 0, "the server ends well")


with Tap() as tap:
    for words, store in stores("openapi"):
        tap.note(f"on {words}")
        story(tap, store)
