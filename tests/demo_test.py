"""`todoke demo --once`, as a newcomer runs it: the story ends well, the books balance, signatures verify, both stores agree.

Shows the issue's, without any database but its own (U17): 10,000 contacts from the CP932 file, 10,000 outcomes, 0 unaccounted, every simulated error in its class, the second
campaign sends to nobody excluded (R34, S71, S72); a signed message verifies with python3-dkim and npm's mailauth (S36); with
`--store postgres://...` the same report. The demo's own check (exit status 0) and what the store and the inbox hold are looked at
separately, so that a demo that only says it is well does not pass."""
import json
import os
import re
import shutil
import subprocess
import time

from independent import auth_by_mailauth, dkim_by_python, mails_of_mbox
from tap import Tap
from todoke import OWED, ROOT, TODOKE, Place, free_port

RUN_SECONDS = 1400 # for tools/test: two demos, each with its waits
HANGS_SECONDS = 600 # a demo that ends at all ends by then; on a quiet machine it takes less than 90 s, which is told and not asserted
CAMPAIGNS = ["冬の感謝祭のご案内", "初売りのお知らせ"]


def run_demo(place, name, *options):
    """(status, what it said, seconds). The playground's ports belong to one demo at a time: waits for another one to end."""
    folder, end = place.path(name), time.monotonic() + 100
    command = [TODOKE, "demo", "--once", "--lang", "en", "--dir", folder, "--http", f"127.0.0.1:{free_port()}", *options]
    for attempt in range(1000):
        start = time.monotonic()
        process = place.start(command, f"{name}.{attempt}.log")
        try:
            status = process.popen.wait(HANGS_SECONDS)
        except subprocess.TimeoutExpired:
            process.popen.kill()
            status = process.popen.wait()
        seconds, said = time.monotonic() - start, process.said()
        refused = [line for line in said.splitlines() if line.startswith("todoke demo:") and "is in use" in line]
        if not refused or time.monotonic() > end:
            return status, said, seconds
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(2)


def reports(place, name, store):
    def report(campaign):
        env = {**os.environ, "TODOKE_STORE": store}
        said = subprocess.run([TODOKE, "campaign", "report", campaign, "--json"], capture_output=True, text=True, env=env, check=False)
        if said.returncode != 0:
            raise AssertionError(said.stderr)
        return json.loads(said.stdout)
    return [report(campaign) for campaign in CAMPAIGNS]


def audit_of(store):
    said = subprocess.run([TODOKE, "queue", "audit", "--json"], capture_output=True, text=True, check=False,
                          env={**os.environ, "TODOKE_STORE": store})
    return {**json.loads(said.stdout or "{}"), "status": said.returncode}


PACE_DECIDES = ("rate_limited", "system_error") # how many meet the throttler or the busy site depends on who comes when


def numbers_of(report):
    """What must be the same on every store."""
    return {
        "accepted": report["accepted"], "left_out": report["left_out"], "counts": report["counts"],
        "reasons": sorted((row["reason"], row["fault"], row["count"]) for row in report["reasons"] if row["reason"] not in PACE_DECIDES),
        "left_out_by": sorted((row["why"], row["count"]) for row in report["left_out_by"]),
        "receivers": sorted((row["domain"], row["accepted"], tuple(row["counts"].items())) for row in report["receivers"]),
    }


def fates_of(said):
    """fate -> (people, how it ended / reason, agrees) of the demo's table."""
    rows = re.findall(r"^  (\w+) +([\d,]+)   (\w+ / \w+)  (\S)", said, re.M)
    return {fate: (int(people.replace(",", "")), ended, mark == "✓") for fate, people, ended, mark in rows}


def people_of_csv():
    with open(os.path.join(ROOT, "data", "playground", "contacts.csv"), encoding="cp932") as file:
        return sum(1 for line in file if "@" in line)


def show_story(tap, status, said, seconds, store, first, second):
    tap.note(f"the demo took {seconds:.1f} s")
    tap.equal(status, 0, f"{store}: todoke demo --once exits 0")
    if status != 0:
        tap.note(said[-6000:])
    fates = fates_of(said)
    tap.ok(len(fates) >= 20, f"{store}: at least 20 kinds of receivers' behaviour were met", str(sorted(fates)))
    wrong = {fate: row for fate, row in fates.items() if not row[2]}
    tap.equal(wrong, {}, f"{store}: every simulated error was read as what it stands for, and ended as it must (S17, S21, S24, S30, S33, S37, S40, S42, S44, S46, S49)")
    people = people_of_csv()
    tap.equal(people, 10000, f"{store}: 10,000 people in the CP932 file")
    tap.equal(first["accepted"] + first["left_out"], people, f"{store}: 10,000 outcomes, none unaccounted for (R34)")
    tap.equal(sum(first["counts"].values()), first["accepted"], f"{store}: accepted is the sum of the ten states")
    tap.equal(second["accepted"] + second["left_out"], people, f"{store}: so it is in the second campaign")
    excluded = sum(row["count"] for row in second["left_out_by"])
    tap.ok(excluded == second["left_out"] > 0, f"{store}: it leaves out the excluded, and says why (S71)", str(second["left_out_by"]))
    doubtful = sum(first["counts"][state] for state in OWED if state not in ("deferred",))
    tap.equal(doubtful, 0, f"{store}: nobody of the first campaign is left between two states")


def show_second_sends_to_nobody_excluded(tap, place, folder):
    """Mail that the receivers took in the second campaign, by the inbox: none to an address that was excluded before it began."""
    import sqlite3 # pylint: disable=import-outside-toplevel
    db = sqlite3.connect(f"file:{os.path.join(folder, 'todoke.db')}?mode=ro", uri=True, timeout=90)
    began = db.execute("SELECT started_ms, id FROM campaign ORDER BY id").fetchall()
    excluded = {address for address, in db.execute("SELECT address FROM suppression WHERE since_ms < ?", (began[1][0],))}
    written = {address for address, in db.execute("SELECT address FROM delivery WHERE campaign_id = ? AND attempts > 0", (began[1][1],))}
    db.close()
    tap.ok(excluded, "the first campaign excluded somebody")
    tap.equal(sorted(excluded & written)[:5], [], f"the second campaign wrote to none of the {len(excluded)} excluded before it began (S71)")


def show_signatures(tap, folder):
    """S36: what lies in the inbox verifies by two implementations that are not ours."""
    with open(os.path.join(folder, "zone.json"), encoding="utf-8") as file:
        zone = json.load(file)
    mails = []
    for mail in mails_of_mbox(os.path.join(folder, "inbox.mbox")):
        if b"\r\nDKIM-Signature:" in b"\r\n" + mail.split(b"\r\n\r\n")[0]:
            mails.append(mail)
        if len(mails) == 400:
            break
    tap.ok(len(mails) >= 100, "the inbox holds signed mails", f"{len(mails)}")
    some = mails[::max(1, len(mails) // 20)][:20]
    good = [dkim_by_python(mail, zone) for mail in some]
    tap.ok(some and all(good), f"{len(some)} mails of the demo verify by python3-dkim (S36)", f"{good}\n{some[0][:1500] if some else ''}")
    altered = some[0].replace(b"shop.example", b"shup.example", 1) if some else b""
    tap.ok(some and not dkim_by_python(altered, zone), "and one with a changed byte does not")
    if not os.path.isdir(os.path.join(ROOT, "tests", "node", "node_modules")):
        tap.skip("mailauth verifies the demo's mail", "tests/node has no node_modules (./run setup)")
        return
    for mail in some[:2]:
        said = auth_by_mailauth(mail, zone, sender="b-x@bounce.shop.example")
        tap.equal((said["dkim"], said["dkim_domain"], said["spf"], said["dmarc"]), ("pass", "shop.example", "pass", "pass"),
                  "npm's mailauth: DKIM, SPF and DMARC pass (S36)")


def on_sqlite(tap, place):
    status, said, seconds = run_demo(place, "sqlite")
    store = os.path.join(place.path("sqlite"), "todoke.db")
    first, second = reports(place, "sqlite", store)
    show_story(tap, status, said, seconds, "SQLite", first, second)
    audit = audit_of(store)
    tap.ok(audit["status"] == 0 and audit["agrees"], "SQLite: queue audit balances", str(audit))
    show_second_sends_to_nobody_excluded(tap, place, place.path("sqlite"))
    show_signatures(tap, place.path("sqlite"))
    return said, first, second


def on_postgres(tap, place, base, sqlite):
    url, drop = make_database(base)
    place.cleanups.append(drop)
    status, said, seconds = run_demo(place, "postgres", "--store", url)
    first, second = reports(place, "postgres", url)
    show_story(tap, status, said, seconds, "PostgreSQL", first, second)
    audit = audit_of(url)
    tap.ok(audit["status"] == 0 and audit["agrees"], "PostgreSQL: queue audit balances", str(audit))
    tap.equal(fates_of(said), fates_of(sqlite[0]), "the same story by fate as on SQLite")
    for which in (0, 1):
        ours, theirs = numbers_of((first, second)[which]), numbers_of(sqlite[1 + which])
        for key in ours:
            tap.equal(ours[key], theirs[key], f"campaign {which + 1}: the same {key} as on SQLite")


def make_database(base):
    """A database of our own in the throw-away cluster, by psql; (its URL, how to drop it)."""
    name = f"demo_{os.getpid()}"
    def psql(sql):
        subprocess.run(["psql", "-qAtX", "-d", base.replace("postgres://", "postgresql://", 1), "-c", sql], check=True, capture_output=True, timeout=60)
    psql(f"CREATE DATABASE {name}")
    url = re.sub(r"^(postgres(?:ql)?://[^/]*)/[^?]*", rf"\1/{name}", base)
    return url, lambda: psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


with Tap() as tap, Place("demo") as place:
    told = on_sqlite(tap, place)
    cluster = os.environ.get("TODOKE_TEST_POSTGRES")
    if cluster:
        on_postgres(tap, place, cluster, told)
    else:
        tap.skip("the demo's story on PostgreSQL", "TODOKE_TEST_POSTGRES names no cluster (tools/with-postgres gives one)")
