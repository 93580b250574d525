"""nodes - several `todoke serve` on one PostgreSQL store, each with addresses of its own, and psql to look into it.

    with Place("nodes") as place:
        one, two = pair(place, zone)        # not served yet; brand made
        one.serve(); two.serve()
        shared(one, two)                    # until each has its half of the buckets
"""
import os
import shutil
import signal
import subprocess

from todoke import NET, stand_still, stores, until, words_of


def store_url(name):
    """A database of its own in the cluster that tools/with-postgres gives; None without one."""
    for words, url in stores(name):
        if words == "PostgreSQL":
            return url
    return None


def sql(url, query):
    """Rows as lists of texts."""
    done = subprocess.run(["psql", "-qXAt", "-F", "\t", "-d", url, "-c", query], capture_output=True, text=True, timeout=60, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def number(url, query):
    return int(sql(url, query)[0][0])


def node(place, url, count, zone, **settings):
    """The node of this number: the same key file as the first one's."""
    made = place.installation(f"n{count}", zone=zone, store=url, mail_in=f"{NET}.{100 + count}", node=count, **settings)
    if count > 1:
        shutil.copy(place.path("n1.key"), made.key)
    return made


def held(url):
    """node -> how many buckets are its own and not expired."""
    return {int(row[0]): int(row[1]) for row in
            sql(url, "SELECT node, COUNT(*) FROM lease WHERE until_ms > EXTRACT(EPOCH FROM clock_timestamp()) * 1000 GROUP BY node")}


def shared(url, *nodes):
    def fair():
        found = held(url)
        return set(found) == set(nodes) and sum(found.values()) == 256 and max(found.values()) - min(found.values()) <= len(nodes)
    return until(fair, 30, f"nodes {nodes} share the buckets (they have {held(url)})", 0.1)


def doubted(url, since_ms):
    """Whose mail has been in doubt since then, by the events: a look at `queue list` may come when they have been tried again."""
    kind = next(number for number, word in words_of("mail/event.h", "EVENT_KINDS").items() if word == "in_doubt")
    return {row[0] for row in sql(url, f"SELECT DISTINCT address FROM event WHERE kind = {kind} AND at_ms >= {since_ms}")}


def stop(todoke):
    stand_still(todoke.server.popen.pid)


def go_on(todoke):
    os.kill(todoke.server.popen.pid, signal.SIGCONT)
