"""Issue 4.5: a server that stands still for a moment (a machine that sleeps, a slow disk) is waited for: `explain site` and the orders of a site's pace
say that they wait, and answer when it goes on. They deny no receiver and give no order about another one because nobody has told them which it is."""
import os
import signal
import subprocess

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, TODOKE, Place, stand_still, stores, until

MX = f"{NET}.80"
RULE = """name: slowco
label: Slow Company
hosts: [slowco.example]
connections: 2
messages_per_connection: 100
rate: 4/s
new_connections: none
daily: none
tls: may
"""


class Asking:
    """A command that runs beside us."""

    def __init__(self, todoke, *words):
        env = {**os.environ, "TODOKE_STORE": todoke.store, "TODOKE_KEY_FILE": todoke.key}
        self.popen = subprocess.Popen([TODOKE, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self):
        out, said = self.popen.communicate(timeout=90)
        return self.popen.returncode, out, said


def while_still(todoke, *commands, until_said=False):
    """What these answer that are asked while the server stands still: to their end, or only until one says that it waits. None: it was caught in the middle
    of a transaction, and they waited for that."""
    stand_still(todoke.server.popen.pid)
    try:
        asking = [Asking(todoke, *words) for words in commands]
        first = asking[0].popen.stderr.readline() if until_said else ""
        ended = [] if until_said else [one.end() for one in asking]
    finally:
        os.kill(todoke.server.popen.pid, signal.SIGCONT)
    ended = ended or [one.end() for one in asking]
    return None if "another program" in first + "".join(said for _, _, said in ended) else (first, ended)


def story(tap, words, store):
    with Place("still") as place:
        receiver = Receiver(MX, PORT)
        place.cleanups.append(receiver.end)
        place.write("sites/slowco.yaml", RULE)
        todoke = place.installation(zone={"mx.slowco.example": {"A": [MX]}, "d.example": {"MX": [[10, "mx.slowco.example"]]}, "e.example": {"MX": [[10, "mx.slowco.example"]]}}, store=store, test__time_percent="100",
                                    sites__folder=place.path("sites"))
        todoke.brand()
        todoke.people([f"a{n}@d.example" for n in range(600)])
        todoke.campaign("autumn")
        todoke.serve()
        todoke.ok("campaign", "send", "autumn")
        until(lambda: receiver.mails and todoke.json("explain", "site", "d.example")["ways"], 30, "mail goes there")

        first, answers = until(lambda: while_still(todoke, ("explain", "site", "slowco", "--json"), until_said=True), 60, "a command that waits")
        status, out, said = answers[0]
        tap.ok("the server has not answered yet; waiting for it" in first, f"{words}: explain site says that it waits", first + said)
        tap.ok(status == 0 and '"site":"slowco"' in out and '"is_live":true' in out, f"{words}: and has its answer when the server goes on", f"{status} {out[:300]} {said}")
        if words == "SQLite": # beside others a node that stands still for longer than its lease is dead
            orders = len(todoke.rows("queue", "orders"))
            _, answers = until(lambda: while_still(todoke, ("explain", "site", "neverco"), ("queue", "suspend", "--site", "e.example", "--for", "1h")), 60, "commands that give up")
            tap.ok(all(status == 3 and "has not answered within 10 s which receiver" in said and "try again" in said for status, _, said in answers),
                   f"{words}: behind 10 s they say that nobody has told them which receiver it is", str(answers))
            tap.equal(len(todoke.rows("queue", "orders")), orders, f"{words}: and nothing is ordered")
        todoke.kill()
        status, _, said = Asking(todoke, "explain", "site", "neverco").end()
        tap.ok(status == 2 and "is no domain, and no receiver" in said and ("has not answered" not in said or store), f"{words}: who is dead is not waited for", f"{status} {said}")


with Tap() as shown:
    for store_name, store_url in stores("still"):
        story(shown, store_name, store_url)
