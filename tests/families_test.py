"""R17: IPv6 and IPv4: both are used where both work; where one does not connect, or is blocked, everything arrives by the other, at once; without smtp.ipv6
there is no IPv6. M18: EHLO says the full name that was set, and each source its own."""
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until

V4 = {name: f"{NET}.{number}" for name, number in (("both", 120), ("four", 121), ("six", 122), ("off", 123), ("blocks", 124))}
SOURCE = f"{NET}.130"


def mails_arrive(tap, todoke, receivers, campaign, domain, count, words):
    """By whom they were taken: how many by IPv4, by IPv6."""
    before = [len(receiver.mails) for receiver in receivers]
    todoke.people([f"{campaign}{n}@{domain}" for n in range(count)], campaign)
    todoke.campaign(campaign, list_name=campaign)
    todoke.ok("campaign", "send", campaign)
    report = todoke.settled(campaign, count, 60)
    tap.equal(report["counts"]["delivered"], count, f"{words}: all arrive")
    taken = [sum(1 for _, to, _ in receiver.mails[start:] if to.endswith("@" + domain)) for receiver, start in zip(receivers, before)]
    tap.equal(sum(taken), count, f"{words}: nobody twice")
    return taken


with Tap() as tap, Place("families") as place:
    zone = {}
    for name in V4:
        zone[f"{name}.example"] = {"MX": [[10, f"mx.{name}.example"]]}
        zone[f"mx.{name}.example"] = {"A": [V4[name]], "AAAA": ["::1"]}
    todoke = place.installation(zone=zone, smtp__ipv6="on")
    todoke.brand()
    six = Receiver("::1", PORT)
    place.cleanups.append(six.end)
    both, off = Receiver(V4["both"], PORT), Receiver(V4["off"], PORT)
    place.cleanups += [both.end, off.end]
    todoke.serve()

    taken = mails_arrive(tap, todoke, [both, six], "both", "both.example", 60, "both work")
    tap.ok(all(taken), "both work: both families are used", str(taken))
    taken = mails_arrive(tap, todoke, [six], "six", "six.example", 30, "IPv4 does not connect") # nobody listens there
    tap.equal(todoke.report("six")["counts"]["deferred"], 0, "IPv4 does not connect: nothing had to wait")
    tap.equal([event["address"] for event in todoke.events("deferred")], [], "and nobody was put off")
    tap.ok(set(six.peers) == {"::1"} and set(six.greetings + both.greetings) == {"mta.shop.example"}, "M18: EHLO says the full name, over both", str(set(six.greetings + both.greetings)))
    tap.equal(todoke.stop(), 0, "it stops")

    six.end()
    four = Receiver(V4["four"], PORT)
    place.cleanups.append(four.end)
    todoke.serve()
    mails_arrive(tap, todoke, [four], "four", "four.example", 30, "IPv6 does not connect")
    tap.equal([event["address"] for event in todoke.events("deferred")], [], "IPv6 does not connect: nobody was put off")
    tap.equal(todoke.stop(), 0, "it stops again")

    blocks, takes = Receiver(V4["blocks"], PORT, greeting="554 5.7.1 your IPv4 network is blocked"), Receiver("::1", PORT)
    place.cleanups += [blocks.end, takes.end]
    todoke.serve(test__time_percent="20", test__wait_percent="20") # a connection may take 6 s: a busy machine is no dead family
    mails_arrive(tap, todoke, [takes], "first", "blocks.example", 1, "IPv4 is blocked") # the first connection begins with it
    mails_arrive(tap, todoke, [takes], "later", "blocks.example", 30, "IPv4 is blocked, later")
    tap.equal([event["address"] for event in todoke.events("deferred", "bounced")], [], "IPv4 is blocked: nobody was put off or refused for it")
    tap.equal(blocks.visits, 1, "IPv4 is blocked: that is remembered")
    tap.equal(todoke.stop(), 0, "it stops once more")
    takes.end()

    todoke.ok("source", "add", SOURCE, "--ehlo", "out7.shop.example")
    again = Receiver("::1", PORT)
    place.cleanups.append(again.end)
    todoke.serve(smtp__ipv6="off")
    taken = mails_arrive(tap, todoke, [off, again], "off", "off.example", 20, "IPv6 is off")
    tap.equal(taken, [20, 0], "IPv6 is off: none goes there")
    tap.equal((set(off.peers), set(off.greetings)), ({SOURCE}, {"out7.shop.example"}), "M18: a source says its own name")
    tap.equal(todoke.stop(), 0, "and it stops")
