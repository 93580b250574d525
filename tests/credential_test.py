"""S13, S14, F15 (of a key; not of complaints): a key that sends far above its own past raises an alarm, and is paused where that is wanted; a person releases it, by command or API."""
import json
import urllib.error
import urllib.request

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until

MX = f"{NET}.46"


def api(todoke, secret, method, path, body=None):
    request = urllib.request.Request(f"http://{todoke.http}/api/v1{path}", method=method, data=None if method == "GET" else json.dumps(body or {}).encode(),
                                     headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def mail(n):
    return {"from": "news@shop.example", "to": [f"u{n}-{k}@far.example" for k in range(5)], "subject": "News", "text": "Hello"}


def is_in(todoke, secret):
    return api(todoke, secret, "GET", "/messages?limit=1")[0] == 200


with Tap() as tap, Place("credential") as place:
    receiver = Receiver(MX, PORT)
    todoke = place.installation(zone={"far.example": {"MX": [[10, "mx.far.example"]]}, "mx.far.example": {"A": [MX]}},
                                alarm__key_per_hour=20, alarm__key_pause="yes")
    todoke.brand()
    shop = todoke.ok("key", "add", "shop", "--scope", "messages").strip().split()[-1]
    operator = todoke.ok("key", "add", "operator").strip().split()[-1]
    todoke.serve()
    said = [api(todoke, shop, "POST", "/messages", mail(n))[0] for n in range(4)]
    tap.equal(said, [202] * 4, "twenty recipients within an hour are never unusual here")
    until(lambda: len(receiver.mails) == 20, 30, "they arrive")
    tap.equal(todoke.rows("alarm", "list"), [], "so there is no alarm")
    api(todoke, shop, "POST", "/messages", mail(9))
    alarm = until(lambda: todoke.rows("alarm", "list"), 30, "an alarm")[0]
    tap.ok(alarm["kind"] == "credential" and alarm["n"] == 25 and alarm["detail"]["key"] == "shop" and alarm["detail"]["paused"] is True,
           "the twenty-first raises an alarm that names the key (S13)", json.dumps(alarm))
    tap.ok("shop" in alarm["title"]["ja"] and "todoke key release" in alarm["text"]["ja"] and "todoke key release" in alarm["text"]["en"],
           "and says in both languages what to do", json.dumps(alarm, ensure_ascii=False))
    until(lambda: not is_in(todoke, shop), 30, "the key lets nobody in")
    tap.equal(api(todoke, shop, "POST", "/messages", mail(10))[0], 401, "the key is paused: it hands in nothing more (S14)")
    tap.ok(is_in(todoke, operator), "the others go on")
    until(lambda: len(receiver.mails) == 25, 30, "what it handed in before goes on")
    shown = {row["name"]: row for row in api(todoke, operator, "GET", "/keys")[1]["items"]}
    tap.ok(shown["shop"]["paused_at"] and not shown["operator"]["paused_at"], "GET /keys shows since when", json.dumps(shown))

    tap.equal(api(todoke, operator, "POST", f"/keys/{shown['shop']['id']}/release")[0], 204, "a person releases it (API)")
    until(lambda: is_in(todoke, shop), 30, "it lets in again")
    tap.equal(api(todoke, shop, "POST", "/messages", mail(11))[0], 202, "it sends again")
    until(lambda: len(receiver.mails) == 30, 30, "and it arrives")
    tap.ok(is_in(todoke, shop), "it is not paused a second time in the same matter")
    tap.ok(todoke.rows("alarm", "list")[0]["acked"], "who releases a key has seen the alarm")
    tap.equal(api(todoke, operator, "POST", "/keys/12/release")[0], 404, "a key that is not there")

    todoke.ok("key", "pause", "shop")
    until(lambda: not is_in(todoke, shop), 30, "todoke key pause")
    tap.ok("PAUSED since" in todoke.ok("key", "list"), "`todoke key list` shows it")
    todoke.ok("key", "release", shown["shop"]["id"])
    until(lambda: is_in(todoke, shop), 30, "todoke key release, by its number")
    tap.ok(is_in(todoke, shop), "paused and released by command")
    tap.equal(todoke.run("key", "release", "nobody").returncode, 2, "a name that is none is a mistake")
