"""R32: a receiver that had TLS and offers it no more: where the rule `seen` holds the mail waits and nothing goes in clear, across a restart; where it
does not hold the mail goes as ever. It goes by TLS when that is back, and in clear once a person says that it is gone for good."""
import signal

from tap import Tap
from todoke import NET, Place, until

KEEPER, OTHER = f"{NET}.4", f"{NET}.5" # both have TLS first; the rule holds for the first
ZONE = {"k.example": {"MX": [[10, "mx.k.example"]]}, "mx.k.example": {"A": [KEEPER]}, "o.example": {"MX": [[10, "mx.o.example"]]}, "mx.o.example": {"A": [OTHER]}}


class Story:
    def __init__(self, place, tap):
        self.place, self.tap, self.sinks, self.sent = place, tap, {}, 0

    def receive(self, ip, *options):
        """The receiver begins anew, with or without TLS; its record goes on."""
        if ip in self.sinks:
            self.sinks.pop(ip).end(signal.SIGTERM)
        self.sinks[ip] = self.place.sink(ip, "--record", self.record(ip), *options, log=f"sink{ip}.log")

    def record(self, ip):
        return self.place.path(f"record{ip}.tsv")

    def taken(self, ip):
        try:
            with open(self.record(ip), encoding="utf-8") as record:
                return [line.split("\t")[1] for line in record]
        except FileNotFoundError:
            return []

    def send(self, todoke):
        """One mail to each; their names' number."""
        self.sent += 1
        todoke.people([f"p{self.sent}@k.example", f"p{self.sent}@o.example"], f"list{self.sent}")
        todoke.campaign(f"c{self.sent}", list_name=f"list{self.sent}")
        todoke.ok("campaign", "send", f"c{self.sent}")
        until(lambda: f"p{self.sent}@o.example" in self.taken(OTHER), 30, "the mail where no rule holds has gone")
        return self.sent

    def waits(self, todoke, number, why):
        """It is deferred for that reason, and nobody has it."""
        address = f"p{number}@k.example"
        late = until(lambda: [event for event in todoke.events("deferred") if event["address"] == address], 30, "it is deferred")[-1]
        self.tap.ok(late["reason"] == "starttls_failed" and "rule: seen" in late["diagnostic"] and address not in self.taken(KEEPER), why, str(late))
        return late


def gone(todoke):
    return [alarm for alarm in todoke.rows("alarm", "list") if alarm["kind"] == "tls_gone" and not alarm["ended"]]


def story(tap, place):
    tale = Story(place, tap)
    for ip in (KEEPER, OTHER):
        tale.receive(ip, "--tls")
    todoke = place.installation(zone=ZONE)
    todoke.brand()
    todoke.ok("tls", "rule", "set", "domain", "k.example", "seen")
    todoke.serve()
    number = tale.send(todoke)
    until(lambda: f"p{number}@k.example" in tale.taken(KEEPER), 30, "the first mail has gone")
    until(lambda: [row["host"] for row in todoke.rows("tls", "seen")] == ["mx.k.example"], 10, "it is remembered")
    tap.ok(True, "a host whose TLS came about is remembered, where the rule holds and only there (R32)")
    for ip in (KEEPER, OTHER):
        tale.receive(ip)
    number = tale.send(todoke)
    late = tale.waits(todoke, number, "it offers STARTTLS no more: the mail waits and does not go in clear (R32)")
    said = todoke.ok("explain", "message", str(late["delivery_id"]))
    tap.ok("Encryption has vanished" in said, "explain message says what happened", said)
    tap.ok("mx.k.example had TLS lately and offers it no more" in todoke.server.said(), "the log names the host")
    alarm = until(lambda: gone(todoke), 10, "the alarm")[0]
    tap.ok("mx.k.example" in alarm["title"]["en"] and "todoke tls forget mx.k.example" in alarm["text"]["en"] and "mx.k.example が暗号化" in alarm["title"]["ja"], "an alarm says so, and what to do (R32)", str(alarm))
    todoke.stop()
    todoke.serve()
    number = tale.send(todoke)
    tale.waits(todoke, number, "after a restart it is still known")
    counted = until(lambda: [row for row in todoke.sql("SELECT result, mx, n FROM tls_count WHERE domain = 'k.example'") if row[0] == "starttls-not-supported"], 20, "the failure is counted")
    tap.equal(counted[0][1], "mx.k.example", "it counts for TLS-RPT as starttls-not-supported (M45)")
    tale.receive(KEEPER, "--tls")
    until(lambda: {f"p{one}@k.example" for one in (1, 2, 3)} <= set(tale.taken(KEEPER)), 60, "all of it has gone by TLS")
    tap.ok(True, "with TLS back everything goes")
    until(lambda: not gone(todoke), 10, "the alarm ends when TLS is back, after a restart, too")
    tale.receive(KEEPER)
    todoke.ok("tls", "forget", "mx.k.example")
    number = tale.send(todoke)
    until(lambda: f"p{number}@k.example" in tale.taken(KEEPER), 60, "it goes in clear")
    tap.ok(True, "forgotten by a person: in clear again")
    tap.equal(todoke.run("tls", "forget", "mx.nobody.example").returncode, 2, "a host that was not seen cannot be forgotten")
    todoke.stop()


with Tap() as tap_:
    with Place("tls-seen") as place_:
        story(tap_, place_)
