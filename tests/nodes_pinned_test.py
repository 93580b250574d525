"""Two nodes on one PostgreSQL store, each with a source of the same pool: what was in doubt by the one's is tried again by that one, whoever owns its
bucket; when that node is gone it waits for in_doubt.source_wait, goes by the other, and explain message says why (R22)."""
import time
from datetime import datetime

from nodes import node, number, shared, sql, store_url
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until

MX, FIRST, SECOND = f"{NET}.52", f"{NET}.203", f"{NET}.204"
ZONE = {"ok.example": {"MX": [[10, "mx.ok.example"]]}, "mx.ok.example": {"A": [MX]}}
TODAY = int(time.time() // 86400)
PEOPLE = [f"hito{number}@ok.example" for number in range(60)]


def came_from(receiver, people):
    """address -> where each of its mails came from, in order."""
    with receiver.lock:
        return {who: [peer for (_, to, _), peer in zip(receiver.mails, receiver.peers) if to == who] for who in people}


def in_doubt(url, one, receiver, name):
    """A campaign to all; who is dropped is in doubt by the second node's source, due in hours."""
    receiver.drops = set(PEOPLE)
    before = len(receiver.mails)
    one.campaign(name)
    one.ok("campaign", "send", name)
    until(lambda: number(url, "SELECT COUNT(*) FROM delivery WHERE state = 4") == len(PEOPLE), 60, "all are in doubt")
    return before


def logged(todoke, words):
    """When the server said so last, in seconds."""
    line = [line for line in todoke.server.said().splitlines() if words in line][-1]
    return datetime.fromisoformat(line.split()[0].replace("Z", "+00:00")).timestamp()


def due(url):
    sql(url, "UPDATE delivery SET due_ms = 1 WHERE state = 4")


def capped(tap, url, one, receiver):
    """Its node lives, and its warm-up's day is used up: five of node 1's buckets do not wait for tomorrow. Who they are."""
    handed = "SELECT COUNT(*) FROM handoff WHERE pool LIKE '=%' AND node = 2"
    mine = "bucket IN (SELECT bucket FROM lease WHERE node = 1)"
    sql(url, f"INSERT INTO warm_up (source_id, grp, caps, step, day, created_ms) SELECT id, '*', '5,10', 0, {TODAY}, 1 FROM source WHERE ip = '{SECOND}'")
    sql(url, f"INSERT INTO daily_use (source_id, grp, day, reserved) SELECT id, 'warm *', {TODAY}, 5 FROM source WHERE ip = '{SECOND}' "
             "ON CONFLICT (source_id, grp, day) DO UPDATE SET reserved = 5")
    five = [row[0] for row in sql(url, f"SELECT address FROM delivery WHERE state = 4 AND {mine} ORDER BY id LIMIT 5")]
    said = one.json("explain", "message", sql(url, f"SELECT id FROM delivery WHERE address = '{five[0]}'")[0][0])
    tap.ok("cannot be used now: any other of the pool will do" in said["source_text"], "explain message says that it is not waited for", str(said["source_text"]))
    addresses = ", ".join(f"'{who}'" for who in five)
    sql(url, f"UPDATE delivery SET due_ms = 1 WHERE state = 4 AND address IN ({addresses})")
    until(lambda: number(url, f"SELECT COUNT(*) FROM event WHERE note = 'other_source day {SECOND}'") == 5, 30, "they go by another source, and their events say why")
    sql(url, "DELETE FROM warm_up")
    sql(url, "DELETE FROM daily_use")
    until(lambda: number(url, handed) == 128, 20, "with a day that is not used up, node 1 hands over what keeps to that source")
    return five


def kept(tap, url, one, two, receiver):
    until(lambda: number(url, "SELECT COUNT(*) FROM handoff WHERE node = 2 AND pool = 'default'") == 128, 20, "node 1 hands its buckets' mail over")
    in_doubt(url, one, receiver, "kept")
    one.ok("source", "add", FIRST, "--ehlo", "out1.shop.example", "--node", "1")
    until(lambda: number(url, "SELECT COUNT(*) FROM handoff") == 0, 20, "node 1 has a source of the pool, too")
    tap.equal(number(url, "SELECT COUNT(DISTINCT bucket / 128) FROM delivery WHERE state = 4"), 2, "some of them are in buckets of node 1")
    five = capped(tap, url, one, receiver)
    due(url)
    one.settled("kept", len(PEOPLE), 60)
    tap.equal([who for who, peers in came_from(receiver, PEOPLE).items() if peers != [SECOND, FIRST if who in five else SECOND]], [],
              "each is tried again by the source by which it was in doubt, on the node that has it (R22)")
    tap.ok(number(url, "SELECT COUNT(*) FROM handoff WHERE pool LIKE '=%' AND node = 2") == 128, "node 1 handed those over, and nothing else",
           str(sql(url, "SELECT pool, node, COUNT(*) FROM handoff GROUP BY pool, node")))
    tap.equal(number(url, "SELECT COUNT(*) FROM event WHERE note LIKE 'other_source%'"), 5, "nobody else went by another")


def gone(tap, url, one, two, receiver):
    one.ok("source", "drain", FIRST) # so that all of it goes by node 2
    until(lambda: number(url, "SELECT COUNT(*) FROM handoff WHERE node = 2 AND pool = 'default'") == 128, 20, "node 1 hands its buckets' mail over again")
    before = in_doubt(url, one, receiver, "gone")
    tap.equal(two.stop(), 0, "node 2 stops")
    until(lambda: number(url, "SELECT COUNT(*) FROM lease WHERE node = 1") == 256, 30, "node 1 has all buckets")
    one.ok("source", "add", f"{NET}.205", "--ehlo", "out3.shop.example", "--node", "1")
    due(url)
    until(lambda: number(url, "SELECT COUNT(*) FROM delivery WHERE state = 4") == 0, 20, "they are released")
    delivery = sql(url, "SELECT id FROM delivery WHERE state = 1 LIMIT 1")
    if delivery: # else the machine is slower than the wait
        said = one.json("explain", "message", delivery[0][0])
        tap.ok(said["state"] != "deferred" or (said["source"] == SECOND and "node 2" in said["source_text"]), "explain message says which node it waits for", str(said["source_text"]))
    report = one.settled("gone", len(PEOPLE), 60)
    tap.equal(report["counts"]["delivered"], len(PEOPLE), "the node does not come back: all go by another source of the pool")
    took = logged(one, "waits for that node no longer") - logged(one, "256 buckets are ours, of 1 nodes'")
    tap.ok(took > 4, "and not before in_doubt.source_wait is over", f"{took:.1f} s")
    tap.equal({peer for peer in receiver.peers[before + len(PEOPLE):]}, {f"{NET}.205"}, "which is the other node's")
    mail = one.json("explain", "message", sql(url, "SELECT MAX(id) FROM delivery")[0][0])
    last = mail["timeline"][-1]
    tap.equal((last["kind"], last["note"]), ("delivered", f"other_source node {SECOND}"), "the event says why")
    tap.ok(SECOND in last["text"] and "in_doubt.source_wait" in last["text"], "in words, too", last["text"])
    japanese = one.ok("explain", "message", mail["delivery"], "--lang", "ja")
    tap.ok(f"別の送信元から。届いたか不明になったときの送信元 {SECOND} は" in japanese, "and in Japanese", japanese)
    audit = one.audit(60)
    tap.ok(audit["status"] == 0 and audit["accepted"] == audit["sum"], "the books balance", str(audit))


def story(tap, place, url):
    receiver = Receiver(MX, PORT)
    place.cleanups.append(receiver.end)
    settings = {"in_doubt__wait": "10h", "in_doubt__source_wait": "10m"} # 6 minutes, 6 s here
    one = node(place, url, 1, ZONE, **settings)
    one.brand()
    two = node(place, url, 2, ZONE, **settings)
    one.people(PEOPLE)
    two.ok("source", "add", SECOND, "--ehlo", "out2.shop.example", "--node", "2") # before they start: they read every 2 s who sends by which pool
    one.serve()
    two.serve()
    shared(url, 1, 2)
    kept(tap, url, one, two, receiver)
    gone(tap, url, one, two, receiver)
    tap.equal(one.stop(), 0, "it stops")


with Tap() as tap:
    url = store_url("pinned")
    if not url:
        tap.skip("two nodes, one source each", "no PostgreSQL (run below tools/with-postgres)")
    else:
        with Place("pinned") as place:
            story(tap, place, url)
