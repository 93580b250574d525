"""No more descriptors (F4): strangers hold every one that the server may open. It does not spin, it goes on with those it has, mail in the queue
waits and is not lost, and when they go away everything is served again."""
import os
import resource
import socket
import time

from kill import Record
from tap import Tap
from todoke import NET, PORT, Place, cpu_seconds, until

SINK, PEOPLE, SPARE = f"{NET}.3", 300, 12


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_some(address, count):
    held = []
    for _ in range(count):
        peer = socket.socket()
        peer.settimeout(2)
        try:
            peer.connect(address)
        except OSError:
            break
        held.append(peer)
    return held


def asks(address):
    """Is there an answer over HTTP?"""
    try:
        with socket.create_connection(address, 3) as peer:
            peer.settimeout(3)
            peer.sendall(b"GET /api/v1/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return peer.recv(100).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


def story(tap, place):
    todoke = place.installation(zone={"mx.example": {"A": [SINK]}, "d.example": {"MX": [[10, "mx.example"]]}}, workers=1)
    record = Record(place.path("record.tsv"))
    place.sink(SINK, "--record", record.path, "--delay", "20")
    todoke.brand()
    todoke.people([f"hito{number}@d.example" for number in range(PEOPLE)])
    todoke.campaign("one")
    todoke.serve()
    pid = todoke.server.popen.pid
    host, port = todoke.http.split(":")
    http, mail = (host, int(port)), (todoke.mail_in, PORT)
    early = socket.create_connection(mail, 90) # one that was there before
    early.settimeout(90)
    tap.ok(early.recv(200).startswith(b"220"), "the server greets")
    most = descriptors(pid) + SPARE
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
    held = open_some(mail, SPARE * 4) + open_some(http, SPARE)
    until(lambda: descriptors(pid) >= most - 1, 30, "every descriptor is taken")
    tap.ok(until(lambda: "cannot accept" in todoke.server.said(), 30, "the log says why"), "the log says that the limit of open files is reached")
    todoke.ok("campaign", "send", "one")
    before, start = cpu_seconds(pid), time.monotonic()
    time.sleep(4)
    used = (cpu_seconds(pid) - before) / (time.monotonic() - start)
    tap.ok(used < 0.3, "without descriptors it does not spin", f"{used * 100:.0f} % of a core")
    said = todoke.server.said().count("cannot accept")
    tap.ok(said < 60, "and does not fill the log", f"{said} lines")
    early.sendall(b"NOOP\r\n")
    tap.ok(early.recv(200).startswith(b"250"), "who was there before is served")
    tap.ok(todoke.server.runs(), "it lives")
    for peer in held:
        peer.close()
    until(lambda: asks(http), 20, "HTTP is served again", 0.3)
    tap.ok(True, "when they go away, HTTP is served again")
    todoke.settled("one", PEOPLE, 60)
    counts = {}
    until(lambda: record.count() >= PEOPLE, 30, "the record")
    for _, who in record.read():
        counts[who] = counts.get(who, 0) + 1
    tap.equal((len(counts), set(counts.values())), (PEOPLE, {1}), "and everybody gets the mail, once")
    tap.equal(todoke.stop(), 0, "the server ends cleanly")


with Tap() as tap, Place("descriptors") as place:
    story(tap, place)
