"""Mail that programs send over HTTP: accepted after its commit, rendered with merge data, signed, delivered; repeated with its
Idempotency-Key, scheduled, cancelled; who is excluded is told (U13, U24); what would become a header of its own is refused or encoded (X3);
a key does what its scopes say, for its brands, as often as its rate allows (X16, X17)."""
import base64
import datetime
import email
import email.policy
import http.client
import json

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until, stores

GOOD = f"{NET}.77"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [GOOD]}}


class Api:
    def __init__(self, where, secret):
        self.where, self.secret = where, secret

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.where, timeout=90)
        headers = {"Authorization": "Bearer " + self.secret, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.headers, json.loads(data) if "json" in answer.headers.get("Content-Type", "") else data

    def send(self, body, **headers):
        return self.ask("POST", "/messages", body, **headers)


def parsed(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def a_receipt(tap, api, receiver):
    status, _, answer = api.send({
        "from": "花まる商店 <orders@shop.example>", "to": {"email": "Hanako@good.example", "name": "山田 花子", "data": {"order": {"id": 12, "items": ["本", "鉛筆"]}}},
        "subject": "ご注文 {{ order.id }} の確認", "html": "<p>{{ name }} 様</p>{% for item in order.items %}<li>{{ item }}</li>{% endfor %}",
        "text": "{{ name }} 様: {{ order.items | join: '、' }}", "reply_to": "help@shop.example", "headers": {"X-Order": "12", "In-Reply-To": "<a@b>", "TLS-Required": "no"},
        "tags": ["receipt"], "label": "orders",
        "attachments": [{"name": "領収書.txt", "type": "text/plain", "content": base64.b64encode("領収書".encode()).decode()}]})
    tap.equal((status, answer.get("state"), [row["state"] for row in answer.get("recipients", [])]), (202, "accepted", ["accepted"]), "a receipt is accepted")
    raw = until(lambda: receiver.to("Hanako@good.example"), 20, "the receipt")[0]
    mail = parsed(raw)
    tap.equal((mail["From"], mail["To"], mail["Subject"], mail["Reply-To"], mail["X-Order"], mail["In-Reply-To"], mail["TLS-Required"]),
              ("花まる商店 <orders@shop.example>", "山田 花子 <Hanako@good.example>", "ご注文 12 の確認", "help@shop.example", "12", "<a@b>", "no"), "with its headers")
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    files = [(part.get_filename(), part.get_content()) for part in mail.iter_attachments()]
    tap.ok("山田 花子 様: 本、鉛筆" in text and "<li>本</li><li>鉛筆</li>" in html, "rendered with the merge data", text + html)
    tap.equal(files, [("領収書.txt", "領収書")], "and its file")
    tap.ok(mail["DKIM-Signature"] and "d=shop.example" in mail["DKIM-Signature"] and not mail["List-Unsubscribe"], "signed; a receipt has no unsubscribe link")
    shown = until(lambda: (lambda found: found if found["state"] == "ended" else None)(api.ask("GET", "/messages/" + answer["id"])[2]), 20, "the end of the message")
    kinds = [entry["kind"] for entry in shown["timeline"]]
    tap.equal((shown["counts"]["delivered"], shown["deliveries"][0]["state"], shown["tags"], shown["label"], kinds), (1, "delivered", ["receipt"], "orders", ["accepted", "delivered"]),
              "GET /messages/{id} says what became of it")


def by_content(tap, api, receiver):
    _, _, content = api.ask("POST", "/contents", {"name": "receipt", "subject": "{{ contact.name }}: {{ order.id }}", "html": "<p>{{ contact.name }} {{ contact.shop }} {{ brand.name }} {{ email }}</p>"})
    api.send({"to": [{"email": "c1@good.example", "name": "花", "data": {"order": {"id": 7}}}, "c2@good.example"], "content_id": content["id"], "data": {"shop": "本店", "order": {"id": 0}}})
    mails = [parsed(until(lambda to=to: receiver.to(to), 20, to)[0]) for to in ("c1@good.example", "c2@good.example")]
    tap.equal([mail["Subject"] for mail in mails], ["花: 7", ": 0"], "a content by its id, as a campaign would use it")
    tap.ok("花 本店 Hanamaru c1@good.example" in mails[0].get_body(("html",)).get_content(), "with the data as the contact's", mails[0].get_body(("html",)).get_content())
    status, _, answer = api.send({"to": "broken@good.example", "subject": "s", "text": "{{ 1 | divided_by: n }}", "data": {"n": 0}})
    shown = until(lambda: (lambda found: found if found["state"] == "ended" else None)(api.ask("GET", "/messages/" + answer["id"])[2]), 20, "its end")
    tap.equal((status, shown["deliveries"][0]["state"], shown["deliveries"][0]["reason"]), (202, "bounced", "content_error"), "a rendering fault ends that delivery and says so")
    tap.ok("line 1" in shown["deliveries"][0]["diagnostic"], "with the place", shown["deliveries"][0]["diagnostic"])


def many(tap, todoke, api, receiver):
    todoke.ok("suppress", "add", "stop@good.example")
    people = [{"email": f"m{i}@good.example", "data": {"n": i}} for i in range(998)] + ["stop@good.example", "Zoe <zoe@good.example>"]
    status, _, answer = api.send({"to": people, "data": {"n": "all", "shop": "花まる"}, "subject": "{{ shop }} {{ n }}", "text": "Hello {{ n }}", "unsubscribe": True})
    states = {row["email"]: (row["state"], row["reason"]) for row in answer.get("recipients", [])}
    tap.equal((status, len(states), states.get("stop@good.example"), states.get("zoe@good.example")), (202, 1000, ("suppressed", "manual"), ("accepted", "")),
              "a thousand in one call; the excluded one is told so (U13)")
    tap.equal([row["email"] for row in answer["recipients"]][::333], ["m0@good.example", "m333@good.example", "m666@good.example", "zoe@good.example"], "in the order of the request")
    until(lambda: len([1 for _, to, _ in receiver.mails if to.startswith("m")]) == 998, 60, "998 mails")
    mail = parsed(receiver.to("m7@good.example")[0])
    tap.ok(mail["Subject"] == "花まる 7" and "https://shop.example/u/" in mail["List-Unsubscribe"] and mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click",
           "each with data of his own before what is common, and a link of his own", str(mail["Subject"]))
    until(lambda: receiver.to("zoe@good.example"), 20, "Zoe's mail")
    tap.equal(parsed(receiver.to("zoe@good.example")[0])["Subject"], "花まる all", "who has none gets what is common")
    tap.ok(not receiver.to("stop@good.example"), "who is excluded gets nothing")
    counts = api.ask("GET", "/messages/" + answer["id"])[2]["counts"]
    tap.equal(counts["suppressed"], 1, "and is in the counts as suppressed")


def again(tap, api, receiver):
    body = {"to": "once@good.example", "subject": "once", "text": "once"}
    first = api.send(body, Idempotency_Key="order-1")
    second = api.send(body, Idempotency_Key="order-1")
    tap.ok(first[0] == second[0] == 202 and first[2] == second[2] and second[1]["Idempotent-Replayed"] == "true", "the same key and body: the same answer (U24)", str(second))
    tap.equal(api.send({**body, "text": "twice"}, Idempotency_Key="order-1")[0], 409, "another body: 409")
    api.send(body, Idempotency_Key="order-2")
    until(lambda: len(receiver.to("once@good.example")) >= 2, 20, "two mails")
    tap.equal(len(receiver.to("once@good.example")), 2, "one mail for each key")
    made = [api.ask("POST", "/lists", {"name": "once"}, Idempotency_Key="list-1") for _ in range(2)]
    tap.ok(made[0][0] == made[1][0] == 201 and made[0][2] == made[1][2], "and so is a list that is made with one", str(made))
    tap.equal(api.ask("POST", "/lists", {"name": "once"})[0], 409, "without it the second is told that there is one")
    tap.equal(api.ask("POST", "/keys", {"name": "x"}, Idempotency_Key="key-1")[0], 400, "a key's secret is never kept, so it takes none (X15)")
    labelled = api.ask("GET", "/messages?label=orders&tag=receipt&limit=1")[2]
    tap.equal([(row["label"], row["tags"], row["recipient_count"]) for row in labelled["items"]], [("orders", ["receipt"], 1)], "messages are found by label and tag")
    tap.equal(api.ask("GET", "/messages?tag=rec")[2]["items"], [], "by the whole tag")
    status, _, problem = api.send(body, Idempotency_Key="a b")
    tap.equal((status, problem["field"]), (400, "Idempotency-Key"), "a key that is none is refused")


def later(tap, api, receiver):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
    tomorrow = soon + datetime.timedelta(days=1)
    _, _, first = api.send({"to": "soon@good.example", "subject": "soon", "text": "x", "send_at": soon.isoformat()})
    status, _, second = api.send({"to": "never@good.example", "subject": "never", "text": "x", "send_at": tomorrow.isoformat()})
    is_early = datetime.datetime.now(datetime.timezone.utc) < soon # else the machine was slower than the wait
    tap.equal((status, first["state"] if is_early else "scheduled", second["state"]), (202, "scheduled", "scheduled"), "for later")
    arrived = receiver.to("soon@good.example")
    tap.ok(not arrived or datetime.datetime.now(datetime.timezone.utc) >= soon, "it waits")
    status, _, shown = api.ask("POST", f"/messages/{second['id']}/cancel")
    tap.equal((status, shown["state"], shown["counts"]["cancelled"]), (200, "ended", 1), "and can be cancelled")
    tap.equal(api.ask("POST", f"/messages/{second['id']}/cancel")[0], 409, "once")
    until(lambda: receiver.to("soon@good.example"), 20, "the scheduled mail")
    tap.ok(True, "the other goes when its time has come")
    tap.equal(api.ask("POST", f"/messages/{first['id']}/cancel")[0], 409, "what is delivered cannot be cancelled")


def wrong(tap, api):
    good = {"to": "a@good.example", "subject": "s", "text": "t"}
    for field, change in [
        ("to", {"to": None}), ("to", {"to": []}), ("to", {"to": "nobody"}), ("to[1]", {"to": ["a@good.example", "b"]}), ("to[1]", {"to": ["a@good.example", "A@good.example"]}),
        ("to.email", {"to": {"email": 7}}), ("to.mail", {"to": {"mail": "a@good.example"}}), ("to[0].data", {"to": [{"email": "a@good.example", "data": []}]}),
        ("to", {"to": [f"a{i}@good.example" for i in range(1001)]}), ("subject", {"subject": None}), ("subject", {"subject": "a\r\nBcc: x@y"}),
        ("subject", {"subject": "{{ a"}), ("text", {"text": None}), ("text", {"text": "{% if %}"}), ("html", {"html": "{{ a | nothing }}"}),
        ("from", {"from": "a@elsewhere.example"}), ("from", {"from": "花 <a@elsewhere.example>"}), ("reply_to", {"reply_to": "x"}), ("headers.Bcc", {"headers": {"Bcc": "x"}}),
        ("headers.X-A", {"headers": {"X-A": "a\nb"}}), ("headers", {"headers": []}), ("attachments[0].content", {"attachments": [{"name": "a", "content": "*"}]}),
        ("attachments", {"attachments": [{"name": "a", "type": "multipart/x", "content": ""}]}), ("send_at", {"send_at": "tomorrow"}), ("send_at", {"send_at": "2099-01-01T00:00:00Z"}),
        ("expires_at", {"expires_at": "2020-01-01T00:00:00Z"}), ("priority", {"priority": "high"}), ("tags[0]", {"tags": ["a\u2028b"]}), ("brand", {"brand": "nobody"}),
        ("content_id", {"content_id": "7", "subject": None, "text": None}), ("content_id", {"content_id": "7"}), ("bcc", {"bcc": "x@y"}), ("data", {"data": []}),
    ]:
        status, _, problem = api.send({key: value for key, value in {**good, **change}.items() if value is not None})
        tap.equal((status, problem.get("field")), (400, field), f"wrong: {json.dumps(change, ensure_ascii=False)[:70]}")
    for text in ("", "[]", "{", '{"to":1,"to":2}', '{"to":"\\u0000"}', "\xff"):
        connection = http.client.HTTPConnection(api.where, timeout=90)
        connection.request("POST", "/api/v1/messages", text.encode("latin-1"), {"Authorization": "Bearer " + api.secret})
        tap.equal(connection.getresponse().status, 400, f"no JSON object: {text!r}")
        connection.close()


def header_injection(tap, api, receiver):
    naughty = ["\r\n", "\n", "\r", "\u0085", "\u2028", "\r\nBcc: evil@good.example\r\n", "\n\nevil"]
    sent = refused = 0
    for number, bad in enumerate(naughty):
        text = f"a{bad}X-Evil: 1"
        for place in ("data", "name", "from", "subject", "reply_to", "header", "filename", "content_id", "type", "tag", "label"):
            body = {"to": {"email": f"x{number}@good.example", "data": {"v": text}}, "subject": "s {{ v }}", "text": "t {{ v }}", "html": "<p>{{ v }}"}
            if place == "name":
                body["to"]["name"] = text
            elif place == "from":
                body["from"] = {"email": "a@shop.example", "name": text}
            elif place in ("subject", "reply_to", "label"):
                body[place] = text
            elif place == "header":
                body["headers"] = {"X-A": text}
            elif place in ("filename", "content_id", "type"):
                body["attachments"] = [{"name": "a", "type": "text/plain", "content": "", {"filename": "name"}.get(place, place): text}]
            elif place == "tag":
                body["tags"] = [text]
            status, _, _ = api.send(body)
            sent += status == 202
            refused += status == 400
    tap.equal((sent, refused), (len(naughty), len(naughty) * 10), "X3: line ends in what is a header are refused; merge data is taken")
    until(lambda: len([1 for _, to, _ in receiver.mails if to.startswith("x")]) == sent, 30, "the naughty mails")
    allowed = {"date", "from", "to", "subject", "message-id", "reply-to", "mime-version", "content-type", "dkim-signature", "received"}
    extra = {name for _, to, raw in receiver.mails if to.startswith("x") for name in (key.lower() for key in parsed(raw).keys())} - allowed
    tap.equal(extra, set(), "X3: and no mail has a header more")


def keys(tap, todoke, api):
    todoke.ok("brand", "add", "Other", "--from", "Other <news@other.example>", "--return-path", "bounce.other.example", "--links", "https://other.example")
    body = {"to": "k@good.example", "subject": "s", "text": "t"}
    until(lambda: api.send(body)[2].get("field") == "brand", 30, "the second brand")
    tap.ok(True, "with two brands one says for which")
    _, _, own = api.send({**body, "brand": "Hanamaru"})
    _, _, others = api.send({**body, "brand": "Other"})
    bound = Api(api.where, todoke.ok("key", "add", "bound", "--scope", "messages", "--brand", "Hanamaru").strip())
    tap.equal(bound.send(body)[0], 202, "a key of one brand speaks for it")
    tap.equal((bound.send({**body, "brand": "Other"})[0], bound.ask("GET", "/messages/" + own["id"])[0], bound.ask("GET", "/messages/" + others["id"])[0],
               bound.ask("POST", f"/messages/{others['id']}/cancel")[0], bound.send({**body, "from": "news@other.example"})[0]), (400, 200, 404, 404, 400), "and for no other (X17)")
    tap.equal([bound.ask("GET", path)[0] for path in ("/campaigns", "/errors", "/home")], [403, 403, 403], "what its scopes do not say is a 403")
    reading = Api(api.where, todoke.ok("key", "add", "reading", "--scope", "messages:read").strip())
    tap.equal((reading.send(body)[0], reading.ask("GET", "/messages/" + own["id"])[0]), (403, 200), "messages:read sends nothing")
    slow = Api(api.where, todoke.ok("key", "add", "slow", "--rate", "3").strip())
    said = [slow.ask("GET", "/session") for _ in range(5)]
    tap.equal([status for status, _, _ in said], [200, 200, 200, 429, 429], "three a minute (X16)")
    tap.ok(int(said[4][1]["Retry-After"]) in range(1, 22) and said[0][1]["RateLimit"].startswith('"key";r=2;t=') and said[0][1]["RateLimit-Policy"] == '"key";q=3;w=60',
           "with how many are left and when to come again", str(said[4][1]))
    todoke.ok("key", "remove", "bound")
    until(lambda: bound.send(body)[0] in (401, 429), 30, "the revoked key")
    tap.ok(True, "a key that was revoked is refused within seconds")


def story(tap, store):
    with Place("messages") as place:
        todoke = place.installation(zone=ZONE, store=store)
        receiver = Receiver(GOOD, PORT)
        todoke.brand()
        todoke.serve()
        api = Api(todoke.http, todoke.ok("key", "add", "test").strip())
        a_receipt(tap, api, receiver)
        if not store:
            tap.equal(todoke.sql("SELECT domain, waives_tls FROM lane"), [("good.example", 1)], "TLS-Required: No goes by a lane that waives policies (RFC 8689)")
        by_content(tap, api, receiver)
        many(tap, todoke, api, receiver)
        again(tap, api, receiver)
        later(tap, api, receiver)
        wrong(tap, api)
        header_injection(tap, api, receiver)
        books = todoke.audit()
        tap.ok(books["agrees"] and books["status"] == 0, "the books agree", str(books))
        keys(tap, todoke, api)
        receiver.end()
        tap.equal(todoke.stop(), 0, "the server ends well")


with Tap() as tap:
    for words, store in stores("messages"):
        tap.note(f"on {words}")
        story(tap, store)
