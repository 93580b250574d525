"""Small commands that look at a store, on both: which servers there are (node list); what happens, from a place on (event tail); its schema (migrate). And one that
needs none: what an address looks like (check address; S22, D17)."""
import datetime
import json
import os
import re
import subprocess

from tap import Tap
from todoke import TODOKE, Place, stores, until

ZONE = {"shut.example": {"MX": [[0, "."]]}, "mute.example": {"error": "servfail"}}


def nodes(tap, words, todoke):
    todoke.ok("source", "add", "127.66.0.9", "--ehlo", "a.shop.example", "--node", "1")
    before = todoke.run("node", "list")
    tap.ok(before.returncode == 1 and "no server" in before.stdout, f"{words}: no node yet", before.stdout)
    todoke.ok("source", "add", "127.66.0.10", "--ehlo", "b.shop.example")
    todoke.serve()
    row = todoke.json("node", "list")
    tap.equal((row["node"], row["state"], row["life"], row["leads"], row["buckets"], row["on_wire"]), (1, "alive", 1, True, 256, 0), f"{words}: one node, which lives and owns all")
    tap.equal((row["sources"], row["shared_sources"]), (["127.66.0.9"], ["127.66.0.10"]), f"{words}: its source, and everybody's")
    tap.ok(row["since"] and row["until"] > row["since"] and row["version"], f"{words}: since when, until when, which version", str(row))
    tap.ok("nothing to do" in todoke.ok("migrate"), f"{words}: a store that is as it should be may be in use")
    table = todoke.ok("node", "list")
    tap.ok("alive" in table and "127.66.0.9  (leads)" in table and "everybody's: 127.66.0.10" in table, f"{words}: as a table", table)
    tap.equal(todoke.stop(), 0, f"{words}: it stops")
    done = todoke.run("node", "list", "--json")
    tap.ok(done.returncode == 1 and '"stopped"' in done.stdout, f"{words}: and is listed as stopped", done.stdout)
    tap.equal(todoke.run("node", "kill").returncode, 2, f"{words}: there is no other verb")
    checked, done = todoke.json("migrate", "--check"), todoke.json("migrate")
    tap.ok(checked["steps"] == done["steps"] == [] and checked["from"] == done["to"] > 40, f"{words}: there is nothing to migrate", f"{checked} {done}")


def settings(tap, words, place, todoke):
    """Who works at the server's machine need not say where the store is: its settings do."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TODOKE_")}
    env["TODOKE_CONFIG"] = place.write("todoke.yaml", f"store: {todoke.store}\nkey_file: {todoke.key}\n")
    said = subprocess.run([TODOKE, "source", "list"], capture_output=True, text=True, env=env, cwd=place.dir, timeout=60, check=False)
    tap.ok(said.returncode == 0 and "127.66.0.9" in said.stdout, f"{words}: the server's settings say where the store is", said.stdout + said.stderr)
    env["TODOKE_STORE"] = place.path("elsewhere.db")
    said = subprocess.run([TODOKE, "queue", "list"], capture_output=True, text=True, env=env, cwd=place.dir, timeout=60, check=False)
    tap.ok(said.returncode == 2 and "elsewhere.db" in said.stderr, f"{words}: $TODOKE_STORE goes before", said.stdout + said.stderr)


def events(tap, words, place, todoke):
    """Everybody of shut.example bounces: it says that it takes no mail."""
    todoke.brand()
    todoke.people([f"a{n}@shut.example" for n in range(20)])
    todoke.campaign("autumn")
    cursor = place.path("cursor")
    tap.equal(todoke.rows("event", "tail", "--cursor", cursor), [], f"{words}: nothing has happened yet")
    todoke.serve()
    follower = place.start([TODOKE, "event", "tail", "--follow", "--last", "0", "--type", "bounced", "--json"], "follow.log", {"TODOKE_STORE": todoke.store})
    todoke.ok("campaign", "send", "autumn")
    todoke.settled("autumn", 20, 60)
    bounced = [f"a{n}@shut.example" for n in range(20)]
    until(lambda: sorted(json.loads(line)["address"] for line in follower.said().splitlines()) == sorted(bounced), 20, "each bounce is followed once")
    tap.ok(follower.runs(), f"{words}: --follow shows what happens, and goes on")
    seen = todoke.rows("event", "tail", "--cursor", cursor)
    tap.ok(sum(event["count"] for event in seen if event["kind"] == "accepted") == 20, f"{words}: a cursor goes on behind what was printed", str(seen)[:2000])
    tap.equal(sorted(event["address"] for event in seen if event["kind"] == "bounced"), sorted(bounced), f"{words}: with every event")
    tap.equal(todoke.rows("event", "tail", "--cursor", cursor), [], f"{words}: and no event twice")
    last = todoke.rows("event", "tail", "--last", "7", "--type", "bounced,delivered", "--campaign", "autumn")
    tap.ok(len(last) == 7 and [event["at"] for event in last] == sorted(event["at"] for event in last), f"{words}: the newest seven, oldest first", str(last)[:1000])
    table = todoke.ok("event", "tail", "--type", "bounced", "--brand", "Hanamaru").splitlines()
    tap.ok(len(table) == 20 and all("bounced" in line and "@shut.example" in line for line in table), f"{words}: as a table", "\n".join(table))
    codes = [re.findall(r"\b556\b", line) for line in table]
    tap.equal({len(found) for found in codes}, {1}, f"{words}: a code is told once: {table[0]}")
    wrong = todoke.run("event", "tail", "--type", "delivred")
    tap.ok(wrong.returncode == 2 and "delivred" in wrong.stderr, f"{words}: a kind that is none is named", wrong.stderr)
    place.write("cursor", "nonsense")
    tap.equal(todoke.run("event", "tail", "--cursor", cursor).returncode, 2, f"{words}: a file that is no cursor is not overwritten")


def house_time(tap, words, place, todoke):
    """A campaign of the command has the time that the server's settings give all mail. todoke serves."""
    create = [TODOKE, "campaign", "create", "late", "--brand", "Hanamaru", "--list", "late", "--subject", "s", "--html", place.write("late.html", "<p>x</p>")]
    env = {**os.environ, "TODOKE_STORE": todoke.store, "TODOKE_KEY_FILE": todoke.key}
    todoke.people(["ann@mute.example"], "late")
    for name, wrong in (("TODOKE_CONFIG", []), ("IGNORED", ["--config"])):
        file = place.write("wrong.yaml", "retry:\n  expires_after: soon\n")
        said = subprocess.run(create + wrong + [file] * len(wrong), capture_output=True, text=True, env={**env, name: file}, cwd=place.dir, timeout=60, check=False)
        tap.ok(said.returncode == 2 and "wrong.yaml line 2" in said.stderr, f"{words}: settings that are wrong are no reason for five days in silence", said.stderr)
    file = place.write("house.yaml", "retry:\n  expires_after: 36h\n")
    subprocess.run(create, capture_output=True, env={**env, "TODOKE_CONFIG": file}, cwd=place.dir, timeout=60, check=True)
    todoke.ok("campaign", "send", "late")
    row = until(lambda: todoke.rows("queue", "list", "--campaign", "late", "--state", "deferred"), 60, "its one mail waits")[0]
    mail = todoke.json("explain", "message", row["delivery"])
    given = datetime.datetime.fromisoformat(mail["expires_at"]) - datetime.datetime.fromisoformat(mail["accepted_at"])
    tap.ok(abs(given.total_seconds() - 36 * 3600) < 60, f"{words}: campaign create keeps to retry.expires_after", str(given))


def addresses(tap):
    def check(*words, stdin=""):
        return subprocess.run([TODOKE, "check", "address", *words], capture_output=True, text=True, input=stdin, check=False, timeout=60)
    done = check("--json", "taro@gmail.con")
    tap.equal(json.loads(done.stdout), {"valid": True, "normalised": "taro@gmail.con", "local": "taro", "domain": "gmail.con", "rfc_violation": False, "disposable": False,
                                        "role": False, "suggestion": "taro@gmail.com", "reason": ""}, "check address: all members, and what was meant (S22)")
    old = check("a..b@docomo.ne.jp")
    tap.ok(done.returncode == old.returncode == 0 and "rfc_violation  yes" in old.stdout, "one of docomo's is valid (D17)", old.stdout)
    bad = check("a..b@shop.example", "--json")
    tap.ok(bad.returncode == 1 and json.loads(bad.stdout)["reason"] and not json.loads(bad.stdout)["valid"], "elsewhere it is not, and the status says so", bad.stdout)
    lines = [{"id": "a", "address": "INFO@Mailinator.com"}, {"id": "b"}, {"id": "c", "address": "x＠docmo.ne.jp"}]
    rows = [json.loads(line) for line in check("--batch", stdin="".join(json.dumps(line) + "\n" for line in lines)).stdout.splitlines()]
    tap.equal([row["id"] for row in rows], ["a", "b", "c"], "a batch answers in order")
    tap.ok(rows[0]["role"] and rows[0]["disposable"] and rows[0]["domain"] == "mailinator.com" and "error" in rows[1], "each by itself", str(rows))
    tap.equal((rows[2]["valid"], rows[2]["suggestion"]), (False, "x@docomo.ne.jp"), "a full-width @ and a slip are mended in the suggestion")
    tap.equal(check().returncode, 2, "no address is wrong usage")


with Tap() as shown:
    addresses(shown)
    for store_name, store_url in stores("commands"):
        with Place("commands") as place:
            todoke = place.installation(store=store_url, zone=ZONE)
            nodes(shown, store_name, todoke)
            settings(shown, store_name, place, todoke)
            events(shown, store_name, place, todoke)
            house_time(shown, store_name, place, todoke)
            todoke.stop()
