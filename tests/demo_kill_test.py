"""kill -9 of the server in the middle of the demo's campaign, while the receivers live on: nobody lost, nobody misread (U1, R22, R34, F1).

The demo's own parts, apart: `todoke playground` (the receivers), 10,000 contacts from the CP932 file, the demo's mail, and `todoke serve`,
which is killed twice. Afterwards every delivery has ended as its address's fate says (`todoke playground --fate`, which the server never
sees), with the right reason; the receivers' ledger shows whom mail reached twice: no more than connections were open, each named."""
import os
import shutil
import subprocess
import time

from tap import Tap
from todoke import NET, ROOT, STATES, TODOKE, Late, Place, until

RUN_SECONDS = 900
KILL_AT = (1500, 5000)
MAIL_IN = f"{NET}.2"
REASON_LATER = ("busy", "throttle") # who comes when the receiver has time again is not turned away
UNWRITTEN_TENTHS = 30 # a 4xx that came so short before a kill may never have been written: in tenths of a second in which the server wrote anything


def start_receivers(place, dkim_name, dkim_record):
    """The playground's ports belong to one at a time on a machine: waits for another one to end."""
    options = ["--mail-in", MAIL_IN, "--dkim", f"{dkim_name.split('.')[0]}={dkim_record}"]
    zone = subprocess.run([TODOKE, "playground", "--zone", *options], capture_output=True, text=True, check=True).stdout
    end = time.monotonic() + 100
    while True:
        process = place.start([TODOKE, "playground", *options, "--ledger", place.path("ledger.tsv")], "playground.log")
        try:
            process.wait_for("receivers listen", 20)
            return zone
        except Late:
            if time.monotonic() > end:
                raise
            time.sleep(2)


def fates_of(addresses):
    said = subprocess.run([TODOKE, "playground", "--fate"], input="\n".join(addresses) + "\n", capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    return {row[0].lower(): dict(zip(("fate", "ends", "reason", "told"), row[1:])) for row in rows}


def answered(place, what):
    """(address, Message-ID, when) of each recipient whom a receiver has "taken" or "refused"."""
    found = []
    with open(place.path("ledger.tsv"), encoding="utf-8", errors="replace") as file:
        for line in file.read().split("\n")[:-1]:
            fields = line.split("\t")
            if len(fields) == 7 and fields[1] == what:
                found.append((fields[5].lower(), fields[6], int(fields[0])))
    return found


def unwritten(place, todoke, now):
    """Who was refused so short before the kill. A server that stood still before it wrote nothing meanwhile: its own events say for how long it worked."""
    worked = sorted(tenth for tenth, in todoke.sql("SELECT DISTINCT at_ms / 100 FROM event"))
    since = worked[-UNWRITTEN_TENTHS] * 100 if len(worked) >= UNWRITTEN_TENTHS else 0
    return {address for address, _, when in answered(place, "refused") if since <= when <= now}


def kill_and_restart(tap, place, todoke, at, number):
    until(lambda: len(answered(place, "taken")) >= at, 120, f"{at} mails have arrived", 0.1)
    opened, now = todoke.kill(), time.time() * 1000
    on_wire = {row["address"] for row in todoke.rows("queue", "list", "--state", "on_wire", "--limit", "100000")}
    forgotten = unwritten(place, todoke, now)
    todoke.serve()
    doubtful = {row["address"] for row in todoke.rows("queue", "list", "--state", "in_doubt", "--limit", "100000")} | todoke.doubted(now)
    tap.note(f"kill {number}: {opened} connections open, {len(on_wire)} marked on the wire, {len(doubtful)} in doubt")
    tap.ok(on_wire and on_wire <= doubtful, f"kill {number}: whoever was on the wire is in doubt, by name", str(sorted(on_wire - doubtful)[:5]))
    return opened, doubtful, forgotten


def wrong_ends(todoke, fates):
    """Deliveries that are not (yet) where their fate ends."""
    rows = todoke.sql("SELECT address, state, attempts FROM delivery")
    return [f"{address}: {STATES[state]}, not {fates[address]['ends']} ({fates[address]['fate']})" for address, state, attempts in rows
            if not (STATES[state] == fates[address]["ends"] or (fates[address]["ends"] == "deferred" and attempts and STATES[state] == "expired"))
            or not (attempts or fates[address]["told"] == "dns")]


def misread(todoke, fates, forgotten):
    """Addresses whose first problem was not (yet) read as what their fate stands for.

    Who is greylisted is turned away once: when a kill takes that reply before it is written, the next attempt is let in."""
    first = {}
    for event in todoke.events("deferred", "bounced", "expired", "delay_notice", "complaint", "autoreply"):
        first.setdefault(event["address"], event["reason"])
    broken = {event["address"] for event in todoke.events("in_doubt")} # its connection was lost, by a kill or by au's habit: told as that
    return [f"{address}: {first.get(address, 'delivered')}, not {fate['reason']} ({fate['fate']})" for address, fate in fates.items()
            if first.get(address, "delivered") != fate["reason"] and not (fate["fate"] in REASON_LATER and address not in first)
            and not (fate["fate"] == "accept" and first.get(address) == "network_error") and address not in broken
            and not (fate["fate"] == "greylisted" and address in forgotten and address not in first)]


def show_outcomes(tap, todoke, fates, forgotten):
    for ask, seconds, name in ((lambda: wrong_ends(todoke, fates), 150, "each of 10,000 deliveries ended as its address's fate says"),
                               (lambda: misread(todoke, fates, forgotten), 30, "and was read as what it stands for (S17, S21, S24, S30, S33, S37, S40, S42, S44, S46, S49)")): # error mail, replies, complaints come some seconds later
        try:
            until(lambda: not ask(), seconds, name, 1) # pylint: disable=cell-var-from-loop
        except Late:
            pass
        wrong = ask()
        tap.ok(not wrong, name, f"{len(wrong)} did not:\n" + "\n".join(wrong[:10]))
    audit = todoke.audit()
    tap.ok(audit["status"] == 0 and audit["agrees"] and audit["accepted"] == audit["sum"] == len(fates), "the books balance (R34)", str(audit))


def show_receivers(tap, place, fates, opened, doubtful):
    counts = {}
    for address, message_id, _ in answered(place, "taken"):
        mail = (address, message_id)
        counts[mail] = counts.get(mail, 0) + 1
    got = {address for address, _ in counts}
    must = {address for address, fate in fates.items() if fate["ends"] == "delivered" or (fate["ends"] == "bounced" and fate["told"] == "mail")}
    tap.equal(sorted(must - got)[:5], [], "nobody is lost: each whose receiver takes mail got it")
    tap.equal(len(counts), len(got), "each got one mail, known by one Message-ID")
    extra = sum(count - 1 for count in counts.values())
    doubled = {address for (address, _), count in counts.items() if count > 1}
    tap.note(f"{sum(counts.values())} mails taken for {len(got)} people: {extra} duplicates; {opened} connections were open at the kills")
    tap.ok(extra <= opened, "no more duplicates than connections were open at the kills", f"{extra} > {opened}")
    tap.equal(sorted(doubled - doubtful)[:5], [], "each duplicate was named by `queue list --state in_doubt`")


def story(tap, place):
    todoke = place.installation(in_doubt__wait="5m", mail_in=MAIL_IN, test__wait_percent=2)
    name, record = todoke.brand()
    place.write("a.zone.json", start_receivers(place, name, record))
    csv = shutil.copy(os.path.join(ROOT, "data", "playground", "contacts.csv"), place.dir)
    todoke.ok("contact", "import", csv, "--list", "all", seconds=120)
    fates = fates_of([address for address, in todoke.sql("SELECT address FROM contact")])
    tap.equal(len(fates), 10000, "10,000 people from the CP932 file")
    with open(os.path.join(ROOT, "data", "playground", "campaign-1.html"), encoding="utf-8") as html:
        todoke.campaign("winter", html=html.read())
    todoke.serve()
    todoke.ok("campaign", "send", "winter")
    opened, doubtful, forgotten = 0, set(), set()
    for number, at in enumerate(KILL_AT, 1):
        count, names, refused = kill_and_restart(tap, place, todoke, at, number)
        opened, doubtful, forgotten = opened + count, doubtful | names, forgotten | refused
    show_outcomes(tap, todoke, fates, forgotten)
    tap.equal(todoke.stop(), 0, "the server ends cleanly")
    place.processes[0].end()
    show_receivers(tap, place, fates, opened, doubtful)


with Tap() as tap, Place("demokill") as place:
    story(tap, place)
