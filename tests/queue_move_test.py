"""Issue 4.5: what is owed is moved to another pool of sources, by any filter, on record; and the queue's orders by the API: given, counted,
listed, refused; a key of one brand orders about its own only (X17)."""
import threading
import time

from contract import Api, Contract
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, stores, until

MX = f"{NET}.90"
OURS, RESERVE = f"{NET}.91", f"{NET}.92"


def story(tap, words, store, contract):
    is_open = threading.Event()
    with Place("move") as place:
        receiver = Receiver(MX, PORT, lambda address: None if is_open.is_set() or address.startswith("first") else "451 4.7.1 Greylisting in action, please come back later")
        place.cleanups.append(receiver.end)
        zone = {"mx.example": {"A": [MX]}, **{f"d{n}.example": {"MX": [[10, "mx.example"]]} for n in range(2)}}
        todoke = place.installation(zone=zone, store=store, test__time_percent="1")
        todoke.brand("One")
        todoke.brand("Two", "two <news@two.example>", "bounce.two.example")
        path = place.write("all.csv", "email,name\n" + "".join(f"{name},x\n" for name in ["first@d0.example", *(f"p{n}@d{n % 2}.example" for n in range(20))]))
        todoke.ok("contact", "import", path, "--list", "all", "--brand", "One")
        todoke.ok("source", "add", OURS, "--ehlo", "a.shop.example", "--pool", "ours")
        todoke.ok("source", "add", RESERVE, "--ehlo", "b.shop.example", "--pool", "reserve")
        todoke.ok("source", "assign", "One", "--pool", "ours")
        todoke.campaign("autumn", brand="One")
        todoke.serve()
        api = Api(todoke.http, todoke.ok("key", "add", "operator").strip().split()[-1])
        brands = {row["name"]: row["id"] for row in api.ask("GET", "/brands")[2]["items"]}

        def given(body, key=api):
            status, _, answer = key.ask("POST", "/queue/orders", body)
            schema = contract.typed["paths"]["/queue/orders"]["post"]["responses"][str(status)]
            misfit = contract.misfit(schema["content"]["application/json"]["schema"], answer) if status < 300 else ""
            tap.ok(not misfit, f"{words}: {body.get('verb')}: the answer is as the contract says", f"{misfit}: {answer}")
            return status, answer

        def done(order):
            return until(lambda: (lambda row: row if row["done_at"] else None)(api.ask("GET", f"/queue/orders/{order['id']}")[2]), 20, "the order")

        todoke.ok("campaign", "send", "autumn")
        until(lambda: (lambda report: report["counts"]["delivered"] == 1 and report["counts"]["deferred"] == 20)(todoke.report("autumn")), 60, "20 deferred")
        tap.equal(set(receiver.peers), {OURS}, f"{words}: they leave by their brand's pool")

        tap.equal(todoke.json("queue", "purge", "--source", OURS, "--dry-run")["all"], 20, f"{words}: what leaves by a source is counted")
        tap.equal(todoke.json("queue", "purge", "--source", RESERVE, "--dry-run")["all"], 0, f"{words}: and by another one nothing")
        tap.equal(todoke.json("queue", "purge", "--pool", "ours", "--older-than", "1d", "--dry-run")["all"], 0, f"{words}: all filters must be true")
        for wrong, named in ((("move", "--source", OURS), "--to"), (("move", "--to", "nowhere", "--pool", "ours"), "nowhere"), (("move", "--to", "reserve"), "say of which"),
                             (("purge", "--source", "192.0.2.1"), "192.0.2.1"), (("hold", "--to", "reserve", "--pool", "ours"), "--to")):
            said = todoke.run("queue", *wrong)
            tap.ok(said.returncode == 2 and named in said.stderr, f"{words}: queue {' '.join(wrong)} is refused", said.stderr)

        status, said = given({"verb": "move", "to_pool": "reserve", "source": OURS, "domain": "d1.example", "dry_run": True})
        tap.ok(status == 200 and said["n"] == 10 and said["states"]["deferred"] == 10, f"{words}: a dry run counts", f"{status} {said}")
        status, order = given({"verb": "move", "to_pool": "reserve", "source": OURS, "why": "listed"})
        tap.ok(status == 202 and order["who"] == "key operator" and order["pool"] == "ours" and order["source"] == OURS, f"{words}: a move is on record with who", f"{status} {order}")
        tap.equal(done(order)["moved"], 2, f"{words}: two lanes are moved: one campaign, two domains")
        said = todoke.rows("queue", "orders")[0]
        tap.equal((said["verb"], said["to_pool"], said["why"], said["moved"]), ("move", "reserve", "listed", 2), f"{words}: the command lists it too")
        until(lambda: {way["source"] for way in todoke.json("explain", "site", "d1.example")["ways"] if way["pool"] == "reserve"} == {RESERVE}, 20, "the lanes have gone over", 0.3)
        is_open.set()
        until(lambda: len(receiver.mails) == 21, 60, "all delivered")
        todoke.settled("autumn", 21, 60)
        with receiver.lock:
            tap.equal(set(receiver.peers[1:]), {RESERVE}, f"{words}: they leave by the reserve, their retries too")
        tap.equal(todoke.json("queue", "move", "--to", "brand", "--pool", "reserve", "--dry-run")["all"], 0, f"{words}: nothing is owed there any more")

        status, order = given({"verb": "hold", "domain": "d0.example"})
        tap.ok(status == 202 and order["done_at"] and [row["name"] for row in api.ask("GET", "/queue/holds")[2]["items"]] == ["d0.example"], f"{words}: a domain alone: the hold stands", f"{status} {order}")
        status, order = given({"verb": "release", "domain": "d0.example"})
        done(order)
        tap.equal(api.ask("GET", "/queue/holds")[2]["items"], [], f"{words}: and is released")
        for body, field in (({}, "verb"), ({"verb": "burn"}, "verb"), ({"verb": "purge"}, ""), ({"verb": "move", "pool": "ours"}, "to_pool"), ({"verb": "purge", "to_pool": "x"}, "to_pool"),
                            ({"verb": "move", "pool": "ours", "to_pool": "none"}, "to_pool"), ({"verb": "purge", "source": "here"}, "source"), ({"verb": "purge", "domain": "a b"}, "domain"),
                            ({"verb": "purge", "domain": "a.example", "accepted_before": "2100-01-01T00:00:00Z"}, "accepted_before"), ({"verb": "purge", "domain": "a.example", "colour": "red"}, "colour"),
                            ({"verb": "hold", "site": "gogle"}, "site"), ({"verb": "retry", "site": "mx..example"}, "site"), ({"verb": "resume"}, "site"),
                            ({"verb": "suspend", "site": "google"}, "until"), ({"verb": "suspend", "site": "google", "until": "2020-01-01T00:00:00Z"}, "until"),
                            ({"verb": "resume", "site": "google", "domain": "d0.example"}, "site"), ({"verb": "resume", "site": "google", "dry_run": True}, "dry_run")):
            status, _, said = api.ask("POST", "/queue/orders", body)
            tap.ok(status == 400 and said.get("field", "") == field, f"{words}: {body}: 400 names {field or 'what is missing'}", f"{status} {said}")
        for body, field in (({"verb": "hold", "brand_id": "12345"}, "brand_id"), ({"verb": "purge", "campaign_id": "12345", "dry_run": True}, "campaign_id")):
            status, _, said = api.ask("POST", "/queue/orders", body)
            tap.ok(status == 404 and said.get("field") == field, f"{words}: {body}: nobody is meant", f"{status} {said}")
        tap.equal(api.ask("POST", "/queue/holds", {"kind": "brand", "name": "12345"})[0], 404, f"{words}: a hold neither")
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))
        status, order = given({"verb": "suspend", "site": "Google", "source": OURS, "until": end, "why": "their night"})
        tap.ok(status == 202 and order["site"] == "google" and order["until"][:19] == end[:19] and done(order)["moved"] == 0, f"{words}: suspended by the API", f"{status} {order}")
        status, order = given({"verb": "resume", "site": "google"})
        tap.ok(status == 202 and done(order)["buckets_left"] == 0, f"{words}: and resumed", f"{status} {order}")
        done(given({"verb": "purge", "domain": "nobody.example"})[1])
        tap.ok("nothing was changed: no mail that is owed now matches" in todoke.ok("queue", "purge", "--domain", "nobody.example"), f"{words}: a domain that nobody is owed mail at is told as one")
        tap.equal(api.ask("GET", "/queue/orders/12345")[0], 404, f"{words}: an order that is not there")

        of_two = Api(todoke.http, api.ask("POST", "/keys", {"name": "two", "scopes": ["queue"], "brand_ids": [brands["Two"]]})[2]["secret"])
        whole, paged, cursor, pages = api.ask("GET", "/queue/orders?limit=500")[2], [], "", 0
        while cursor is not None and pages < 50:
            page = api.ask("GET", f"/queue/orders?limit=2&cursor={cursor}")[2]
            paged, cursor, pages = paged + page["items"], page["next_cursor"], pages + 1
        tap.ok(len(whole["items"]) > 2 and whole["next_cursor"] is None and [row["id"] for row in paged] == [row["id"] for row in whole["items"]] and pages == (len(paged) + 1) // 2,
               f"{words}: {len(paged)} orders in {pages} pages of two, each once, newest first", f"{paged}")
        tap.equal((api.ask("GET", "/queue/orders?cursor=x")[0], api.ask("GET", "/queue/orders?limit=0")[0]), (400, 400), f"{words}: a cursor that is none")
        tap.equal(of_two.ask("GET", "/queue/orders")[2]["items"], [], f"{words}: another brand's key sees none of them")
        status, said = given({"verb": "purge", "domain": "d0.example", "dry_run": True}, of_two)
        tap.equal((status, said["n"]), (200, 0), f"{words}: and speaks of its own mail only")
        tap.equal([of_two.ask("POST", "/queue/orders", body)[0] for body in ({"verb": "purge", "brand_id": brands["One"]}, {"verb": "move", "to_pool": "reserve"}, {"verb": "purge", "pool": "ours"})], [400] * 3,
                  f"{words}: not of others, nor of pools")
        books = todoke.audit()
        tap.ok(books["agrees"], f"{words}: the books balance", str(books))
        tap.equal(todoke.stop(), 0, f"{words}: it stops")


with Tap() as shown:
    for store_name, store_url in stores("queue_move"):
        story(shown, store_name, store_url, Contract())
