"""The guard (X8, R15): as shipped, the server connects to no loopback or private address, whatever DNS says; the loopback mode connects to nothing else.

A receiver of ours listens on 127.66.x.y and counts who comes. Both networks meet zones whose MX point at it, at other private addresses,
and at an address of the Internet's documentation range, where a connection would be seen by the kernel only: so each process's
sockets are watched as well."""
import socket
import threading

from tap import Tap
from todoke import NET, PORT, Place, connections_of, until

RECEIVER = f"{NET}.4"
INSIDE = { # domain: the A record of its MX
    "loop.example": RECEIVER,
    "localhost.example": "127.0.0.1",
    "private.example": "10.0.0.25",
    "home.example": "192.168.1.25",
    "carrier.example": "100.64.0.25",
    "metadata.example": "169.254.169.254",
    "zero.example": "0.0.0.0",
}
OUTSIDE = {"outside.example": "192.0.2.25", "far.example": "198.51.100.25", "private.example": "10.0.0.25"}


class Counter(threading.Thread):
    """Listens and counts; hangs up at once."""

    def __init__(self, ip, port):
        super().__init__(daemon=True)
        self.count, self.socket = 0, socket.create_server((ip, port))

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.count += 1
            peer.close()

    def end(self):
        self.socket.shutdown(socket.SHUT_RDWR) # wakes accept(), which would keep the port
        self.join()
        self.socket.close()


def zone_of(addresses):
    zone = {}
    for domain, ip in addresses.items():
        zone[domain] = {"MX": [[10, f"mx.{domain}"]]}
        zone[f"mx.{domain}"] = {"A": [ip]}
    return zone


def campaign_to(place, name, addresses, **settings):
    todoke = place.installation(name, zone=zone_of(addresses), mail_in=f"{NET}.5", **settings)
    todoke.brand()
    people = [f"hito@{domain}" for domain in addresses]
    todoke.people(people)
    todoke.campaign("autumn")
    todoke.serve()
    todoke.ok("campaign", "send", "autumn")
    return todoke, people


def settle(todoke, people, seen):
    """Until each has met its first error; gathers every remote address that the server is connected or connecting to."""
    def tried():
        seen.update(ip for ip, _ in connections_of(todoke.server.popen.pid, None))
        found = rows() # once: between two looks the campaign goes on
        return all(row["attempts"] for row in found) and len(found) == len(people)

    def rows():
        return [{"address": address, "attempts": attempts} for address, attempts in todoke.sql("SELECT address, attempts FROM delivery")]
    until(tried, 40, "every delivery has been tried", 0.02)


def refused_by_the_default(tap, place):
    counters = [Counter(RECEIVER, PORT), Counter(RECEIVER, 25) if can_bind_25() else None]
    for counter in filter(None, counters):
        counter.start()
    # the shipped default: no network.mode; test.time_percent belongs to the loopback mode only
    todoke, people = campaign_to(place, "shipped", INSIDE, network__mode="public", test__time_percent="100")
    seen = set()
    settle(todoke, people, seen)
    tap.equal(sum(counter.count for counter in counters if counter), 0, "the shipped default opens no connection to a receiver on loopback")
    tap.equal(sorted(seen), [], "nor to any other address that is not public")
    states = todoke.states()
    tap.ok(all(states[who] in ("deferred", "bounced") for who in people), "each delivery says that it was refused", str(states))
    told = [event for event in todoke.events("deferred", "bounced")]
    tap.ok(len({event["address"] for event in told}) == len(people) and all(event["diagnostic"] for event in told),
           "with a reason in words", str(told))
    tap.equal(todoke.sql("SELECT count(*) FROM suppression"), [(0,)], "and no contact is excluded for it")
    todoke.stop()
    for counter in filter(None, counters):
        counter.end()


def can_bind_25():
    with socket.socket() as probe:
        try:
            probe.bind((RECEIVER, 25))
            return True
        except OSError:
            return False


def loopback_only(tap, place):
    counter = Counter(RECEIVER, PORT)
    counter.start()
    todoke, people = campaign_to(place, "demo", {**OUTSIDE, "loop.example": RECEIVER})
    seen = set()
    settle(todoke, people, seen)
    tap.ok(counter.count > 0, "the loopback mode does reach the receiver on loopback, port 25 being 2525")
    tap.equal(sorted(ip for ip in seen if not ip.startswith("127.")), [], "and connects to nothing outside 127.0.0.0/8")
    told = {event["address"]: event["diagnostic"] for event in todoke.events("deferred", "bounced")}
    tap.ok(all(told.get(f"hito@{domain}") for domain in OUTSIDE), "what lies outside is refused with a reason in words", str(told))
    todoke.stop()
    counter.end()


with Tap() as tap, Place("network") as place:
    refused_by_the_default(tap, place)
    loopback_only(tap, place)
