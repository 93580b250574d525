"""Receivers that do everything wrong, one behaviour each (F5): a byte a second, never a banner, resets at every stage, reply lines of 8 MB, garbage,
tarpits, and hanging up after the dot. Nobody else notices, no connection stands longer than its timeouts, memory stays, and when they are
good again everybody gets the mail: once, or twice where it was in doubt, and named."""
from hostile import EVERY, Receivers
from kill import Record
from tap import Tap
from todoke import NET, Place, until

SINK, EACH, OTHERS = f"{NET}.3", 3, 600
LONGEST = 60.0 # seconds: all the waits of a conversation at 1 % of M5's, banner 3 s to dot 6 s, and what a busy machine adds


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def story(tap, place, bad):
    zone = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [SINK]}, **bad.zone()}
    todoke = place.installation(zone=zone, in_doubt__wait="1m", workers=1, test__wait_percent=1) # one worker: all share it
    record = Record(place.path("record.tsv"))
    place.sink(SINK, "--record", record.path, "--delay", "20")
    todoke.brand()
    victims = {f"v{number}@{bad.domain(how)}": how for how in EVERY for number in range(EACH)}
    others = [f"o{number}@good.example" for number in range(OTHERS)]
    todoke.people([*victims, *others])
    todoke.campaign("big")
    todoke.serve()
    before = rss_kb(todoke.server.popen.pid)
    todoke.ok("campaign", "send", "big")
    until(lambda: record.count() >= OTHERS, 30, "the others' mail")
    tap.ok(True, f"{OTHERS} others are served beside {len(EVERY)} hostile receivers by one worker")
    until(lambda: all(bad.seen(how).connections for how in EVERY), 30, "each was tried")
    until(lambda: all(attempts for attempts, in todoke.sql("SELECT MAX(attempts) FROM delivery GROUP BY lane_id")), 60, "each has an outcome", 0.2)
    grown = rss_kb(todoke.server.popen.pid) - before
    tap.ok(grown < 65536, "memory stays: reply lines of 8 MB are not kept", f"{grown} KiB more")
    delivered = {address for address, state in todoke.states().items() if state == "delivered"} & set(victims)
    hostile_states = {how: sorted({todoke.states()[who] for who, by in victims.items() if by == how}) for how in EVERY}
    events = todoke.events("deferred", "in_doubt", "bounced")
    for how in EVERY:
        told = sorted({f"{event['kind']}: {event['reason'] or '-'}" for event in events if victims.get(event["address"]) == how})
        tap.ok(not [who for who in delivered if victims[who] == how and not bad.seen(how).taken] and bad.seen(how).longest < LONGEST
               and not any(event["kind"] == "bounced" for event in events if victims.get(event["address"]) == how),
               f"{how}: nobody is lost by it, no connection stands over its time", f"{hostile_states[how]} longest {bad.seen(how).longest:.1f} s {told}")
        tap.note(f"{how}: {bad.seen(how).connections} connections, the longest {bad.seen(how).longest:.1f} s; {', '.join(told) or 'no event'}")
    doubtful = {event["address"] for event in events if event["kind"] == "in_doubt"}
    dropped = {who for _, who in bad.seen("drop").taken}
    tap.ok(dropped and dropped <= doubtful, "who was dropped after the dot is in doubt, by name (R22)", f"{dropped} {doubtful}")
    bad.heal()
    todoke.settled("big", len(victims) + OTHERS, 200)
    doubtful = {event["address"] for event in todoke.events("in_doubt")}
    counts, ids = {}, {}
    for message_id, who in record.read() + [mail for how in EVERY for mail in bad.seen(how).taken]:
        counts[who] = counts.get(who, 0) + 1
        ids.setdefault(who, set()).add(message_id)
    tap.equal(sorted(({*victims} | {*others}) - set(counts)), [], "when they are good again, everybody gets the mail")
    doubled = {who for who, count in counts.items() if count > 1}
    tap.equal(sorted(doubled - doubtful), [], "twice only who was in doubt")
    tap.ok(all(len(found) == 1 for found in ids.values()), "and then the same mail")
    tap.equal(todoke.stop(), 0, "the server ends cleanly")


if __name__ == "__main__":
    with Tap() as tap, Place("hostile") as place, Receivers() as bad:
        story(tap, place, bad)
