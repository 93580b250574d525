"""Issue 4.6: `todoke top`: rates, what is owed, the busiest sites with what binds there, on one screen; once for scripts; q gives the
terminal back."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import unicodedata

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, TODOKE, Place, until

MX = f"{NET}.95"
RULE = """name: slowco
label: Slow Company
hosts: [slowco.example]
connections: 2
messages_per_connection: 100
rate: 5/s
new_connections: none
daily: none
tls: may
"""


def columns(line):
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)


class Terminal:
    """`todoke top` on a terminal of 80 x 24."""

    def __init__(self, todoke):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.popen = subprocess.Popen([TODOKE, "top", "--store", todoke.store, "--lang", "en"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        self.seen = b""

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.seen.decode("utf-8", "replace")

    def end(self):
        if self.popen.poll() is None:
            self.popen.kill()
        os.close(self.master)
        os.close(self.slave)


with Tap() as tap, Place("top") as place:
    receiver = Receiver(MX, PORT)
    place.cleanups.append(receiver.end)
    place.write("sites/slowco.yaml", RULE)
    todoke = place.installation(zone={"mx.slowco.example": {"A": [MX]}, "d.example": {"MX": [[10, "mx.slowco.example"]]}}, test__time_percent="100", sites__folder=place.path("sites"))
    todoke.brand()
    todoke.people([f"a{n}@d.example" for n in range(2000)])
    todoke.campaign("autumn")
    todoke.serve()
    todoke.ok("campaign", "send", "autumn")

    said = until(lambda: (lambda frame: frame if frame["a_second"]["delivered"] > 0 and frame["sites"]["items"] and frame["sites"]["items"][0]["binds"]
                          and frame["sites"]["items"][0]["binds"]["limit"] == "rule_rate" else None)(todoke.json("top")), 30, "something goes")
    tap.ok(said["nodes"] == 1 and 0 < said["a_second"]["delivered"] <= 8 and said["states"]["waiting"] > 0, "as JSON: rates and what is owed", str(said)[:1000])
    tap.ok(said["sites"]["items"][0]["site"] == "slowco" and said["sites"]["items"][0]["binds"]["limit"] == "rule_rate", "the busiest site and what binds there", str(said)[:1000])
    for lang, words in (("en", ("a second: accepted", "Slow Company", "rate: 4.9/s")), ("ja", ("毎秒: 受付", "Slow Company", "規則の上限 4.9/s"))):
        frame = until(lambda lang=lang, words=words: (lambda one: one if all(word in one for word in words) else None)(todoke.ok("top", "--once", "--lang", lang)), 20, f"a frame with {words}")
        tap.ok(all(word in frame for word in words), f"one frame ({lang})", frame)
        tap.ok(any(line.startswith("Slow Company") and "slowco.yaml" in line for line in frame.splitlines()) and "\x1b" not in frame,
               f"for scripts its lines are whole, without control characters ({lang})", frame)

    screen = Terminal(todoke)
    try:
        until(lambda: screen.read().count("\x1b[H") >= 3, 20, "three frames")
        shown = screen.read()
        tap.ok(max(columns(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line)) for frame in shown.split("\x1b[H") for line in frame.splitlines()) <= 80, "live: within the terminal's 80 columns", repr(shown[-800:]))
        tap.ok("\x1b[?1049h" in shown and "Slow Company" in shown and "a second: accepted" in shown, "live: a frame each second", repr(shown[-800:]))
        raw = termios.tcgetattr(screen.slave)
        tap.ok(not raw[3] & termios.ICANON, "keys are heard at once")
        os.write(screen.master, b"q")
        tap.equal(screen.popen.wait(90), 0, "q ends it")
        tap.ok(screen.read().endswith("\x1b[?1049l"), "and gives the screen back", repr(screen.read()[-80:]))
        tap.equal(termios.tcgetattr(screen.slave)[3], screen.before[3], "and the terminal as it was")
    finally:
        screen.end()
    screen = Terminal(todoke)
    try:
        until(lambda: "\x1b[H" in screen.read(), 20, "a frame")
        screen.popen.terminate()
        tap.equal(screen.popen.wait(90), 0, "SIGTERM ends it in order too")
        tap.equal(termios.tcgetattr(screen.slave)[3], screen.before[3], "with the terminal as it was")
    finally:
        screen.end()
    tap.equal(todoke.stop(), 0, "the server stops")
    tap.ok("no server runs" in todoke.ok("top", "--once", "--lang", "en"), "without a server it says so")
    tap.equal(todoke.run("top", "now").returncode, 2, "wrong usage")
