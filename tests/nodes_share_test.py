"""Two nodes on one PostgreSQL store, both well: a mail accepted on one leaves by the other at once, what is decided on one holds on both, mail
whose source is on one node only is handed to it (issue 4: "a brand whose source is on one node only reaches all its recipients"), and a node
that slept beyond its lease wakes up with nothing to say (R37)."""
import http.client
import itertools
import json
import statistics
import time

from nodes import doubted, go_on, node, number, shared, sql, stop, store_url
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, connections_of, until

MX, FROM = f"{NET}.50", f"{NET}.201"
ZONE = {"ok.example": {"MX": [[10, "mx.ok.example"]]}, "free.example": {"MX": [[10, "mx.ok.example"]]}, "mx.ok.example": {"A": [MX]}}
PEOPLE = 400


def send(todoke, secret, address):
    connection = http.client.HTTPConnection(todoke.http, timeout=90)
    connection.request("POST", "/api/v1/messages", json.dumps({"from": "orders@shop.example", "to": address, "subject": "s", "text": "t"}),
                       {"Authorization": "Bearer " + secret})
    answer = connection.getresponse()
    status = answer.status, answer.read()
    connection.close()
    return status


def came_from(receiver, people):
    """The address that the last mail to each of them came from."""
    return set({who: peer for (_, who, _), peer in zip(receiver.mails, receiver.peers) if who in people}.values())


def wake(tap, url, one, two, receiver, times):
    """Mail handed to one node for the other's buckets."""
    secret = one.ok("key", "add", "test").strip()
    owner = {int(bucket): int(who) for bucket, who in sql(url, "SELECT bucket, node FROM lease")}
    bucket = {address: int(of) for address, of in sql(url, "SELECT address, bucket FROM contact")}
    took = {}
    for whose in (1, 2):
        people = [address for address, of in bucket.items() if owner[of] == whose][:40]
        took[whose] = []
        for address in people:
            start = time.monotonic()
            status = send(one, secret, address)
            if status[0] != 202:
                raise AssertionError(str(status))
            until(lambda address=address: address in times, 20, f"the mail to {address}", 0.001)
            took[whose].append((times[address] - start) * 1000)
    here, there = (statistics.median(took[whose]) for whose in (1, 2))
    tap.note(f"from the request at node 1 to RCPT at the receiver, median of 40: buckets of node 1 {here:.1f} ms, of node 2 {there:.1f} ms (most {max(took[2]):.0f} ms)")
    # polls come once a second: half of one is the median then, and so much more than where nobody has to be woken
    tap.ok(there < 250 + 2 * here, "a mail accepted on one node for a bucket of the other leaves at once, not at the next poll", f"{there:.0f} ms")
    tap.equal(number(url, "SELECT COUNT(*) FROM delivery d JOIN lease l ON l.bucket = d.bucket WHERE d.state = 5 AND d.node <> l.node"), 0,
              "each by the owner of its bucket")
    return secret


def decided(tap, one, two, receiver, times, secret):
    """A hold and an exclusion, said to one node, hold on both."""
    two.ok("queue", "hold", "--domain", "ok.example", "--why", "test")
    rounds = itertools.count()

    def is_heeded():
        """Eight mails to it, then eight to a domain that is not held, to buckets of both: when the latter are there, none of the former is."""
        number_of = next(rounds)
        to_it, others = ([f"try{number_of}n{n}@{domain}.example" for n in range(8)] for domain in ("ok", "free"))
        for address in to_it + others:
            send(one, secret, address)
        until(lambda: set(others) <= set(times), 30, "mail to the domain that is not held")
        return not set(to_it) & set(times)
    until(is_heeded, 30, "each node has read the small table of holds", 0.5)
    held = [f"held{n}@ok.example" for n in range(20)]
    for address in held:
        send(one, secret, address)
    two.ok("suppress", "add", held[0])
    until(lambda: set(held) <= {row["address"] for row in two.rows("queue", "list", "--limit", "1000")}, 30, "they are owed")
    time.sleep(1)
    tap.ok(not set(held) & set(times), "what is held is held on both nodes")
    two.ok("queue", "release", "--domain", "ok.example")
    until(lambda: set(held[1:]) <= {who for _, who, _ in receiver.mails}, 30, "the released ones")
    tap.ok(held[0] not in {who for _, who, _ in receiver.mails}, "who was excluded meanwhile gets nothing, whichever node has the bucket")


def handed(tap, url, place, one, two, receiver, secret):
    """A pool whose only source is on node 2."""
    one.ok("source", "assign", "Hanamaru", "--pool", "news")
    two.ok("source", "add", FROM, "--ehlo", "out.shop.example", "--pool", "news", "--node", "2")
    lease = {int(bucket): int(who) for bucket, who in sql(url, "SELECT bucket, node FROM lease")}
    owners = {address: lease[int(of)] for address, of in sql(url, "SELECT address, bucket FROM contact")}

    def goes_by(whose):
        """Where a mail to one of that node's buckets comes from now."""
        address = next(address for address, owner in owners.items() if owner == whose)
        before = len(receiver.peers)
        send(one, secret, address)
        until(lambda: any(who == address for _, who, _ in receiver.mails[before:]), 30, "the mail")
        with receiver.lock:
            return next(peer for (_, who, _), peer in zip(receiver.mails[before:], receiver.peers[before:]) if who == address)
    until(lambda: all(goes_by(whose) == FROM for whose in (1, 2)), 30, "both nodes know who sends by which pool", 0.5)
    until(lambda: number(url, "SELECT COUNT(*) FROM handoff WHERE node = 2 AND pool = 'news'") == 128, 20, "node 1 hands its buckets' mail over")
    one.campaign("handed")
    one.ok("campaign", "send", "handed")
    people = {address for address, in sql(url, "SELECT address FROM contact")}
    before = {who for _, who, mail in receiver.mails if b"autumn" in mail}
    until(lambda: len({who for _, who, mail in receiver.mails if who in people} - before) >= PEOPLE, 60, "everybody has it")
    report = one.settled("handed", PEOPLE, 60)
    tap.equal(report["counts"]["delivered"], PEOPLE, "a brand whose source is on one node only reaches all its recipients")
    tap.equal(came_from(receiver, people), {FROM}, "all from that source")
    tap.ok(number(url, "SELECT COUNT(DISTINCT bucket / 128) FROM delivery WHERE campaign_id IS NOT NULL AND node = 2") == 2, "of both nodes' buckets")
    two.kill()
    one.campaign("waits")
    one.ok("campaign", "send", "waits")
    until(lambda: one.report("waits")["accepted"] == PEOPLE, 30, "the campaign is expanded")
    until(lambda: number(url, "SELECT COUNT(*) FROM handoff") == 0 and number(url, "SELECT COUNT(*) FROM lease WHERE node = 1") == 256, 30, "node 2 is taken for dead")
    tap.equal(one.report("waits")["counts"]["delivered"], 0, "with the node of its source dead the mail waits")
    two.serve()
    report = one.settled("waits", PEOPLE, 60)
    tap.equal((report["counts"]["delivered"], came_from(receiver, people)), (PEOPLE, {FROM}), "and goes when that node is back")
    one.ok("source", "add", f"{NET}.202", "--ehlo", "out2.shop.example", "--pool", "news", "--node", "1")
    until(lambda: number(url, "SELECT COUNT(*) FROM handoff") == 0, 20, "node 1 has a source of its own: it sends its own mail again")


def asleep(tap, url, one, two, receiver):
    """kill -STOP beyond the lease, in the middle of a campaign; then it goes on."""
    shared(url, 1, 2)
    receiver.pause = 0.05
    before = len(receiver.mails)
    one.campaign("asleep")
    one.ok("campaign", "send", "asleep")
    until(lambda: len(receiver.mails) > before + PEOPLE // 10, 30, "mail is under way", 0.005)
    slept = int(time.time() * 1000)
    stop(two)
    opened = len(connections_of(two.server.popen.pid))
    until(lambda: number(url, "SELECT COUNT(*) FROM lease WHERE node = 1") == 256, 30, "node 1 has taken over")
    doubtful = {row["address"] for row in one.rows("queue", "list", "--state", "in_doubt", "--limit", "1000")} | doubted(url, slept)
    receiver.pause = 0
    go_on(two)
    shared(url, 1, 2)
    report = one.settled("asleep", PEOPLE, 90)
    tap.equal(report["counts"]["delivered"], PEOPLE, "everybody is delivered to")
    counts = {}
    for _, who, _ in receiver.mails[before:]:
        counts[who] = counts.get(who, 0) + 1
    doubled = {who for who, count in counts.items() if count > 1}
    tap.equal((len(counts), sorted(doubled - doubtful)), (PEOPLE, []), "whoever got it twice was named in doubt")
    tap.ok(sum(counts.values()) - PEOPLE <= opened and len(doubtful) <= opened, "no more than connections were open when it fell asleep",
           f"{sum(counts.values()) - PEOPLE} twice, {len(doubtful)} in doubt, {opened} connections")
    tap.ok("presumed dead" in two.server.said(), "it knows that it was taken for dead")
    tap.note(f"asleep: {len(doubtful)} in doubt of {opened} connections, {sum(counts.values()) - PEOPLE} duplicates")
    audit = one.audit(60)
    tap.ok(audit["status"] == 0 and audit["accepted"] == audit["sum"], "the books balance", str(audit))


def story(tap, place, url):
    times = {}
    receiver = Receiver(MX, PORT, lambda address: times.setdefault(address, time.monotonic()) and None)
    place.cleanups.append(receiver.end)
    one = node(place, url, 1, ZONE, in_doubt__wait="20m")
    one.brand()
    two = node(place, url, 2, ZONE, in_doubt__wait="20m")
    one.people([f"hito{number}@ok.example" for number in range(PEOPLE)])
    one.serve()
    two.serve()
    shared(url, 1, 2)
    secret = wake(tap, url, one, two, receiver, times)
    decided(tap, one, two, receiver, times, secret)
    handed(tap, url, place, one, two, receiver, secret)
    asleep(tap, url, one, two, receiver)
    tap.equal((one.stop(), two.stop()), (0, 0), "both stop")


with Tap() as tap:
    url = store_url("share")
    if not url:
        tap.skip("two nodes share one store", "no PostgreSQL (run below tools/with-postgres)")
    else:
        with Place("share") as place:
            story(tap, place, url)
