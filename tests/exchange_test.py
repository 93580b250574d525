"""What goes in and out of the API in bulk, and what is followed live: people imported with progress, exported in every form (X10, U19),
events by cursor and as streams that lose none, a campaign cancelled in the middle, what is excluded told and let in again (U13), a hold."""
import csv
import http.client
import io
import json
import socket
import threading
import time

from contract import Api
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until, stores

GOOD = f"{NET}.81"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [GOOD]}, "dead.example": {"MX": [[0, "."]]}}


def lines(raw):
    return [json.loads(line) for line in raw.decode().splitlines() if line]


def people_in(tap, api):
    rows = ["メールアドレス,氏名,会員番号"] + [f"p{i}@good.example,太郎{i},{i}" for i in range(2500)]
    rows += ["nobody,壊れ,1", '"=cmd@good.example",=1+1,@x', "dead@dead.example,故人,9"]
    body = "\r\n".join(rows).encode("cp932")
    status, headers, raw = api.ask("POST", "/contacts/import?list=%E5%BE%97%E6%84%8F%E6%A7%98&consent=form", raw=body, headers={"Content-Type": "text/csv"})
    said = lines(raw)
    last = said[-1]
    tap.ok(status == 200 and headers["Content-Type"] == "application/x-ndjson" and last["done"] and (last["total"], last["rejected"], last["rejects"][0]["line"]) == (2503, 1, 2502)
           and "nobody" in last["rejected_csv"], "2,503 people come in from a file that a spreadsheet saved, one is rejected with its line", str(said)[:800])
    status, _, problem = api.ask("POST", "/contacts/import?list=x", raw=b"a,b\n1,2\n")
    tap.equal((status, "email" in problem["detail"].lower() or "address" in problem["detail"].lower()), (400, True), "a file without addresses is a 400")
    tap.equal(api.ask("POST", "/contacts/import", raw=b"email\na@b.example\n")[2]["field"], "list", "and one for no list too")
    return last["list_id"]


def people_out(tap, api, list_id):
    _, headers, raw = api.ask("GET", f"/contacts/export?list={list_id}")
    tap.ok(raw.startswith(b"\xef\xbb\xbf") and "attachment" in headers["Content-Disposition"], "they go out as a file with a byte order mark")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    evil = next(row for row in rows if "cmd" in row["email"])
    tap.equal((len(rows), len({row["id"] for row in rows}), evil["email"][:2], evil["name"]), (2502, 2502, "'=", "'=1+1"), "each once; what would be a formula has an apostrophe (X10)")
    _, headers, raw = api.ask("GET", f"/contacts/export?list={list_id}&charset=cp932")
    tap.ok("太郎7" in raw.decode("cp932") and "Shift_JIS" in headers["Content-Type"], "as CP932 for old spreadsheets")
    _, _, objects = api.ask("GET", f"/contacts/export?list={list_id}&format=json")
    _, _, raw = api.ask("GET", f"/contacts/export?list={list_id}&format=ndjson")
    tap.equal((len(objects), len(lines(raw)), objects[0]["fields"] == lines(raw)[0]["fields"]), (2502, 2502, True), "as JSON, and as JSON lines")
    found, cursor = [], ""
    while cursor is not None:
        page = api.ask("GET", f"/contacts?list={list_id}&limit=500&cursor={cursor}")[2]
        found += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"]
    tap.ok(len(found) == len(set(found)) == 2502 and found == sorted(found, key=int, reverse=True), "page by page: each once, newest first")
    tap.equal([row["email"] for row in api.ask("GET", "/contacts?q=p77%40")[2]["items"]], ["p77@good.example"], "and found by part of the address")


def one_person(tap, api):
    status, _, made = api.ask("POST", "/contacts", {"email": "Hana@good.example", "name": "花", "fields": {"a": "1", "b": "2"}})
    status2, _, again = api.ask("POST", "/contacts", {"email": "hana@GOOD.example", "fields": {"b": None, "c": "3"}})
    tap.equal((status, status2, again["id"] == made["id"], again["name"], again["fields"]), (201, 200, True, "花", {"a": "1", "c": "3"}), "a contact is made, then changed: what is left out stays, null goes")
    _, _, changed = api.ask("PATCH", "/contacts/" + made["id"], {"name": "", "consent": "phone"})
    tap.equal((changed["name"], changed["consent"]), ("", "phone"), "PATCH says it outright")
    tap.equal((api.ask("DELETE", "/contacts/" + made["id"])[0], api.ask("GET", "/contacts/" + made["id"])[0]), (204, 404), "deleted, it is gone")


def impatient(tap, api):
    """Searches are read on a thread of their own: who goes away in the middle harms nobody, and sends do not wait for them."""
    host, port = api.where.split(":")
    head = f"GET /api/v1/contacts?q=nobody HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.secret}\r\n\r\n".encode()
    for number in range(300):
        with socket.create_connection((host, int(port)), timeout=90) as peer:
            peer.sendall(head * (1 + number % 3))
            if number % 2:
                peer.recv(1)
    def search():
        other = Api(api.where, api.secret)
        for _ in range(40):
            other.ask("GET", "/contacts?q=nobody&limit=500")
    searching = [threading.Thread(target=search) for _ in range(8)]
    for thread in searching:
        thread.start()
    slowest = 0
    while any(thread.is_alive() for thread in searching):
        begun = time.monotonic()
        api.ask("GET", "/health/live")
        slowest = max(slowest, time.monotonic() - begun)
    for thread in searching:
        thread.join()
    tap.ok(api.ask("GET", "/contacts?q=p77%40")[2]["items"][0]["email"] == "p77@good.example", "300 clients that went away in the middle of a search harm nobody")
    tap.note(f"an answer beside 8 searching clients took {slowest * 1000:.1f} ms at most")


def excluded(tap, api):
    status, _, row = api.ask("POST", "/suppressions", {"email": "No@good.example", "reason": "unsubscribed"})
    tap.equal((status, row["address"], row["scope"], row["reason"]), (201, "no@good.example", "all", "unsubscribed"), "an address is excluded")
    _, _, counted = api.ask("POST", "/suppressions/import", raw="email,x\nA1@good.example,1\nbroken,2\na2@good.example,3\n".encode(), headers={"Content-Type": "text/csv"})
    tap.equal((counted["rows"], counted["new"], counted["rejected"], counted["rejects"][0]["line"]), (3, 2, 1, 3), "a file of them, with what is wrong by line")
    _, _, raw = api.ask("GET", "/suppressions/export?format=ndjson")
    tap.equal(sorted(row["email"] for row in lines(raw)), ["a1@good.example", "a2@good.example", "dead@dead.example", "no@good.example"], "and out again, with the one that bounced")
    checked = api.ask("POST", "/suppressions/check", {"emails": ["NO@good.example", "yes@good.example"]})[2]["items"]
    tap.equal([(row["suppressed"], row["reason"]) for row in checked], [(True, "unsubscribed"), (False, "")], "asked, it answers (U13)")
    tap.equal((api.ask("DELETE", "/suppressions/no@good.example")[0], api.ask("DELETE", "/suppressions/no@good.example")[0]), (204, 404), "let in again, once")


def follow(where, secret, accept, seconds, headers=None, until_count=None):
    """What a stream says within so many seconds."""
    connection = http.client.HTTPConnection(where, timeout=seconds)
    connection.request("GET", "/api/v1/events/stream", headers={"Authorization": "Bearer " + secret, "Accept": accept, **(headers or {})})
    answer, said, end = connection.getresponse(), b"", time.monotonic() + seconds
    mark = b"\n\n" if accept == "text/event-stream" else b"\n" # behind each whole event
    try:
        while time.monotonic() < end and not (until_count and said[:said.rfind(mark) + 1].count(b'"kind"') >= until_count):
            piece = answer.read1(65536)
            if not piece:
                break
            said += piece
    except TimeoutError:
        pass
    connection.close()
    return answer.headers["Content-Type"], said


def what_happened(tap, api, list_id):
    content = api.ask("POST", "/contents", {"name": "c", "subject": "s", "text": "{{ contact.name }} {{ contact.会員番号 }}"})[2]
    campaign = api.ask("POST", "/campaigns", {"name": "all", "content_id": content["id"], "list_id": list_id})[2]
    api.ask("POST", f"/campaigns/{campaign['id']}/send")
    until(lambda: api.ask("GET", "/campaigns/" + campaign["id"])[2]["counts"]["delivered"] >= 2500, 120, "the campaign")
    until(lambda: api.ask("GET", "/campaigns/" + campaign["id"])[2]["counts"]["bounced"] == 1, 60, "the dead one")
    ids, cursor, has_more = [], "", True
    while has_more:
        page = api.ask("GET", f"/events?limit=500&cursor={cursor}")[2]
        ids += [(event["id"], event["kind"]) for event in page["items"]]
        cursor, has_more = page["next_cursor"], page["has_more"]
    kinds = [kind for _, kind in ids]
    tap.ok(len(set(ids)) == len(ids) and kinds.count("delivered") == 2501 and kinds.count("bounced") == 1, "events by cursor: each once", f"{len(ids)} {kinds.count('delivered')}")
    tap.equal(api.ask("GET", f"/events?cursor={cursor}")[2]["items"], [], "and none behind the end")
    kind, said = follow(api.where, api.secret, "application/x-ndjson", 60, until_count=len(ids))
    tap.ok(kind == "application/x-ndjson" and {json.loads(line)["id"] for line in said.decode().splitlines()[:-1]} <= {one for one, _ in ids} and said.count(b"\n") == len(ids),
           "as JSON lines: all of them", f"{said.count(b'newline')} of {len(ids)}")
    _, said = follow(api.where, api.secret, "text/event-stream", 60, until_count=1200)
    whole = said.decode()[:said.decode().rindex("\n\n")] # where it was cut off may be the middle of one
    seen = {json.loads(line[6:])["id"] for line in whole.splitlines() if line.startswith("data: ")}
    last = whole[whole.rindex("id: ") + 4:].split("\n")[0]
    _, said = follow(api.where, api.secret, "text/event-stream", 60, {"Last-Event-ID": last}, until_count=len(ids) - len(seen))
    rest = {json.loads(line[6:])["id"] for line in said.decode().splitlines() if line.startswith("data: ") and line.endswith("}")}
    tap.equal(seen | rest == {one for one, _ in ids}, True, "server-sent events, cut off and taken up again by Last-Event-ID: none is lost")
    return campaign


def stopped(tap, todoke, api, list_id):
    api.ask("POST", "/queue/holds", {"kind": "domain", "name": "good.example", "why": "test"})
    tap.equal([(row["kind"], row["name"], row["why"]) for row in api.ask("GET", "/queue/holds")[2]["items"]], [("domain", "good.example", "test")], "a domain is held")
    held = api.ask("GET", "/queue/orders")[2]["items"][0]
    tap.equal([held[key] for key in ("verb", "domain", "why", "moved")] + [held["who"][:4], held["done_at"] is not None], ["hold", "good.example", "test", 0, "key ", True], "and who did it is on record, as of any order")
    content = api.ask("POST", "/contents", {"name": "c", "subject": "s2", "text": "t"})[2]
    campaign = api.ask("POST", "/campaigns", {"name": "stopped", "content_id": content["id"], "list_id": list_id})[2]
    api.ask("POST", f"/campaigns/{campaign['id']}/send")
    until(lambda: api.ask("GET", "/campaigns/" + campaign["id"])[2]["accepted"] >= 2000, 60, "the expansion")
    tap.ok(any(row["domain"] == "good.example" and row["owed"] > 100 for row in api.ask("GET", "/queue")[2]["items"]), "what is owed, by domain")
    status, _, ended = api.ask("POST", f"/campaigns/{campaign['id']}/cancel")
    tap.equal((status, ended["state"], api.ask("POST", f"/campaigns/{campaign['id']}/cancel")[0]), (200, "cancelled", 409), "a campaign is cancelled, once")
    noted = [row for row in api.ask("GET", "/queue/orders")[2]["items"] if row["campaign_id"] == campaign["id"]]
    tap.equal([(row["verb"], row["who"][:4], row["done_at"] is not None) for row in noted], [("purge", "key ", True)], "and by whom is on record")
    shown = until(lambda: (lambda found: found if sum(found["counts"][state] for state in ("waiting", "deferred", "held")) == 0 else None)(api.ask("GET", "/campaigns/" + campaign["id"])[2]), 60, "the cancelling")
    tap.ok(shown["counts"]["cancelled"] >= 2000 and shown["counts"]["delivered"] == 0, "what it owed is cancelled", str(shown["counts"]))
    until(lambda: not [row for row in api.ask("GET", "/queue/holds")[2]["items"] if row["kind"] == "campaign"], 30, "the end of its hold")
    tap.equal((api.ask("DELETE", "/queue/holds/domain/good.example")[0], api.ask("GET", "/queue/holds")[2]["items"]), (204, []), "and nothing is held any more")
    tap.equal([api.ask("GET", "/queue/orders")[2]["items"][0][key] for key in ("verb", "domain", "moved")], ["release", "good.example", 0], "that too is on record")
    _, _, raw = api.ask("GET", f"/deliveries/export?campaign={campaign['id']}&format=ndjson")
    tap.equal({row["state"] for row in lines(raw)} - {"cancelled", "bounced"}, set(), "its deliveries as a file say so")
    page = api.ask("GET", f"/deliveries?campaign={campaign['id']}&state=cancelled&limit=5")[2]
    tap.equal((len(page["items"]), page["next_cursor"] is not None), (5, True), "and page by page")
    one = api.ask("GET", "/deliveries/" + page["items"][0]["id"])[2]
    tap.equal([entry["kind"] for entry in one["timeline"]], ["accepted", "cancelled"], "and one by one")
    draft = api.ask("POST", "/campaigns", {"name": "never", "content_id": content["id"], "list_id": list_id})[2]
    todoke.ok("campaign", "cancel", "never")
    tap.equal((api.ask("GET", "/campaigns/" + draft["id"])[2]["state"], api.ask("POST", f"/campaigns/{draft['id']}/send")[0]), ("cancelled", 409), "a draft too, from the command line; it cannot be sent then")
    books = todoke.audit(30)
    told = until(lambda: (lambda found: found if found["lag"] == 0 else None)(api.ask("GET", "/queue/audit")[2]), 20, "the counters")
    tap.ok(books["agrees"] and told["agrees"] and told["accepted"] == books["accepted"], "the books agree", str(books))


def story(tap, store):
    with Place("exchange") as place:
        todoke = place.installation(zone=ZONE, store=store)
        receiver = Receiver(GOOD, PORT)
        todoke.brand()
        todoke.serve()
        api = Api(todoke.http, todoke.ok("key", "add", "test").strip())
        list_id = people_in(tap, api)
        people_out(tap, api, list_id)
        one_person(tap, api)
        impatient(tap, api)
        what_happened(tap, api, list_id)
        excluded(tap, api)
        stopped(tap, todoke, api, list_id)
        receiver.end()
        tap.equal(todoke.stop(), 0, "the server ends well")


with Tap() as tap:
    for words, store in stores("exchange"):
        tap.note(f"on {words}")
        story(tap, store)
