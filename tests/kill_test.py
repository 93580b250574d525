"""kill -9 of the server in the middle of a campaign, five times: nobody lost, every duplicate named (R22, R34, U1, F1, F14).

20,000 people at 40 domains on 8 sites go to `todoke sink`, which answers every final dot late, so that mail is really on the wire when
the kill comes. The sink's record of Message-ID and recipient is what the receivers really got; it outlives the kills. Expected:
each person got the mail; who got it twice is named by `queue list --state in_doubt` after some kill, got the same mail
(one Message-ID each), and there are no more of them than connections were open at the kills; the books balance."""
import os

from tap import Tap
from todoke import NET, Place, until

PEOPLE, DOMAINS, SITES, KILLS = 20000, 40, 8, 5
SINK = f"{NET}.3"


def zone():
    made = {f"mx{site}.example": {"A": [SINK]} for site in range(SITES)}
    for domain in range(DOMAINS):
        made[f"d{domain}.example"] = {"MX": [[10, f"mx{domain % SITES}.example"]]}
    return made


def lines_of(path):
    """(Message-ID, recipient) of each mail taken, in the order of the record; an unfinished last line is left for later."""
    with open(path, encoding="utf-8") as file:
        return [tuple(line.split("\t")[:2]) for line in file.read().split("\n")[:-1]]


def count_of(path):
    """Mails in the record, without reading it as text: it is asked often."""
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as file:
        return file.read().count(b"\n")


def kill_and_restart(tap, todoke, record, at, number):
    """Kill when the sink has taken `at` mails; (open connections, addresses in doubt after the restart)."""
    until(lambda: count_of(record) >= at, 90, f"{at} mails have arrived", 0.01)
    opened = todoke.kill()
    on_wire = {row["address"] for row in todoke.rows("queue", "list", "--state", "on_wire", "--limit", "100000")}
    todoke.serve()
    doubtful = {row["address"] for row in todoke.rows("queue", "list", "--state", "in_doubt", "--limit", "100000")}
    tap.note(f"kill {number}: {count_of(record)} taken, {opened} connections open, {len(on_wire)} marked on the wire, {len(doubtful)} in doubt")
    tap.ok(opened > 0, f"kill {number}: mail was on the wire", f"{opened} connections were open")
    tap.ok(on_wire <= doubtful, f"kill {number}: whoever was on the wire is in doubt, none is simply due", str(sorted(on_wire - doubtful)[:5]))
    tap.ok(len(on_wire) <= opened, f"kill {number}: one mark for each open connection", f"{len(on_wire)} > {opened}")
    return opened, doubtful


def reconcile(tap, todoke, record, people, opened, doubtful):
    taken = lines_of(record)
    counts, ids = {}, {}
    for message_id, who in taken:
        counts[who] = counts.get(who, 0) + 1
        ids.setdefault(who, set()).add(message_id)
    lost = set(people) - set(counts)
    tap.equal(sorted(lost)[:5], [], "nobody is lost: every person's mail arrived")
    tap.equal(sorted(set(counts) - set(people))[:5], [], "nobody else got mail")
    doubled = {who for who, count in counts.items() if count > 1}
    extra = sum(count - 1 for count in counts.values())
    tap.note(f"{len(taken)} taken for {len(people)} people; {extra} duplicates, {len(doubtful)} named as in doubt, {opened} connections at the kills")
    tap.ok(extra <= opened, "no more duplicates than connections were open at the kills", f"{extra} > {opened}")
    tap.equal(sorted(doubled - doubtful)[:5], [], "each duplicate was named by `queue list --state in_doubt`")
    tap.ok(all(len(found) == 1 for found in ids.values()), "whoever got it twice got the same mail: one Message-ID each")
    audit = todoke.audit()
    tap.ok(audit["status"] == 0 and audit["agrees"] and audit["accepted"] == audit["sum"] == len(people), "the books balance (R34)", str(audit))
    tap.equal({state: count for state, count in todoke.report("big")["counts"].items() if count}, {"delivered": len(people)},
              "the report: everybody delivered")


def story(tap, place):
    todoke = place.installation(zone=zone(), in_doubt__wait="5m", workers=2) # 5 min are 3 s here
    record = place.path("record.tsv")
    sink = place.sink(SINK, "--record", record, "--delay", "40", "--threads", "1")
    todoke.brand()
    people = [f"hito{number}@d{number % DOMAINS}.example" for number in range(PEOPLE)]
    todoke.people(people)
    todoke.campaign("big")
    todoke.serve()
    todoke.ok("campaign", "send", "big")
    opened, doubtful = 0, set()
    for number in range(1, KILLS + 1): # the first comes while the campaign is still being expanded
        count, names = kill_and_restart(tap, todoke, record, 300 if number == 1 else PEOPLE * number // (KILLS + 1), number)
        opened, doubtful = opened + count, doubtful | names
    todoke.settled("big", PEOPLE, 150)
    tap.equal(todoke.stop(), 0, "the server ends cleanly")
    until(lambda: count_of(record) >= PEOPLE, 5, "the sink's record is written")
    sink.end()
    reconcile(tap, todoke, record, people, opened, doubtful)


with Tap() as tap, Place("kill") as place:
    story(tap, place)
