"""R15, M8: mail whose MX is ourselves does not come round again: by the EHLO name of any source, and by the address where we listen, under whatever name; but
another mail server beside us, at an address of ours where we do not listen, gets its mail."""
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place

LISTENS, SOURCE, OTHER = f"{NET}.2", f"{NET}.130", f"{NET}.131"
HOSTS = {"mx.disguised.example": LISTENS, "out7.shop.example": OTHER, "mx.beside.example": SOURCE, "mx.other.example": OTHER}
MX = {"disguised.example": [[10, "mx.disguised.example"]], "named.example": [[10, "out7.shop.example"]], "beside.example": [[10, "mx.beside.example"]],
      "backup.example": [[10, "mx.other.example"], [20, "OUT7.shop.example"], [30, "mx.beside.example"]]}

with Tap() as tap, Place("loops") as place:
    todoke = place.installation(zone={**{name: {"MX": hosts} for name, hosts in MX.items()}, **{name: {"A": [ip]} for name, ip in HOSTS.items()}}, mail_in=LISTENS)
    todoke.brand()
    todoke.ok("source", "add", SOURCE, "--ehlo", "out7.shop.example")
    beside, other = Receiver(SOURCE, PORT), Receiver(OTHER, PORT)
    place.cleanups += [beside.end, other.end]
    todoke.people([f"ann@{domain}" for domain in MX])
    todoke.campaign("all")
    todoke.serve()
    todoke.ok("campaign", "send", "all")
    todoke.settled("all", len(MX), 60)
    said = {event["address"].split("@")[1]: event["diagnostic"] for event in todoke.events("bounced")}
    tap.equal(set(said), {"disguised.example", "named.example"}, "R15: what would come back to us ends")
    tap.ok("5.4.6" in str(todoke.events("bounced")) and f"its best MX is at {LISTENS}, where we ourselves answer" in said["disguised.example"],
           "by the address where we listen, under another name", str(said))
    tap.ok("its best MX, out7.shop.example, is a name of ours" in said["named.example"], "by a source's EHLO name, at another address", str(said))
    tap.equal([to for _, to, _ in beside.mails], ["ann@beside.example"], "another program's port 25 at our source's address is no loop")
    tap.equal([to for _, to, _ in other.mails], ["ann@backup.example"], "better MX hosts than we are get the mail")
    tap.equal(todoke.stop(), 0, "it stops")
