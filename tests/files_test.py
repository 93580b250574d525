"""Files for download (S27): added by curl and by the command, linked from a campaign's template and in place of a large attachment, downloaded by
the link in the mail, whole and in part, by slow readers too; counted once for each use, robots apart; nothing of them runs at our address (X9);
a changed token opens nothing (X6); what expired or was taken back says so in both languages; and a kill -9 in the middle of an upload leaves
no half file."""
import base64
import datetime
import email
import email.policy
import hashlib
import http.client
import json
import os
import re
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.parse

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until, stores

GOOD = f"{NET}.77"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [GOOD]}}
PERSON = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
NAME = "カタログ 2026.pdf"
MB = 1 << 20


class Story:
    def __init__(self, place, store):
        self.place, self.todoke = place, place.installation(zone=ZONE, store=store)
        self.secret = ""

    def bytes_of(self, name, size):
        data = os.urandom(size)
        return self.place.write(name, data), data

    def ask(self, method, path, body=None, key=True, **headers):
        connection = http.client.HTTPConnection(self.todoke.http, timeout=90)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            headers["Authorization"] = "Bearer " + self.secret
        connection.request(method, path, body, {"User-Agent": PERSON, **headers})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.headers, json.loads(data) if answer.headers.get("Content-Type", "").endswith("json") else data

    def get(self, path, method="GET", **headers):
        return self.ask(method, path, None, False, **headers)

    def add(self, name, data, query=None, **headers):
        return self.ask("POST", "/api/v1/files?" + urllib.parse.urlencode({"name": name, **(query or {})}), data, **headers)

    def curl(self, *arguments):
        return subprocess.run(["curl", "-sS", "-A", PERSON, *arguments], capture_output=True, timeout=60, check=False)

    def alter(self, sql):
        """What no command does: the past."""
        if self.todoke.store.startswith("postgres"):
            subprocess.run(["psql", "-qX", "-d", self.todoke.store, "-c", sql], check=True, timeout=60)
            return
        with sqlite3.connect(self.todoke.store, timeout=90) as db:
            db.execute(sql)
        db.close()

    def engaged(self):
        found = self.todoke.json("campaign", "report", "sale")["engaged"]
        return {key: found[key] for key in ("downloads", "downloaded", "downloads_robot")}


def link_in(raw):
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    html, text = (mail.get_body((kind,)).get_content() for kind in ("html", "plain"))
    return [re.search(r"https://shop\.example(/f/[a-z2-7]+)", part).group(1) for part in (html, text)], html, text, mail


def too_large(story):
    """Its status: said before any of it is sent."""
    connection = http.client.HTTPConnection(story.todoke.http, timeout=90)
    connection.putrequest("POST", "/api/v1/files?name=a")
    connection.putheader("Authorization", "Bearer " + story.secret)
    connection.putheader("Content-Length", str(64 * MB + 1))
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def added(tap, story):
    path, data = story.bytes_of("catalog.pdf", 5 * MB + 777)
    query = urllib.parse.urlencode({"name": "C:\\" + NAME, "days": 60})
    url = f"http://{story.todoke.http}/api/v1/files?{query}"
    file = json.loads(story.curl("-f", url, "-H", f"Authorization: Bearer {story.secret}", "--data-binary", "@" + path).stdout)
    tap.equal((file["name"], file["type"], file["size_bytes"], file["sha256"], file["state"]), (NAME, "application/pdf", len(data), hashlib.sha256(data).hexdigest(), "there"),
              "curl adds a file, its name cleaned, its type told by its ending")
    again = [story.add(NAME, data, Idempotency_Key="one") for _ in range(2)]
    tap.equal([answer[0] for answer in again] + [again[0][2] == again[1][2], again[1][1]["Idempotent-Replayed"]], [201, 201, True, "true"], "the same request with its Idempotency-Key adds one")
    tap.equal(story.add(NAME, data[:-1], Idempotency_Key="one")[0], 409, "other bytes with that key are a 409")
    tap.equal([story.add(*arguments)[0] for arguments in [("", b"x"), (NAME, b""), (NAME, b"x", {"days": "400"}), (NAME, b"x", {"brand": "Nobody"})]] + [too_large(story)],
              [400, 400, 400, 400, 413], "no name, no octets, too long, nobody's, and too large are refused")
    said = story.todoke.json("file", "add", path, "--name", "by hand.pdf")
    tap.equal((said["sha256"], said["name"]), (file["sha256"], "by hand.pdf"), "the command adds one, too")
    items = story.ask("GET", "/api/v1/files")[2]["items"]
    tap.equal([row["name"] for row in items], ["by hand.pdf", NAME, NAME], "all are listed")
    tap.equal(story.todoke.run("file", "add", path, "--days", "0").returncode, 2, "what is wrong is told")
    return data, again[0][2]


def in_a_campaign(tap, story, receiver, data, file):
    page = story.place.write("page.html", f'<p>ご案内</p><a href="{{{{ file["{NAME}"].url }}}}">{{{{ file["{NAME}"].name }}}} ({{{{ file["{NAME}"].size }}}})</a>')
    story.todoke.ok("campaign", "create", "sale", "--brand", "Hanamaru", "--list", "people", "--subject", "カタログ", "--html", page, "--count", "clicks")
    story.todoke.ok("campaign", "create", "early", "--brand", "Hanamaru", "--list", "people", "--subject", "s", "--html", story.place.write("early.html", '{{ file["later.pdf"].url }}'))
    early = story.todoke.run("campaign", "send", "early")
    tap.ok(early.returncode == 2 and 'file["later.pdf"]' in early.stderr, "a campaign whose file is not there is not begun", early.stderr)
    story.todoke.ok("campaign", "send", "sale")
    until(lambda: len(receiver.mails) == 3, 30, "3 mails")
    links, html, _, _ = link_in(receiver.to("p0@good.example")[0])
    tap.ok(links[0] == links[1] and "5.2 MB" in html, "the mail has the link, in HTML and text, and says how large", html)
    link, out = links[0], story.place.path("out.pdf")
    url = f"http://{story.todoke.http}{link}"
    head = story.curl("-D", "-", "-o", out, url).stdout.decode()
    with open(out, "rb") as got:
        tap.ok(hashlib.sha256(got.read()).hexdigest() == file["sha256"], "curl downloads it: the same SHA-256")
    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    tap.ok(head.startswith("HTTP/1.1 200") and lines["content-length"] == str(len(data)) and lines["content-type"] == "application/pdf" and "transfer-encoding" not in lines, "with its length and type", head)
    tap.equal(lines["content-disposition"], "attachment; filename=\"____ 2026.pdf\"; filename*=utf-8''%e3%82%ab%e3%82%bf%e3%83%ad%e3%82%b0%202026.pdf", "and its name")
    tap.ok(lines["content-security-policy"].startswith("sandbox;") and lines["x-content-type-options"] == "nosniff", "nothing of it runs at our address (X9)", head)
    tap.equal(story.curl("-r", "131000-131200", url).stdout, data[131000:131201], "a part, across two pieces")
    with open(out, "wb") as half:
        half.write(data[:3 * MB])
    story.curl("-C", "-", "-o", out, url)
    with open(out, "rb") as got:
        tap.ok(got.read() == data, "what was broken off goes on where it was")
    etag = lines["etag"]
    parts = [story.get(link, Range=f"bytes={len(data)}-"), story.get(link, If_None_Match=etag), story.get(link, Range="bytes=1-2", If_Range='"x"'), story.get(link, Range="bytes=-2", If_Range=etag),
             story.get(link, "HEAD"), story.get(link, "POST")]
    tap.equal([answer[0] for answer in parts], [416, 304, 200, 206, 200, 405], "conditions and ranges as RFC 9110 has them")
    tap.equal((parts[0][1]["Content-Range"], parts[3][1]["Content-Range"], parts[3][2], parts[4][1]["Content-Length"]),
              (f"bytes */{len(data)}", f"bytes {len(data) - 2}-{len(data) - 1}/{len(data)}", data[-2:], str(len(data))), "with what they say of it")
    return link


def counted(tap, story, receiver, link):
    story.get(link, Sec_Purpose="prefetch")
    story.get(link, Range="bytes=0-1")
    story.get(link, User_Agent="curl/7.88")
    story.get(link_in(receiver.to("p1@good.example")[0])[0][0])
    want = {"downloads": 3, "downloaded": 2, "downloads_robot": 1}
    try:
        until(lambda: story.engaged() == want, 20, "the counts")
    except Exception:  # noqa: BLE001 - said below
        pass
    tap.equal(story.engaged(), want, "each use is counted once; a robot apart; parts, probes, HEAD, 304 and prefetches not at all")
    tap.equal(sum(row["downloads"] for row in story.ask("GET", "/api/v1/files")[2]["items"]), 3, "and at the file, people only")
    report = story.todoke.ok("campaign", "report", "sale", "--lang", "ja")
    tap.ok("ファイルをダウンロードした人: 2 (延べ 3)" in report, "the report says it in words", report[:600])
    events = story.ask("GET", "/api/v1/events?kinds=downloaded")[2]["items"]
    tap.ok(len(events) == 4 and {event["note"] for event in events} == {NAME}, "they are at /events", str(events)[:300])
    delivery = story.ask("GET", f"/api/v1/deliveries/{events[0]['delivery_id']}")[2]
    kinds = [entry["kind"] for entry in delivery["timeline"]]
    tap.ok(kinds[:2] == ["accepted", "delivered"] and "downloaded" in kinds, "and in the delivery's timeline", str(kinds))


def as_attachments(tap, story, receiver):
    large, small = os.urandom(300000), b"small"

    def attached(name, data, **more):
        return {"name": name, "content": base64.b64encode(data).decode(), **more}

    status, _, answer = story.ask("POST", "/api/v1/messages", json.dumps({
        "to": [{"email": "a@good.example"}, {"email": "b@good.example", "data": {"lang": "en"}}], "subject": "ご請求書", "html": "<p>ご確認ください。</p>",
        "attachments": [attached("../請求書.pdf", large), attached("small.txt", small), attached("sure.bin", small, link=True), attached("kept.bin", large, link=False)]}))
    tap.equal(status, 202, "a mail with attachments is accepted")
    until(lambda: receiver.to("a@good.example") and receiver.to("b@good.example"), 20, "the mails")
    links, html, text, mail = link_in(receiver.to("a@good.example")[0])
    tap.equal([part.get_filename() for part in mail.iter_attachments()], ["small.txt", "kept.bin"], "a large one is no part of it, but where it says so")
    tap.ok("請求書.pdf</a> (300 KB)" in html and "請求書.pdf (300 KB)" in text and "まで" in html and "まで" in text and html.count("/f/") == 2, "but a link, with its size and until when", text)
    english = link_in(receiver.to("b@good.example")[0])
    tap.ok("until 20" in english[1] and "until 20" in english[2], "in the recipient's language", english[2])
    status, head, got = story.get(links[0])
    tap.ok(status == 200 and got == large and head["Content-Type"] == "application/pdf", "it is downloaded", str(status))
    files = [row for row in story.ask("GET", "/api/v1/files")[2]["items"] if row["message_id"] == answer["id"]]
    tap.equal(sorted(row["name"] for row in files), ["sure.bin", "請求書.pdf"], "the files are the message's, once for all recipients")
    file = next(row for row in files if row["name"] == "sure.bin")
    wrong = [{"to": "a@good.example", "subject": "s", "text": "t", "attachments": [one]} for one in
             [{"file_id": "1"}, {"file_id": file["id"], "content": ""}, attached("a", b"x", link="yes"), attached("a", b"x", link=True, content_id="a@b")]]
    tap.equal([(answer[0], answer[2]["field"]) for answer in [story.ask("POST", "/api/v1/messages", json.dumps(body)) for body in wrong]],
              [(400, "attachments[0].file_id"), (400, "attachments[0].file_id"), (400, "attachments[0].link"), (400, "attachments[0].link")], "what is wrong is named")
    story.ask("POST", "/api/v1/messages", json.dumps({"to": "c@good.example", "subject": "s", "html": "t", "attachments": [{"file_id": file["id"]}]}))
    story.ask("POST", "/api/v1/messages", json.dumps({"to": "d@good.example", "subject": "s", "text": '{{ file["gone.pdf"].url }}'}))
    until(lambda: receiver.to("c@good.example"), 20, "the mail with a file that was there")
    tap.equal(story.get(link_in(receiver.to("c@good.example")[0])[0][0])[2], small, "a file that was there before goes as a link")
    gone = until(lambda: story.ask("GET", "/api/v1/deliveries?email=d@good.example&state=bounced")[2]["items"], 20, "the delivery that cannot be rendered")
    tap.ok(gone[0]["reason"] == "content_error" and not receiver.to("d@good.example"), "a mail whose file is not there does not go", str(gone))
    return links[0], files


def slow_readers(tap, story, link):
    """Their buffers are bounded, and nobody waits for them."""
    def memory():
        with open(f"/proc/{story.todoke.server.popen.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) // 1024
    before, readers = memory(), []
    for _ in range(20):
        reader = socket.create_connection(story.todoke.http.split(":"), timeout=90)
        reader.sendall(f"GET {link} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        readers.append(reader)
    heads = [reader.recv(1000) for reader in readers]
    tap.ok(all(head.startswith(b"HTTP/1.1 200") for head in heads) and story.get("/health/ready")[0] == 200, "20 readers that stop reading keep nobody waiting")
    tap.note(f"{memory() - before} MB more")
    tap.ok(memory() - before < 75, "and hold no 5 MB each", f"{before} MB, then {memory()} MB")
    for reader in readers:
        reader.close()


def ended(tap, story, link, file, attachment, files):
    token = link[3:]
    wrong = [token[:place] + ("a" if token[place] != "a" else "b") + token[place + 1:] for place in range(len(token))] + ["", "x", token + "a", token[:-1], "a" * 60]
    tap.equal({story.get("/f/" + one)[0] for one in wrong}, {404}, "a changed token is a 404 (X6)")
    tap.equal({story.get(f"/{kind}/{token}")[0] for kind in "cou"}, {404}, "and a file's opens nothing else (X7)")
    page = story.add("page.html", b"<script>alert(1)</script>", Content_Type="text/html")[2]
    _, head, _ = story.get(urllib.parse.urlsplit(page["link"]).path)
    tap.equal((page["type"], head["Content-Type"], head["Content-Disposition"]), ("text/html", "application/octet-stream", 'attachment; filename="page.html"'), "what a browser would run has no type of its own (X9)")
    tap.equal([story.ask("DELETE", f"/api/v1/files/{file['id']}")[0], story.ask("DELETE", "/api/v1/files/1")[0]], [204, 404], "a file is taken back")
    status, head, page = story.get(link)
    tap.ok(status == 410 and "取り下げられました" in page.decode() and "withdrawn" in page.decode() and "script" not in page.decode(), "its link says so in both languages", str(status))
    story.alter(f"UPDATE hosted_file SET expires_ms = 1000 WHERE id = {files[1]['id']} OR id = {files[0]['id']}")
    status, head, page = story.get(attachment)
    tap.ok(status == 410 and "期限が過ぎました" in page.decode() and "time is over" in page.decode(), "and one that has expired, too", str(status))
    rows = story.todoke.rows("file", "list", "--ended")
    tap.equal({row["id"]: row["state"] for row in rows if row["state"] != "there"}, {file["id"]: "removed", files[0]["id"]: "expired", files[1]["id"]: "expired"}, "the list has them")
    hand = next(row for row in rows if row["name"] == "by hand.pdf")
    tap.equal([story.todoke.run("file", "remove", hand["id"]).returncode for _ in range(2)], [0, 2], "the command takes one back, once")


def extended(tap, story, link, file):
    """Later, and sooner: links that were sent hold as long as the file does."""
    path = "/api/v1/files/" + file["id"]
    status, _, said = story.ask("PATCH", path, json.dumps({"days": 90}), Content_Type="application/json")
    until_then = (datetime.datetime.fromisoformat(said["expires_at"]) - datetime.datetime.now(datetime.timezone.utc)).days
    tap.equal((status, until_then), (200, 89), "a file is extended to 90 days from now")
    tap.equal([story.ask("PATCH", path, json.dumps(body), Content_Type="application/json")[0] for body in ({}, {"days": 0}, {"days": 400}, {"days": "9"}, {"x": 1})]
              + [story.ask("PATCH", "/api/v1/files/7", '{"days": 3}', Content_Type="application/json")[0]], [400, 400, 400, 400, 400, 404], "what is wrong is told")
    story.alter(f"UPDATE hosted_file SET expires_ms = 1000 WHERE id = {file['id']}")
    tap.equal((story.get(link)[0], story.ask("PATCH", path, '{"days": 3}', Content_Type="application/json")[0]), (410, 409), "one that has expired is over")
    story.alter(f"UPDATE hosted_file SET expires_ms = {int(time.time() + 9e6) * 1000}, state = 0 WHERE id = {file['id']}")
    tap.equal(story.get(link)[0], 200, "while it is there its link opens it")


def killed(tap, story):
    """kill -9 while a body comes in, and while its pieces are written: each file is there whole, or not at all."""
    half = http.client.HTTPConnection(story.todoke.http, timeout=90)
    half.putrequest("POST", "/api/v1/files?name=half.bin")
    half.putheader("Authorization", "Bearer " + story.secret)
    half.putheader("Content-Length", str(8 * MB))
    half.endheaders()
    half.send(b"x" * (4 * MB))
    data = os.urandom(32 * MB)
    before = story.todoke.sql("SELECT COUNT(*) FROM hosted_piece")[0][0]

    def upload():
        try:
            story.add("large.bin", data)
        except (OSError, http.client.HTTPException):
            pass
    thread = threading.Thread(target=upload)
    thread.start()
    until(lambda: story.todoke.sql("SELECT COUNT(*) FROM hosted_piece")[0][0] > before, 20, "the first pieces", 0.001)
    story.todoke.kill()
    thread.join()
    half.close()
    pieces = story.todoke.sql("SELECT COUNT(*) FROM hosted_piece")[0][0] - before
    tap.note(f"killed with {pieces} of 256 pieces written")
    story.todoke.serve(**SETTINGS)
    found = {row["name"]: row for row in story.ask("GET", "/api/v1/files")[2]["items"] if row["name"] in ("half.bin", "large.bin")}
    tap.ok("half.bin" not in found and (pieces == 256 or "large.bin" not in found), "after a kill -9 no half file is there", str(found))
    status, _, file = story.add("large.bin", data)
    tap.equal((status, file["sha256"]), (201, hashlib.sha256(data).hexdigest()), "added again, it is whole")
    tap.ok(story.get(urllib.parse.urlsplit(file["link"]).path)[2] == data, "and downloaded by nobody's link")
    story.alter("UPDATE hosted_body SET touched_ms = 1000 WHERE uses = 0")
    tap.equal(story.todoke.sql("SELECT COUNT(*) FROM hosted_body b WHERE uses <> (SELECT COUNT(*) FROM hosted_file f WHERE f.body_id = b.id AND f.state = 0)")[0][0], 0, "every body knows its uses")


SETTINGS = {"files__size_max": 64 * MB, "content__attachment_link_bytes": 200000}


def tell(tap, store):
    with Place("files") as place:
        story = Story(place, store)
        receiver = Receiver(GOOD, PORT)
        story.todoke.brand()
        people = place.write("people.csv", "email,name\n" + "".join(f"p{i}@good.example,人{i}\n" for i in range(3)))
        story.todoke.ok("contact", "import", people, "--list", "people", "--brand", "Hanamaru", "--consent", "test")
        story.secret = story.todoke.ok("key", "add", "all").strip()
        story.todoke.serve(**SETTINGS)
        data, file = added(tap, story)
        link = in_a_campaign(tap, story, receiver, data, file)
        counted(tap, story, receiver, link)
        attachment, files = as_attachments(tap, story, receiver)
        slow_readers(tap, story, link)
        extended(tap, story, link, file)
        ended(tap, story, link, file, attachment, files)
        if not store:
            killed(tap, story)
        receiver.end()
        tap.equal(story.todoke.stop(), 0, "the server ends well")


with Tap() as tap:
    for words, store in stores("files"):
        tap.note(f"on {words}")
        tell(tap, store)
