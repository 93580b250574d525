"""People ask to be on a list themselves (S53, S54, L2), and say what they want of a brand (L4, S74): a GET of any link changes nothing, whoever makes it (U11);
unconfirmed people get no campaign; the answer never tells whether an address is known; what is refused holds for mail that waits already."""
import email
import email.policy
import http.client
import json
import re
import subprocess
import urllib.parse

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until, stores

GOOD, SLOW = f"{NET}.78", f"{NET}.79"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [GOOD]}}
POLICY = r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def ask(where, path, method="GET", form=None, **headers):
    """(status, headers, page)"""
    connection = http.client.HTTPConnection(where, timeout=90)
    body = urllib.parse.urlencode(form) if form is not None else None
    connection.request(method, path, body, {**({"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}),
                                            **{name.replace("_", "-"): value for name, value in headers.items()}})
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, page


def curl(*arguments):
    return subprocess.run(["curl", "-sS", "--max-time", "90", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


def api(todoke, key, method, path, body=None):
    connection = http.client.HTTPConnection(todoke.http, timeout=90)
    connection.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None, {"Authorization": "Bearer " + key})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


def link_of(mail, letter):
    return re.search(rf"https://shop\.example(/{letter}/[a-z2-7]{{50}})", mail.get_body(("plain",)).get_content()).group(1)


def mail_to(receiver, person, number=0):
    until(lambda: len(receiver.to(person)) > number, 20, f"mail {number + 1} to {person}")
    return email.message_from_bytes(receiver.to(person)[number], policy=email.policy.default)


def the_form(tap, todoke, list_id):
    where, path = todoke.http, f"/s/{list_id}"
    status, headers, page = ask(where, path)
    tap.ok(status == 200 and "<h1>月のたより</h1>" in page and "いつでも解除できます &lt;b&gt;" in page and '<html lang="ja">' in page, "the form says what it is for, escaped", page)
    tap.ok(re.fullmatch(POLICY, headers["Content-Security-Policy"]) and headers["Referrer-Policy"] == "no-referrer", "a strict policy that names its style by hash", str(headers))
    tap.ok("<script" not in page and " style=" not in page and " on" not in re.sub(r">[^<]*<", "><", page.split("</style>")[1]), "no script, no inline handler", page)
    inputs = re.findall(r'<label>[^<]*<input type="(\w+)"', page)
    tap.ok("email" in inputs and "text" in inputs, "each field stands in its label", str(inputs))
    tap.ok("Subscribe</button>" in ask(where, path, Accept_Language="en-GB,ja;q=0.5")[2], "in the browser's language")
    tap.equal([ask(where, f"/s/{number}")[0] for number in (int(list_id) ^ 256, "x", 0)], [404] * 3, "a list that has no form is not there")
    status, _, page = ask(where, path, "POST", {"email": "no address", "name": "<i>"})
    tap.ok(status == 400 and 'role="alert"' in page and "&lt;i&gt;" in page, "a wrong address is told on the form", page)


def double_opt_in(tap, todoke, receiver, key, list_id):
    where = todoke.http
    answers = {}
    for person in ("p0@good.example", "new@good.example", "stopped@good.example"):
        status, _, page = ask(where, f"/s/{list_id}", "POST", {"email": person, "name": "花子", "lang": "ja"}, User_Agent="Firefox")
        answers[person] = (status, page)
    tap.ok(len(set(answers.values())) == 1 and answers["new@good.example"][0] == 200, "known, new and excluded addresses hear the same", str(answers))
    mail = mail_to(receiver, "new@good.example")
    tap.ok("ご登録の確認" in mail["Subject"] and mail["Auto-Submitted"] == "auto-generated" and "List-Unsubscribe" not in mail and "DKIM-Signature" in mail, "the brand asks by mail, signed", str(mail))
    text = mail.get_body(("plain",)).get_content()
    tap.ok("月のたより" in text and "Somebody, hopefully you" in text and "東京都千代田区" in text, "in both languages, with who sends it", text)
    path = link_of(mail, "k")
    tap.ok(path in mail.get_body(("html",)).get_content().replace("&#x2F;", "/"), "in the HTML too")
    tap.equal(receiver.to("stopped@good.example"), [], "who is excluded is not written to")
    mail_to(receiver, "p0@good.example")  # imported, on another list only: he is asked, too

    show = lambda: todoke.json("contact", "show", "new@good.example")  # noqa: E731
    tap.ok(show()["unconfirmed"], "until then the contact is unconfirmed")
    for agent in ("Mozilla/5.0 Firefox/130.0", "Barracuda Sentinel", "curl/7.88"):
        status, headers, page = ask(where, path, User_Agent=agent, Sec_Purpose="prefetch")
        tap.ok(status == 200 and "new@good.example" in page and '<form method="post">' in page and re.fullmatch(POLICY, headers["Content-Security-Policy"]), f"{agent}: a page with a button", page)
    ask(where, path, "HEAD")
    page = curl("-L", f"http://{where}{path}")
    tap.ok("登録する</button>" in page and show()["unconfirmed"], "GET and HEAD confirmed nothing (U11)", page)
    todoke.ok("list", "add", "letters", "new@good.example")
    todoke.ok("campaign", "send", "first")
    until(lambda: receiver.to("p1@good.example"), 30, "the first campaign")
    todoke.settled("first", 3, 30)
    tap.equal(len(receiver.to("new@good.example")), 1, "unconfirmed: no campaign, even on the list (S53)")
    tap.equal(todoke.report("first")["left_out_by"], [{"why": "unconfirmed", "count": 1}], "and the report says why")

    answer = curl("-X", "POST", "-A", "curl-person", "-d", "confirm=1", f"http://{where}{path}")
    tap.ok("登録が完了しました" in answer and "shop.example</b>" in answer, "the button's POST confirms", answer)
    tap.ok("登録が完了しました" in ask(where, path, "POST", {"confirm": "1"})[2], "twice is fine")
    contact = show()
    tap.ok(not contact["unconfirmed"] and contact["consent"].startswith('double opt-in, "月のたより", asked 20'), "confirmed, and how", str(contact))
    status, proofs = api(todoke, key, "GET", f"/contacts/{contact['id']}/optins")
    proof = proofs["items"][0]
    tap.ok(status == 200 and proof["asked_ip"] == "127.0.0.1" and proof["asked_user_agent"] == "Firefox" and proof["confirmed_user_agent"] == "curl-person" and "いつでも解除" in proof["notice"] and proof["confirmed_at"],
           "who asked when, from where, what was shown, and who confirmed (L2)", str(proofs))
    shown = todoke.ok("contact", "show", "new@good.example")
    tap.ok("asked      \"月のたより\" (form)" in shown and "curl-person" in shown, "todoke contact show prints it", shown)
    broken = path[:-1] + ("a" if path[-1] != "a" else "e")
    tap.equal([ask(where, wrong, method)[0] for wrong in (broken, path.replace("/k/", "/p/"), path.replace("/k/", "/u/")) for method in ("GET", "POST")], [404] * 6, "a changed token, or one of another kind, is nothing")


def limits(tap, todoke, receiver, list_id):
    for _ in range(3):
        ask(todoke.http, f"/s/{list_id}", "POST", {"email": "again@good.example"})
    mail_to(receiver, "again@good.example")
    ask(todoke.http, f"/s/{list_id}", "POST", {"email": "robot@good.example", "website": "https://spam.example"})
    answers = [ask(todoke.http, f"/s/{list_id}", "POST", {"email": f"many{i}@good.example"})[:2] for i in range(20)]
    refused = [headers["Retry-After"] for status, headers in answers if status == 429]
    tap.ok(refused and int(refused[0]) > 0 and answers[0][0] == 200, "one network asks only so often", str([status for status, _ in answers]))
    mail_to(receiver, "many0@good.example")
    tap.equal((len(receiver.to("again@good.example")), len(receiver.to("robot@good.example"))), (1, 0), "one mail for three requests in a row, none for what filled in the hidden field")


def by_program(tap, todoke, receiver, key, list_id):
    asked = [api(todoke, key, "POST", f"/lists/{list_id}/optins", {"email": person, "lang": "en", "ip": "203.0.113.9", "user_agent": "Safari", "notice": "Our own form"})
             for person in ("english@good.example", "new@good.example", "stopped@good.example")]
    tap.equal(asked, [(202, {"state": "asked"})] * 3, "a program asks: the same answer for all")
    mail = mail_to(receiver, "english@good.example")
    text = mail.get_body(("plain",)).get_content()
    tap.ok(mail["Subject"].startswith("Please confirm") and text.index("Somebody") < text.index("お申し込み"), "English first for who reads English", text)
    tap.ok("Subscribe</button>" in ask(todoke.http, link_of(mail, "k"))[2], "the page, too")
    tap.equal(api(todoke, key, "POST", f"/lists/{list_id}/optins", {"email": "x@good.example", "ip": "nowhere"})[1]["field"], "ip", "a wrong member is named")


def preferences(tap, todoke, receiver, list_id, other_id):
    where = todoke.http
    todoke.ok("campaign", "send", "second")  # to the new list: new@ alone
    mail = mail_to(receiver, "new@good.example", 1)
    path = link_of(mail, "p")
    status, headers, page = ask(where, path)
    tap.ok(status == 200 and "new@good.example" in page and re.fullmatch(POLICY, headers["Content-Security-Policy"]), "the link in a mail opens the preferences", page)
    ticked = re.findall(r'name="list-(\d+)" value="1"( checked)?', page)
    tap.equal(sorted(ticked), sorted([(list_id, " checked"), (other_id, " checked")]), "both lists of the brand, as they are; the one without a title is not shown")
    tap.ok(page.count("<legend>") == 4 and page.count("<label>") == page.count("<input type=\"checkbox\"") + page.count("<input type=\"radio\"") and "<script" not in page, "each choice has its label, each group its legend", page)
    before = todoke.sql("SELECT COUNT(*) FROM event WHERE kind IN (16, 22)") if not todoke.store.startswith("postgres") else None
    for agent in ("Mozilla/5.0", "Googlebot/2.1"):
        ask(where, path, User_Agent=agent)
        ask(where, path + "?all=1&save=1", User_Agent=agent)
    if before:
        tap.equal(todoke.sql("SELECT COUNT(*) FROM event WHERE kind IN (16, 22)"), before, "GET changes nothing (U11)")
    seen = {f"seen-{list_id}": 1, f"seen-{other_id}": 1}
    _, _, page = ask(where, path, "POST", {**seen, f"list-{list_id}": 1, "lang": "en", "pause": "0", "save": 1})
    tap.ok("Saved." in page and '<html lang="en">' in page and f'name="list-{other_id}" value="1">' in page, "one list less, in English from now on", page)
    tap.ok("<html lang=\"en\">" in ask(where, path)[2], "the language is kept with the contact")
    return path, seen


def at_once(tap, todoke, receiver, path, seen, list_id):
    """Refused while a mail to it waits: it is not sent (S74, L4)."""
    where = todoke.http
    for name, form, kept in (("list", {**seen, "save": 1}, {**seen, f"list-{list_id}": 1, "save": 1}),
                             ("pause", {**seen, f"list-{list_id}": 1, "pause": "30", "save": 1}, {**seen, f"list-{list_id}": 1, "pause": "0", "save": 1}),
                             ("all", {"all": 1}, {**seen, f"list-{list_id}": 1, "save": 1})):
        tap.equal(api(todoke, todoke.key_secret, "POST", "/queue/holds", {"kind": "domain", "name": "good.example", "why": "test"})[0] // 100, 2, f"{name}: the domain is held")
        todoke.ok("campaign", "send", f"wait-{name}")
        until(lambda name=name: todoke.report(f"wait-{name}")["accepted"] == 1, 20, "a waiting delivery")
        status, _, page = ask(where, path, "POST", form)
        api(todoke, todoke.key_secret, "DELETE", "/queue/holds/domain/good.example")
        report = todoke.settled(f"wait-{name}", 1, 30)
        tap.ok(status == 200 and report["counts"]["suppressed"] == 1, f"{name}: what waited already is not sent", json.dumps(report["counts"]) + page)
        status, _, page = ask(where, path, "POST", kept)
        tap.ok(f'name="list-{list_id}" value="1" checked' in page, f"{name}: and he alone takes it back", page)
    tap.equal(len(receiver.to("new@good.example")), 2, "nothing came meanwhile")
    todoke.ok("campaign", "send", "after")
    mail_to(receiver, "new@good.example", 2)
    tap.ok(True, "and it goes on where he wants it")


def comes_back(tap, todoke, receiver, list_id, path):
    ask(todoke.http, path, "POST", {"all": 1})
    status, answer = api(todoke, todoke.key_secret, "POST", f"/lists/{list_id}/optins", {"email": "new@good.example"})
    mail = mail_to(receiver, "new@good.example", 3)
    tap.ok(status == 202 and "ご登録の確認" in mail["Subject"], "who left by himself and asks again gets the mail that asks him", str(answer))
    ask(todoke.http, link_of(mail, "k"), "POST", {"confirm": 1})
    tap.ok(f'name="list-{list_id}" value="1" checked' in ask(todoke.http, path)[2], "and is on it again")


def story(tap, store):
    with Place("optin") as place:
        todoke = place.installation(zone=ZONE, store=store, optin__per_network=20)
        receiver = Receiver(GOOD, PORT)
        todoke.brand()
        todoke.people([f"p{i}@good.example" for i in range(3)], "letters")
        todoke.key_secret = key = todoke.ok("key", "add", "program").strip()
        todoke.ok("list", "create", "monthly", "--brand", "Hanamaru")
        todoke.ok("list", "create", "inside", "--brand", "Hanamaru")
        todoke.ok("list", "publish", "letters", "--title", "おてがみ")
        said = todoke.ok("list", "publish", "monthly", "--title", "月のたより", "--notice", "月に 2 回。いつでも解除できます <b>", "--form", "yes")
        list_id = re.search(r"/s/(\d+)", said).group(1)
        other_id = next(row["id"] for row in todoke.rows("list") if row["name"] == "letters")
        todoke.ok("suppress", "add", "stopped@good.example")
        page = "<p>{{ contact.name }}</p><p><a href=\"{{ preferences_url }}\">設定</a> <a href=\"{{ unsubscribe_url }}\">解除</a></p>"
        for name, to in (("first", "letters"), ("second", "monthly"), ("wait-list", "monthly"), ("wait-pause", "monthly"), ("wait-all", "monthly"), ("after", "monthly")):
            todoke.campaign(name, html=page, list_name=to)
        todoke.serve()
        the_form(tap, todoke, list_id)
        double_opt_in(tap, todoke, receiver, key, list_id)
        by_program(tap, todoke, receiver, key, list_id)
        path, seen = preferences(tap, todoke, receiver, list_id, other_id)
        at_once(tap, todoke, receiver, path, seen, list_id)
        comes_back(tap, todoke, receiver, list_id, path)
        limits(tap, todoke, receiver, list_id)
        tap.ok(todoke.audit()["agrees"], "the books agree")
        receiver.end()
        tap.equal(todoke.stop(), 0, "the server ends well")


with Tap() as tap:
    for words, store in stores("optin"):
        tap.note(f"on {words}")
        story(tap, store)
