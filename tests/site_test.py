"""Issue 4.5, S76, U23: `todoke explain site` says what binds at a receiver now: the limit, its value, the rule's file and line, since when and by
whose words; what is owed there, what waits for which reason, and when it will be done; from the running server, and from the store alone."""
import re
import sqlite3
import threading
import urllib.parse
import urllib.request

from contract import Api, Contract
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Late, Place, stores, until

MX = f"{NET}.80"
ANGRY = f"{NET}.81"
BUSY = f"{NET}.82"
RULE = """name: slowco
label: Slow Company
hosts: [slowco.example]
connections: 2
messages_per_connection: 100
rate: 4/s
new_connections: none
daily: none
tls: may
reactions:
  - id: slowco.go-away
    text: ["go away for now"]
    suspend: 1h
    examples: ["421 4.7.0 go away for now, please"]
    not: ["550 5.1.1 no such user"]
"""


class Mood:
    """What the receivers say: nothing wrong, until somebody is told to be angry."""

    def __init__(self):
        self.is_angry = threading.Event()

    def slow(self, address):
        return "421 4.7.0 go away for now, please" if self.is_angry.is_set() else None

    def limited(self, address):
        return "421 4.7.0 Too many messages from your address, try again later"


def told(question):
    """What binds is what binds at that moment: on a busy machine the receiver is the faster one now and then."""
    try:
        return until(question, 20, "what binds")
    except Late:
        return None


def by_api(tap, words, contract, todoke):
    api = Api(todoke.http, todoke.ok("key", "add", "looks").strip().split()[-1])

    def ask(path, template, fits):
        def once():
            status, _, answer = api.ask("GET", path)
            return (status, answer) if status == 200 and fits(answer) else None
        status, answer = told(once) or api.ask("GET", path)[::2]
        schema = contract.typed["paths"][template]["get"]["responses"][str(status)]
        misfit = contract.misfit(schema["content"]["application/json"]["schema"], answer) if status == 200 else ""
        tap.ok(not misfit, f"{words}: GET {template} is as the contract says", f"{misfit}: {answer}")
        return status, answer

    binds = lambda said: said["site"] == "slowco" and said["binds"]["limit"] == "rule_rate" and "slowco.yaml" in said["binds"]["text"]["ja"]
    status, said = ask("/sites/d1.example", "/sites/{site}", binds)
    tap.ok(status == 200 and binds(said), f"{words}: the API tells the same", f"{status} {said}")
    is_busy = lambda said: "slowco" in [row["site"] for row in said["items"]] and said["items"][0]["rate"] > 0
    status, said = ask("/sites", "/sites", is_busy)
    tap.ok(is_busy(said), f"{words}: the sites that are busy, the fastest first", str(said)[:2000])
    tap.equal([api.ask("GET", f"/sites/{name}")[0] for name in ("nonsense", "a%0D%0Ab", "x" * 300)], [404] * 3, f"{words}: what is no site is a 404")
    waits = lambda said: said["lanes"][0]["owed"] > 0 and any("slowco.yaml line 6" in lane["waits_for"]["en"] for lane in said["lanes"])
    status, said = ask("/explain/queue", "/explain/queue", waits)
    tap.ok(waits(said), f"{words}: what the queue waits for, and what binds there", str(said))
    delivery = todoke.rows("queue", "list", "--domain", "d1.example", "--state", "waiting")[-1]["delivery"]
    is_told = lambda said: said["items"][0]["delivery_id"] == delivery and said["items"][0]["timeline"][0]["kind"] == "accepted" and "slowco.yaml" in said["items"][0]["next"]["ja"]
    status, said = ask(f"/explain/message/{delivery}", "/explain/message/{id}", is_told)
    tap.ok(is_told(said), f"{words}: where a mail is, and what binds at its receiver", str(said))
    tap.equal([api.ask("GET", f"/explain/message/{urllib.parse.quote(name, safe='')}")[0] for name in ("12345", "<nobody@x.example>", "\r\n")], [404] * 3, f"{words}: a mail that is not there is a 404")
    brands = {row["name"]: row["id"] for row in api.ask("GET", "/brands")[2]["items"]}
    other = Api(todoke.http, api.ask("POST", "/keys", {"name": "other", "scopes": ["queue:read", "messages:read"], "brand_ids": [brands["Other"]]})[2]["secret"])
    tap.equal((other.ask("GET", "/sites")[0], other.ask("GET", "/sites/d1.example")[0], other.ask("GET", f"/explain/message/{delivery}")[0], other.ask("GET", "/explain/queue")[2]["lanes"]),
              (403, 403, 404, []), f"{words}: another brand's key sees none of it (X17)")


def suspended(todoke):
    with urllib.request.urlopen(f"http://{todoke.http}/metrics", timeout=90) as answer:
        return int(re.search(r'^todoke_ways_suspended\{by="reaction"\} (\d+)$', answer.read().decode(), re.M).group(1))


def by_hand(tap, words, todoke, mood, site, wait_for):
    """A person has talked with the receiver: the suspension ends; and another one begins, by order."""
    def given(*order):
        said = todoke.json("queue", *order)["order"]
        return until(lambda: next((row for row in todoke.rows("queue", "orders") if row["order"] == said and row["is_done"]), None), 20, "the order is carried out")

    mood.is_angry.clear()
    order = given("resume", "--site", "d0.example", "--why", "we talked")
    tap.equal((order["verb"], order["site"], order["moved"], order["why"]), ("resume", "slowco", 1, "we talked"), f"{words}: resumed by a domain of it: one way, on record")
    said = wait_for("slowco", lambda said: said["ways"] and not said["ways"][0]["suspended_until"], "it is suspended no more")
    tap.ok(said["resumed"]["why"] == "we talked" and said["resumed"]["who"].startswith("user "), f"{words}: and explain site tells who did it", str(said["resumed"]))
    order = given("suspend", "--site", "slowco", "--for", "2h", "--why", "their night")
    said = wait_for("slowco", lambda said: said["binds"] and said["binds"]["limit"] == "order", "a person's suspension binds")
    tap.ok(said["suspensions"][0]["why"] == "their night" and said["suspensions"][0]["until"] == order["until"] and said["binds"]["until"], f"{words}: suspended by hand, until when and why", str(said["suspensions"]))
    tap.ok("suspended by hand: by all sources, until" in todoke.ok("explain", "site", "slowco", "--lang", "en") and "人の指示で停止中" in todoke.ok("explain", "site", "slowco", "--lang", "ja"),
           f"{words}: for people, too")
    tap.ok("goes on: nothing is held against it any more (ways: 1)" in todoke.ok("queue", "resume", "--site", "slowco"), f"{words}: resumed, the command says what came of it")
    tap.ok("there was nothing to lift" in todoke.ok("queue", "resume", "--site", "mx.other.example"), f"{words}: and says so where nothing was")
    until(lambda: "the suspension is over site=slowco source=any reason=order" in todoke.server.said(), 20, "the last line in the log")
    log = todoke.server.said()
    for line in (r"suspended by its words \(.*go away for now.*\) site=slowco source=any reason=slowco\.go-away until=20\S+Z rule=\S*slowco\.yaml:11\n",
                 r"the suspension is over site=slowco source=any reason=reaction\n",
                 r"suspended by a person's order site=slowco source=any reason=order until=20\S+Z\n",
                 r"the suspension is over site=slowco source=any reason=order\n"):
        tap.ok(len(re.findall(line, log)) == 1, f"{words}: one line in the log: {line.split(' site')[0]}", "\n".join(text for text in log.splitlines() if "slowco" in text))
    if words != "SQLite":
        return
    for wrong, says in ((("resume",), "--site"), (("suspend", "--site", "slowco"), "--for 2h"), (("suspend", "--site", "slowco", "--for", "90d"), "30 days"),
                        (("resume", "--site", "slowcoo"), 'no site "slowcoo"'), (("resume", "--site", "slowco", "--source", "192.0.2.77"), "192.0.2.77"),
                        (("resume", "--site", "bad..example"), "no host's name"), (("hold", "--site", "slowco", "--for", "2h"), "--for")):
        ran = todoke.run("queue", *wrong)
        tap.ok(ran.returncode == 2 and says in ran.stderr and ran.stderr.count("\n") == 1, f"{words}: refused: queue {' '.join(wrong)}", ran.stderr)


def story(tap, words, store):
    mood = Mood()
    with Place("site") as place:
        receivers = [Receiver(MX, PORT, mood.slow), Receiver(ANGRY, PORT, mood.limited), Receiver(BUSY, PORT, greeting="421 4.3.2 server too busy \u009b31m\u202e")]
        place.cleanups += [receiver.end for receiver in receivers]
        place.write("sites/slowco.yaml", RULE)
        zone = {"mx.slowco.example": {"A": [MX]}, "mx.angry.example": {"A": [ANGRY]}, "mx.busy.example": {"A": [BUSY]}, "busy.example": {"MX": [[10, "mx.busy.example"]]},
                "angry.example": {"MX": [[10, "mx.angry.example"]]}, "never.example": {"MX": [[10, "mx.slowco.example"]]},
                **{f"d{n}.example": {"MX": [[10, "mx.slowco.example"]]} for n in range(3)}}
        todoke = place.installation(zone=zone, store=store, test__time_percent="100", sites__folder=place.path("sites"))
        todoke.brand()
        rule = ["tls", "rule", "set", "site", "slowco", "opportunistic"]
        settings = place.write("todoke.yaml", f"sites:\n  folder: {place.path('sites')}\n")
        unknown, known = todoke.run(*rule), todoke.run(*rule, "--config", settings)
        tap.ok(unknown.returncode == 2 and known.returncode == 0, f"{words}: a TLS rule for a site of our own, found by the server's settings", unknown.stderr + known.stderr)
        todoke.people([f"a{n}@d{n % 3}.example" for n in range(300)] + [f"b{n}@angry.example" for n in range(20)] + ["c@busy.example"])
        todoke.campaign("autumn")
        todoke.brand("Other", "other <news@other.example>", "bounce.other.example")
        todoke.serve()
        todoke.ok("campaign", "send", "autumn")

        def site(name):
            return todoke.json("explain", "site", name)

        def wait_for(name, question, what):
            return until(lambda: (lambda said: said if question(said) else None)(site(name)), 40, what, 0.2)

        said = wait_for("d1.example", lambda said: said["binds"] and said["binds"]["limit"] == "rule_rate" and said["done"]["is_measured"]
                        and said["owed"]["waiting"], "the rule's rate binds")
        tap.equal((said["site"], said["label"], said["route"]["rule"], said["is_live"]), ("slowco", "Slow Company", "slowco", True), f"{words}: a domain's site is named")
        tap.ok(said["route"]["hosts"] == "10 mx.slowco.example" and said["route"]["file"].endswith("slowco.yaml"), f"{words}: with its MX and the file that made it", str(said["route"]))
        tap.equal(sorted(said["domains"]), ["d0.example", "d1.example", "d2.example"], f"{words}: all domains of that MX are one site")
        tap.ok(3.5 < said["binds"]["value"] <= 4 and said["binds"]["file"].endswith("slowco.yaml") and said["binds"]["line"] == 6, f"{words}: the limit, its value, file and line", str(said["binds"]))
        tap.ok(said["ways"][0]["connections"]["rule"] == 2 and said["ways"][0]["connections"]["open"] <= 2 and said["ways"][0]["rate"]["now"] < 4.4, f"{words}: connections and rate", str(said["ways"]))
        left = said["owed"]["waiting"] + said["owed"]["deferred"]
        tap.ok(0 < left <= 300 and said["done"]["at"] and said["done"]["rate"] < 4.4, f"{words}: what is owed, and when it will be done", str(said["done"]))
        tap.ok(told(lambda: any("slowco.yaml line 6" in lane["waits_for"] for lane in todoke.json("explain", "queue")["lanes"])), f"{words}: explain queue tells what binds at the receiver")
        tap.ok(told(lambda: "slowco.yaml line 6" in todoke.ok("explain", "site", "slowco", "--lang", "en")), f"{words}: the site's own name does too")
        tap.ok(told(lambda: "slowco.yaml 6 行" in todoke.ok("explain", "site", "D1.Example", "--lang", "ja")), f"{words}: in Japanese too, whatever the case")
        other = site("never.example")
        tap.equal((other["site"], other["route"]["status"], sum(other["owed"].values()) > 0), ("slowco", "found", True), f"{words}: DNS is asked for a domain that is owed nothing")

        by_api(tap, words, Contract(), todoke)
        said = wait_for("angry.example", lambda said: said["ways"] and said["ways"][0]["lowered"] and said["retries"], "the pace is lowered")
        lowered = said["ways"][0]["lowered"]
        tap.ok("421 4.7.0 Too many messages" in lowered["words"] and lowered["words"].startswith("rcpt:") and lowered["at"], f"{words}: why the pace was lowered, by whose words, when", str(lowered))
        tap.ok(said["retries"][0]["reason"] == "rate_limited" and said["retries"][0]["n"] > 0, f"{words}: what waits for which reason", str(said["retries"]))
        tap.ok("Too many messages" in said["replies"][0]["words"] and "mx.angry.example" in said["replies"][0]["remote"], f"{words}: the last replies", str(said["replies"]))

        said = wait_for("busy.example", lambda said: said["retries"], "a receiver that closes at once")
        tap.equal((said["retries"][0]["reason"], said["retries"][0]["rule"]), ("blocked", "general.closing-at-connect"), f"{words}: the rule that read its newest reply")
        site_says, lane_says = todoke.ok("explain", "site", "busy.example", "--lang", "en"), todoke.ok("explain", "queue", "--lang", "en")
        tap.ok("Refused on connecting (blocked)" in site_says and "removal" not in site_says, f"{words}: in that rule's words, as explain message has them", site_says)
        tap.ok("server too busy \\u009b31m\\u202e" in site_says and not set("\u009b\u202e") & set(site_says + lane_says), f"{words}: what steers a terminal is written out", site_says)
        tap.ok("server too busy \u009b31m\u202e" in said["replies"][0]["words"], f"{words}: and JSON has it as it was", str(said["replies"]))
        tap.ok("mostly for blocked by the rule general.closing-at-connect" in lane_says, f"{words}: and the queue names it", lane_says)

        mood.is_angry.set()
        said = wait_for("slowco", lambda said: said["binds"] and said["binds"]["limit"] == "reaction_suspend", "the reaction suspends the site")
        tap.ok(said["binds"]["reaction"] == "slowco.go-away" and said["binds"]["line"] == 11 and said["binds"]["until"] and said["ways"][0]["suspended_until"], f"{words}: which reaction suspends it, until when", str(said["binds"]))
        tap.ok(said["ways"][0]["lowered"]["by"] == "reaction_suspend" and "go away for now" in said["ways"][0]["lowered"]["words"], f"{words}: and by which words", str(said["ways"][0]["lowered"]))
        tap.equal(suspended(todoke), 1, f"{words}: the metrics count the way that is suspended")
        by_hand(tap, words, todoke, mood, site, wait_for)
        tap.equal(until(lambda: suspended(todoke) == 0, 20, "nothing is suspended"), True, f"{words}: and count it no more")
        todoke.ok("queue", "hold", "--domain", "d2.example", "--why", "their server moves")
        said = site("slowco")
        tap.equal([(hold["domain"], hold["why"]) for hold in said["holds"]], [("d2.example", "their server moves")], f"{words}: holds of its domains")

        wrong = todoke.run("explain", "site", "slowcoo")
        tap.ok(wrong.returncode == 2 and "slowcoo" in wrong.stderr, f"{words}: a name that is no receiver's is no answer", wrong.stdout + wrong.stderr)
        tap.equal(todoke.stop(), 0, f"{words}: it stops")
        said = site("d0.example")
        tap.ok(not said["is_live"] and not said["ways"] and said["owed"]["deferred"] + said["owed"]["waiting"] > 0, f"{words}: without a server, what the store knows", str(said))
        tap.ok("no server runs" in todoke.ok("explain", "site", "d0.example", "--lang", "en"), f"{words}: and it says so")
        tap.ok("no server runs (todoke serve)" in said["waits_for"]["en"] and "サーバが動いていません" in said["waits_for"]["ja"] and not said["binds"], f"{words}: nor does anything bind", str(said["waits_for"]))
        lanes = [lane for lane in todoke.json("explain", "queue", "--lang", "en")["lanes"] if lane["due"] and not lane["hold"]]
        tap.ok(lanes and all("but no server runs (todoke serve)" in lane["waits_for"] for lane in lanes), f"{words}: explain queue says it as well", str(lanes))
        due = int(todoke.rows("queue", "list", "--domain", "d0.example", "--state", "waiting")[0]["delivery"])
        tap.ok("due now, but no server runs (todoke serve)" in todoke.ok("explain", "message", str(due), "--lang", "en"), f"{words}: and explain message")
        if words == "SQLite":
            with sqlite3.connect(todoke.store) as store_file:
                store_file.execute("UPDATE delivery SET state = 3 WHERE id = ?", (due,))
            store_file.close()
            tap.ok("stopped in conversation with its receiver" in todoke.ok("explain", "message", str(due), "--lang", "en"), f"{words}: what is on the wire is in nobody's conversation")
        tap.equal(todoke.run("explain", "site", "x" * 300).returncode, 2, f"{words}: a name that is none")


with Tap() as shown:
    for store_name, store_url in stores("site"):
        story(shown, store_name, store_url)
