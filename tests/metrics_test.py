"""Issue 4.6: GET /metrics, read by a parser that forgives nothing of Prometheus' text format (0.0.4); its figures are those of the books;
a proxy's request needs a key with queue:read."""
import http.client
import os
import re
import time

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, ROOT, Place, stores, until

MX = f"{NET}.80"
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)+)\}})? ([0-9.eE+-]+|NaN|[+-]Inf)')


def parse(text):
    """(name, labels) -> value; every rule of the format, and of good names, is asserted."""
    assert text.endswith("\n") and "\r" not in text, "lines end with LF, the last one too"
    kinds, helps, values, done, current = {}, set(), {}, set(), ""
    for line in text[:-1].split("\n"):
        if found := re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line):
            what, name, rest = found.groups()
            if name != current:
                assert name not in done, f"{name} stands in two places"
                done.add(name)
                current = name
            if what == "HELP":
                assert name not in helps, f"two HELP of {name}"
                helps.add(name)
            else:
                assert name not in kinds and rest in ("counter", "gauge"), line
                kinds[name] = rest
            continue
        found = SAMPLE.fullmatch(line)
        assert found, f"no sample: {line!r}"
        name, labels, value = found.group(1), found.group(2) or "", float(found.group(3))
        assert name == current and name in kinds and name in helps, f"{name} without its head"
        assert (name, labels) not in values, f"twice: {line}"
        assert name.startswith(("todoke_", "process_")) and name.endswith("_total") == (kinds[name] == "counter"), f"a bad name: {name} {kinds[name]}"
        assert value >= 0, line
        values[name, labels] = value
    assert set(kinds) == {name for name, _ in values} == helps, "a head without samples"
    return values


def ask(todoke, headers=None):
    connection = http.client.HTTPConnection(todoke.http, timeout=90)
    connection.request("GET", "/metrics", headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read().decode()


def story(tap, words, store):
    with Place("metrics") as place:
        receiver = Receiver(MX, PORT, lambda address: "550 5.1.1 No such user here" if address.startswith("no") else None)
        place.cleanups.append(receiver.server.server_close)
        place.cleanups.append(receiver.server.shutdown)
        todoke = place.installation(zone={"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [MX]}}, store=store)
        todoke.brand()
        todoke.people([f"a{n}@good.example" for n in range(7)] + ["no@good.example"])
        todoke.campaign("autumn")
        todoke.ok("source", "add", "127.88.1.1", "--ehlo", "out.shop.example", "--pool", "spare", "--warm-up", "50,100")
        todoke.ok("queue", "hold", "--domain", "other.example")
        todoke.serve()
        status, kind, text = ask(todoke)
        before = parse(text)
        tap.ok(status == 200 and kind == "text/plain; version=0.0.4; charset=utf-8", f"{words}: the content type names the format", kind)
        tap.equal(before["todoke_outcomes_total", 'outcome="delivered"'], 0, f"{words}: nothing has happened yet")
        todoke.ok("campaign", "send", "autumn")
        todoke.settled("autumn", 8, 60)
        until(lambda: parse(ask(todoke)[2])["todoke_reader_lag_events", ""] == 0, 20, "the counters")
        after = parse(ask(todoke)[2])
        tap.equal([after["todoke_outcomes_total", f'outcome="{one}"'] for one in ("delivered", "refused", "deferred", "in_doubt")], [7, 1, 0, 0],
                  f"{words}: outcomes")
        tap.equal([after["todoke_deliveries", f'state="{one}"'] for one in ("waiting", "delivered", "bounced")], [0, 7, 1], f"{words}: deliveries by state")
        tap.ok(after["todoke_store_commits_total", ""] > before["todoke_store_commits_total", ""], f"{words}: commits are counted")
        tap.ok(after["todoke_connections_total", ""] >= 1, f"{words}: connections too")
        tap.equal(("todoke_store_wal_bytes", "") in after, store is None, f"{words}: the WAL is SQLite's")
        tap.equal([after["todoke_site_outcomes_total", f'rule="loopback",outcome="{one}"'] for one in ("delivered", "refused", "deferred")], [7, 1, 0],
                  f"{words}: outcomes by the rule of data/sites, as many as there are rules")
        tap.equal([after["todoke_source_usable", 'source="127.88.1.1",pool="spare"'], after["todoke_warm_up_cap", 'source="127.88.1.1",site="*"'],
                   after["todoke_holds", 'kind="domain"'], after["todoke_nodes_alive", ""], after["todoke_alarms_open", ""]], [1, 50, 1, 1, 0],
                  f"{words}: sources, warm-ups, holds, nodes, alarms")
        tap.ok(abs(after["process_start_time_seconds", ""] - time.time()) < 600 and after["process_resident_memory_bytes", ""] > 1e6 and after["process_open_fds", ""] > 5
               and after["process_cpu_seconds_total", ""] > before["process_cpu_seconds_total", ""], f"{words}: the process, by Prometheus' own names")
        with open(os.path.join(ROOT, "docs", "metrics.md"), encoding="utf-8") as page:
            told = set(re.findall(r"`((?:todoke|process)_[a-z_]+)`", page.read()))
        here = {name for name, _ in after} | ({"todoke_store_wal_bytes"} if store else set())
        tap.equal(told ^ here, set(), f"{words}: docs/metrics.md has them all, and none that is not there")
        tap.ok(any(name == "todoke_build_info" and "version=" in labels for name, labels in after), f"{words}: which program it is")

        proxied = {"X-Forwarded-For": "192.0.2.7"}
        tap.equal(ask(todoke, proxied)[0], 401, f"{words}: through a proxy it needs a key")
        for scope, wanted in (("contacts:read", 403), ("queue:read", 200)):
            key = todoke.ok("key", "add", scope.split(":")[0], "--scope", scope).strip()
            tap.equal(ask(todoke, proxied | {"Authorization": f"Bearer {key}"})[0], wanted, f"{words}: {scope}: {wanted}")
        tap.equal(todoke.stop(), 0, f"{words}: it stops")


with Tap() as shown:
    for store_name, store_url in stores("metrics"):
        story(shown, store_name, store_url)
