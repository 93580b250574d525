"""Issue 4.4 by the API: sources are listed, added, changed, drained, removed, warmed up; pools; which brand sends by which; for keys of every
brand only (X17), and the mail follows."""
import json

from contract import Api, Contract
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, stores, until

MX = f"{NET}.110"
ONE, TWO = f"{NET}.111", f"{NET}.112"


def story(tap, words, store, contract):
    with Place("sourceapi") as place:
        receiver = Receiver(MX, PORT)
        place.cleanups.append(receiver.end)
        todoke = place.installation(zone={"d.example": {"MX": [[10, "mx.example"]]}, "mx.example": {"A": [MX]}}, store=store)
        todoke.brand()
        todoke.serve()
        api = Api(todoke.http, todoke.ok("key", "add", "operator").strip().split()[-1])
        brand = api.ask("GET", "/brands")[2]["items"][0]["id"]

        def ask(method, path, template, body=None):
            status, _, answer = api.ask(method, path, body)
            operation = contract.typed["paths"][template][method.lower()]["responses"].get(str(status), {})
            content = contract.resolve(operation).get("content", {}).get("application/json")
            misfit = contract.misfit(content["schema"], answer) if content and status < 300 else "" if operation else "not in the contract"
            tap.ok(not misfit, f"{words}: {method} {template} {status}: as the contract says", f"{misfit}: {answer}")
            return status, answer

        status, made = ask("POST", "/sources", "/sources", {"ip": ONE, "ehlo_name": "one.shop.example", "pool": "news", "weight": 3, "warm_up": True, "caps": [2, 100]})
        tap.ok(status == 201 and made["pool"] == "news" and made["warm_ups"][0]["caps"] == [2, 100] and made["warm_ups"][0]["cap"] == 2, f"{words}: added with a plan", f"{status} {made}")
        status, made = ask("POST", "/sources", "/sources", {"ip": TWO, "ehlo_name": "two.shop.example", "pool": "news"})
        tap.equal((status, made["weight"], made["warm_ups"]), (201, 1, []), f"{words}: another one without")
        for body, field in (({"ehlo_name": "a.example"}, "ip"), ({"ip": "here", "ehlo_name": "a.example"}, "ip"), ({"ip": "192.0.2.1"}, "ehlo_name"), ({"ip": "192.0.2.1", "ehlo_name": "nodot"}, ""),
                            ({"ip": ONE, "ehlo_name": "a.example"}, ""), ({"ip": "192.0.2.1", "ehlo_name": "a.example", "pool": "a b"}, ""), ({"ip": "192.0.2.1", "ehlo_name": "a.example", "weight": 1000}, "weight"),
                            ({"ip": "192.0.2.1", "ehlo_name": "a.example", "caps": [5]}, "caps"), ({"ip": "192.0.2.1", "ehlo_name": "a.example", "warm_up": True, "caps": [5, 3]}, "caps")):
            status, _, said = api.ask("POST", "/sources", body)
            tap.ok(status == 400 and said.get("field", "") == field, f"{words}: {json.dumps(body)[:70]}: 400 names {field or 'what is wrong'}", f"{status} {said}")
        tap.equal([row["ip"] for row in ask("GET", "/sources", "/sources")[1]["items"]], [ONE, TWO], f"{words}: listed")
        tap.equal([row["ip"] for row in todoke.rows("source", "list")], [ONE, TWO], f"{words}: the command sees them too")
        status, said = ask("POST", f"/brands/{brand}/pool", "/brands/{id}/pool", {"pool": "news"})
        tap.equal((status, said["pool"], said["weight"]), (200, "news", 1), f"{words}: a brand is assigned, its weight stays")
        tap.equal(ask("POST", "/brands/12345/pool", "/brands/{id}/pool", {"pool": "news"})[0], 404, f"{words}: a brand that is not there")
        pools = {row["name"]: row for row in ask("GET", "/pools", "/pools")[1]["items"]}
        tap.equal((pools["news"]["sources"], pools["news"]["usable"], pools["news"]["brands"]), (2, 2, 1), f"{words}: pools")

        told = [ask("POST", "/pools/news/stand_in", "/pools/{pool}/stand_in", {"stand_in": by}) for by in ("warm", "news", "a b", "")]
        tap.equal(([status for status, _ in told], told[0][1]), ([200, 400, 400, 200], {"pool": "news", "stand_in": "warm"}), f"{words}: another pool stands in")
        status, said = ask("PATCH", f"/sources/{ONE}", "/sources/{ip}", {"state": "draining", "weight": 5})
        tap.equal((status, said["state"], said["is_usable"], said["weight"], said["ehlo_name"]), (200, "draining", False, 5, "one.shop.example"), f"{words}: drained, the rest stays")
        tap.equal([ask("PATCH", f"/sources/{ONE}", "/sources/{ip}", body)[0] for body in ({"state": "asleep"}, {"weight": 0}, {"ip": TWO}, {"ehlo_name": ""})], [400] * 4, f"{words}: what cannot be")
        todoke.people([f"a{n}@d.example" for n in range(6)])
        todoke.campaign("autumn")
        until(lambda: f"a source drains, nothing new leaves it source={ONE}" in todoke.server.said(), 20, "the server has read that it drains: it looks each second")
        todoke.ok("campaign", "send", "autumn")
        until(lambda: len(receiver.mails) == 6, 40, "six mails")
        with receiver.lock:
            tap.ok(ONE not in receiver.peers, f"{words}: nothing leaves the one that drains", str(set(receiver.peers)))
        status, said = ask("POST", f"/sources/{TWO}/warm-up", "/sources/{ip}/warm-up", {"site": "google", "caps": [10]})
        tap.equal((status, [plan["site"] for plan in said["warm_ups"]]), (200, ["google"]), f"{words}: a plan for one receiver begins")
        for body, words_of_it in (({"site": "gogle", "caps": [10]}, "did you mean"), ({"site": "docomo", "end": True}, "no plan for docomo")):
            status, wrong = ask("POST", f"/sources/{TWO}/warm-up", "/sources/{ip}/warm-up", body)
            tap.ok(status == 400 and words_of_it in str(wrong), f"{words}: a plan that would hold nothing, or is none, is told", str(wrong))
        status, said = ask("POST", f"/sources/{TWO}/warm-up", "/sources/{ip}/warm-up", {"site": "google", "end": True})
        tap.equal((status, said["warm_ups"]), (200, []), f"{words}: and ends")
        tap.equal(ask("DELETE", f"/sources/{TWO}", "/sources/{ip}")[0], 409, f"{words}: one in use stays")
        tap.equal((ask("DELETE", f"/sources/{ONE}", "/sources/{ip}")[0], ask("GET", f"/sources/{ONE}", "/sources/{ip}")[0]), (204, 404), f"{words}: one that drains goes")
        tap.equal([api.ask("GET", f"/sources/{name}")[0] for name in ("here", "192.0.2.1", "a%0D%0Ab")], [404] * 3, f"{words}: addresses that are none of ours")

        bound = Api(todoke.http, api.ask("POST", "/keys", {"name": "bound", "scopes": ["settings"], "brand_ids": [brand]})[2]["secret"])
        tap.equal([bound.ask(method, path, body)[0] for method, path, body in (("GET", "/sources", None), ("GET", f"/sources/{TWO}", None), ("GET", "/pools", None), ("PATCH", f"/sources/{TWO}", {"weight": 2}),
                   ("POST", "/sources", {}), ("DELETE", f"/sources/{TWO}", None), ("POST", f"/sources/{TWO}/warm-up", {}), ("POST", f"/brands/{brand}/pool", {}))], [403] * 8, f"{words}: a key of brands has no say (X17)")
        tap.equal(todoke.stop(), 0, f"{words}: it stops")


with Tap() as shown:
    for store_name, store_url in stores("source_api"):
        story(shown, store_name, store_url, Contract())
