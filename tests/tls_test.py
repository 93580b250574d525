"""DANE, MTA-STS, the operator's rules and opportunistic TLS against a real Postfix with real certificates and a signed zone on a
real name server; above all what must NOT fall back to clear text (R30, R31, R32, R33, M15, M43, M44, M45), and what TLS-Required: No may waive (RFC 8689).

One campaign, one recipient for each thought, each at a domain of its own. Nothing is simulated: Debian's Postfix, nsd, OpenSSL's
certificates, libunbound's validation, HTTPS. In a network namespace of its own, so that port 443 is ours."""
import json
import os
import smtplib
import subprocess
import sys
import time

ALONE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools", "alone")
if os.geteuid() == 0 and "TODOKE_NETNS" not in os.environ and subprocess.run([sys.executable, ALONE], check=False).returncode == 0:
    os.execve(sys.executable, [sys.executable, ALONE, sys.executable, "-B", *sys.argv], {**os.environ, "TODOKE_NETNS": "1"})

import mailfarm  # noqa: E402
from mailfarm import Authority, Policies, Receivers, Zones, tlsa_certificate, tlsa_key  # noqa: E402
from tap import Tap  # noqa: E402
from todoke import NET, PORT, Late, Place, one_day, until # noqa: E402

RUN_SECONDS = 420
NAME = "TLS policies against a real Postfix"
GOOD, NOBODY, EXPIRED, OTHER, CLEAR, OLD = (f"{NET}.{n}" for n in (10, 11, 12, 13, 14, 16))
RELAY, WEB, BADWEB, DNS = f"{NET}.15", f"{NET}.20", f"{NET}.21", f"{NET}.53"
DOOR, TRUSTED = f"{NET}.3", f"{NET}.9"
PLACES = {"good": GOOD, "nobody": NOBODY, "expired": EXPIRED, "other": OTHER, "clear": CLEAR, "old": OLD}

# domain -> what its MX hosts are (place, TLSA), in order of preference; does the mail arrive, over what; the thought
TLS, BARE, WAITS = "TLS", "clear", "waits"
SIGNED = {
    "d-ee": ([("nobody", "3 1 1 nobody")], TLS, "DANE-EE: the key fits, name and issuer do not matter"),
    "d-ee-expired": ([("expired", "3 1 1 expired")], TLS, "DANE-EE: nor does the date"),
    "d-ta": ([("good", "2 0 1 root")], TLS, "DANE-TA: issued by the anchor, for this host"),
    "d-ta-name": ([("other", "2 0 1 root")], WAITS, "DANE-TA: a certificate for another host"),
    "d-mismatch": ([("good", "3 1 1 zero")], WAITS, "DANE: another key, though the certificate is good otherwise"),
    "d-strip": ([("clear", "3 1 1 good")], WAITS, "DANE: no STARTTLS offered (stripped)"),
    "d-bogus": ([("good", "3 1 1 good")], WAITS, "DANE: TLSA records whose signature is bogus"),
    "d-unusable": ([("nobody", "1 0 1 zero")], TLS, "DANE: nothing usable is encryption without authentication"),
    "d-unusable-strip": ([("clear", "1 0 1 zero")], WAITS, "DANE: nothing usable, and no STARTTLS"),
    "d-two": ([("good", "3 1 1 zero"), ("good", "3 1 1 good")], TLS, "DANE: the first MX fails, the second is right"),
    "d-two-bad": ([("good", "3 1 1 zero"), ("clear", "3 1 1 good")], WAITS, "DANE: both MX fail"),
    "d-none": ([("nobody", None)], TLS, "a signed domain without TLSA is opportunistic"),
}
PLAIN = {
    "p-tlsa": ([("good", "3 1 1 zero")], TLS, "TLSA records that are not signed mean nothing"),
    "o-any": ([("nobody", None)], TLS, "opportunistic: any certificate"),
    "o-clear": ([("clear", None)], BARE, "opportunistic: clear text where there is no TLS"),
    "r-required": ([("nobody", None)], TLS, "rule required: any certificate"),
    "r-required-strip": ([("clear", None)], WAITS, "rule required: no STARTTLS"),
    "r-verified": ([("good", None)], TLS, "rule verified: a good certificate"),
    "r-verified-nobody": ([("nobody", None)], WAITS, "rule verified: signed by itself"),
    "r-verified-name": ([("other", None)], WAITS, "rule verified: for another host"),
    "r-verified-old": ([("old", None)], WAITS, "rule verified: the name stands in the subject only (RFC 8461 4.1)"),
    "r-verified-expired": ([("expired", None)], WAITS, "rule verified: expired"),
    "s-good": ([("good", None)], TLS, "MTA-STS enforce: a good certificate"),
    "s-nobody": ([("nobody", None)], WAITS, "MTA-STS enforce: signed by itself"),
    "s-name": ([("other", None)], WAITS, "MTA-STS enforce: for another host"),
    "s-old": ([("old", None)], WAITS, "MTA-STS enforce: the name stands in the subject only (RFC 8461 4.1)"),
    "s-expired": ([("expired", None)], WAITS, "MTA-STS enforce: expired"),
    "s-strip": ([("clear", None)], WAITS, "MTA-STS enforce: no STARTTLS (stripped)"),
    "s-mx": ([("good", None)], WAITS, "MTA-STS enforce: an MX that the policy does not name"),
    "s-two": ([("nobody", None), ("good", None)], TLS, "MTA-STS enforce: the first MX fails, the second is right"),
    "s-testing": ([("nobody", None)], TLS, "MTA-STS testing: delivered, and counted"),
    "s-none": ([("clear", None)], BARE, "MTA-STS mode none is no policy"),
    "s-badweb": ([("clear", None)], BARE, "MTA-STS: a policy host with a wrong certificate gives no policy"),
    "s-redirect": ([("clear", None)], BARE, "MTA-STS: a redirect gives no policy"),
    "s-html": ([("clear", None)], BARE, "MTA-STS: what is not text/plain gives no policy"),
    "s-huge": ([("clear", None)], BARE, "MTA-STS: more than 64 KiB give no policy"),
}
# the same domains again, for mails handed in with these fields (RFC 8689)
NO, TWICE = "TLS-Required: No\r\n", "TLS-Required: no\r\nTLS-Required: No\r\n"
WAIVED = {
    "d-mismatch.signed.lab": (NO, TLS, "DANE that fails"),
    "d-strip.signed.lab": (NO, BARE, "DANE, and no STARTTLS"),
    "d-bogus.signed.lab": (NO, TLS, "TLSA records whose signature is bogus"),
    "s-name.plain.lab": ("tls-required:\r\n nO\r\n", TLS, "MTA-STS, a certificate for another host"),
    "s-strip.plain.lab": (NO, BARE, "MTA-STS, and no STARTTLS"),
    "s-mx.plain.lab": (NO, TLS, "MTA-STS that does not name the MX"),
    "r-required-strip.plain.lab": (NO, WAITS, "the operator's rule"),
    "s-expired.plain.lab": (TWICE, WAITS, "the field stands twice"),
    "s-nobody.plain.lab": ("", WAITS, "no such field, beside others that have it"),
}
FORGED = {"f-mx": ([("good", None)], WAITS, "a zone whose signatures are bogus: nothing goes")}


def domains_of(table, zone):
    return {f"{name}.{zone}": row for name, row in table.items()}


ALL = {**domains_of(SIGNED, "signed.lab"), **domains_of(PLAIN, "plain.lab"), **domains_of(FORGED, "forged.lab")}


def host_of(domain, number, place):
    """The MX's own name; certificates at `good` and `expired` are for *.<place>.<zone>."""
    zone = domain.split(".", 1)[1]
    return f"{domain.split('.')[0]}{number}.{place}.{zone}"


def records(table, zone, hashes):
    lines = []
    for name, (hosts, _, _) in table.items():
        for number, (place, tlsa) in enumerate(hosts):
            host = host_of(f"{name}.{zone}", number, place)
            lines.append(f"{name} MX {10 * number + 10} {host}.\n{host}. A {PLACES[place]}\n")
            if tlsa:
                usage, key = tlsa.rsplit(" ", 1)
                lines.append(f"_25._tcp.{host}. TLSA {usage} {hashes[key]}\n")
        if name.startswith("s-"):
            lines.append(f'_mta-sts.{name} TXT "v=STSv1; id=1;"\n'
                         f"mta-sts.{name} A {BADWEB if name == 's-badweb' else WEB}\n")
    return "".join(lines)


def policy(mode, *hosts):
    return "version: STSv1\r\n" + f"mode: {mode}\r\n" + "".join(f"mx: {host}\r\n" for host in hosts) + "max_age: 86400\r\n"


def pages():
    found = {}
    for name, (hosts, _, _) in PLAIN.items():
        if not name.startswith("s-"):
            continue
        mode = {"s-testing": "testing", "s-none": "none"}.get(name, "enforce")
        names = [host_of(f"{name}.plain.lab", number, place) for number, (place, _) in enumerate(hosts)]
        if name == "s-good":
            names = ["*.good.plain.lab"]
        if name == "s-mx":
            names = ["mx.elsewhere.plain.lab"]
        found[f"mta-sts.{name}.plain.lab"] = (200, "text/plain; charset=utf-8", policy(mode, *names))
    found["mta-sts.s-redirect.plain.lab"] = (301, "text/plain", policy("enforce", "*.nowhere.lab"))
    found["mta-sts.s-html.plain.lab"] = (200, "text/html", policy("enforce", "*.nowhere.lab"))
    found["mta-sts.s-huge.plain.lab"] = (200, "text/plain", policy("enforce", "*.nowhere.lab") + "x: y\r\n" * 12000)
    return found


def farm(place):
    """Certificates, Postfix, zones, policies."""
    os.chmod(place.dir, 0o755)
    authority = Authority(place.path("ca"))
    zones = ("plain.lab", "signed.lab", "forged.lab")
    good = authority.issue("good", [f"*.good.{zone}" for zone in zones] + ["relay.plain.lab"])
    expired = authority.issue("expired", [f"*.expired.{zone}" for zone in zones], expired=True)
    other = authority.issue("other", ["mx.elsewhere.lab"])
    old = authority.issue("*.old.plain.lab", [])
    nobody = authority.nobody("nobody", "mx.nobody.lab")
    web = authority.issue("web", [f"mta-sts.{name}.plain.lab" for name in PLAIN])
    people = [f"{who}@{domain}" for domain in ALL for who in ("user", "waived", "plain")] + ["relayed@relayed.plain.lab"]
    postfix = Receivers(place.path("postfix"), {
        "good": (GOOD, *good), "nobody": (NOBODY, *nobody), "expired": (EXPIRED, *expired), "other": (OTHER, *other),
        "old": (OLD, *old), "clear": (CLEAR, None, None), "relay": (RELAY, *good, 465)}, people)
    place.cleanups.append(postfix.stop)
    postfix.start()
    hashes = {"good": tlsa_key(good[0]), "nobody": tlsa_key(nobody[0]), "expired": tlsa_key(expired[0]),
              "root": tlsa_certificate(authority.root), "zero": "00" * 32}
    extra = f"relay A {RELAY}\nbadrelay A {RELAY}\n"
    dns = Zones(place, place.path("dns"), DNS, {
        "signed.lab": (records(SIGNED, "signed.lab", hashes), "signed"),
        "plain.lab": (records(PLAIN, "plain.lab", hashes) + extra, "plain"),
        "forged.lab": (records(FORGED, "forged.lab", hashes), "forged")}, tampered=["d-bogus0.good.signed.lab"])
    dns.start()
    servers = Policies(WEB, *web, pages()), Policies(BADWEB, *other, pages())
    for server in servers:
        place.cleanups.append(server.stop)
    return authority, postfix, dns, servers[0]


def show_fates(tap, todoke, postfix):
    states = todoke.states()
    words = {}
    for event in todoke.events("deferred"):
        words[event["address"]] = event
    for domain, (_, fate, thought) in ALL.items():
        who = f"user@{domain}"
        mail = postfix.mail(domain)
        said = words.get(who, {}).get("diagnostic", "")
        if fate == WAITS:
            is_so = states.get(who) == "deferred" and mail is None and f"to=<{who}>" not in postfix.log()
            tap.ok(is_so, f"{thought}: the mail waits, nothing is sent", f"{domain}: {states.get(who)} {said} {mail and mail[:400]}")
        else:
            over = b"using TLSv1." in mail.split(b"\n\n")[0] if mail else None
            tap.ok(states.get(who) == "delivered" and over == (fate == TLS), f"{thought}: delivered over {fate}",
                   f"{domain}: {states.get(who)} {said} {mail and mail[:600]}")
    reasons = {event["reason"] for event in words.values() if event["address"] != "user@f-mx.forged.lab"}
    tap.equal(reasons, {"starttls_failed"}, "each that waits says that TLS is why")


def show_clear(tap, postfix):
    """Said when all connections have ended."""
    heard = [line for line in postfix.log().splitlines() if "postfix/clear/smtpd" in line and "disconnect" in line and " mail=" in line]
    bare = sum(1 for _, fate, _ in [*ALL.values(), *WAIVED.values()] if fate == BARE)
    tap.equal(len(heard), bare, "the host without TLS has heard MAIL only from those who may be met in clear")


def show_reports(tap, todoke):
    day = time.strftime("%Y-%m-%d", time.gmtime())
    def reports():
        return {report["policies"][0]["policy"]["policy-domain"]: report
                for report in map(json.loads, todoke.ok("tlsrpt", "show", day, "--contact", "tls@shop.example").splitlines())}
    wanted = {"s-testing.plain.lab": ("sts", "certificate-not-trusted"), "s-expired.plain.lab": ("sts", "certificate-expired"),
              "s-name.plain.lab": ("sts", "certificate-host-mismatch"), "s-strip.plain.lab": ("sts", "starttls-not-supported"),
              "s-mx.plain.lab": ("sts", "validation-failure"), "d-mismatch.signed.lab": ("tlsa", "validation-failure"),
              "d-bogus.signed.lab": ("tlsa", "dnssec-invalid"), "s-badweb.plain.lab": ("sts", "sts-webpki-invalid"),
              "s-redirect.plain.lab": ("sts", "sts-policy-fetch-error"), "s-huge.plain.lab": ("sts", "sts-policy-fetch-error"),
              "o-clear.plain.lab": ("no-policy-found", "starttls-not-supported")}
    there = {*wanted, "s-good.plain.lab", "d-ee.signed.lab"} # threads write what they counted every few seconds
    try:
        until(lambda: there <= set(reports()), 30, "the counts are written")
    except Late as late:
        tap.note(str(late))
    found = reports()

    def policies(domain):
        return {entry["policy"]["policy-type"]: entry for entry in found.get(domain, {"policies": []})["policies"]}
    good = policies("s-good.plain.lab").get("sts")
    tap.ok(good and good["summary"]["total-successful-session-count"] >= 1 and good["policy"]["mx-host"] == ["*.good.plain.lab"]
           and "mode: enforce" in good["policy"]["policy-string"], "a report counts what went well, with the policy (M45)", str(good))
    for domain, (kind, result) in wanted.items():
        entry = policies(domain).get(kind, {})
        results = [detail["result-type"] for detail in entry.get("failure-details", [])]
        tap.ok(result in results, f"{domain} is counted as {result} under {kind}", json.dumps(found.get(domain)))
    whole = found["d-ee.signed.lab"]["policies"][0]
    tap.ok(whole["policy"]["policy-type"] == "tlsa" and whole["policy"]["policy-string"][0].startswith("3 1 1 "),
           "a report under DANE carries the TLSA records", str(whole))


def show_waiver(tap, todoke, postfix):
    """TLS-Required: No (RFC 8689): past what the receiver's domain demands, and no further."""
    with smtplib.SMTP(DOOR, PORT, source_address=(TRUSTED, 0), timeout=90) as door:
        for domain, (fields, _, _) in WAIVED.items():
            for who, head in (("plain", ""), ("waived", fields)):
                door.sendmail("news@shop.example", [f"{who}@{domain}"], f"From: news@shop.example\r\n{head}Subject: {who}\r\n\r\nhello\r\n")
    def settled():
        states, moved = todoke.states(), {event["address"] for event in todoke.events("deferred")}
        late = [f"plain@{domain}" for domain in WAIVED] + [f"waived@{domain}" for domain, (_, fate, _) in WAIVED.items() if fate == WAITS]
        gone = [domain for domain, (_, fate, _) in WAIVED.items() if fate != WAITS]
        return set(late) <= moved and all(states[f"waived@{domain}"] == "delivered" and postfix.mail(domain) for domain in gone)
    try:
        until(settled, 60, "each has its fate", 0.3)
    except Late as late:
        tap.note(f"{late}\n{todoke.server.said()[-2500:]}")
    states = todoke.states()
    for domain, (fields, fate, thought) in WAIVED.items():
        mail, state = postfix.mail(domain), states[f"waived@{domain}"]
        if fate == WAITS:
            tap.ok(state == "deferred" and mail is None, f"TLS-Required: No and {thought}: the mail waits", f"{domain}: {state} {mail and mail[:400]}")
            continue
        over = b"using TLSv1." in mail.split(b"\n\n")[0] if mail else None
        tap.ok(state == "delivered" and over == (fate == TLS), f"TLS-Required: No and {thought}: delivered over {fate}", f"{domain}: {state} {mail and mail[:600]}")
        tap.ok(mail and fields.replace("\r\n", "\n").encode() in mail, "... and the field is still in it")
    heard = [domain for domain in WAIVED if states[f"plain@{domain}"] != "deferred" or f"to=<plain@{domain}>" in postfix.log()]
    tap.equal(heard, [], "a mail without the field goes by none of these connections")


def show_relay(tap, todoke, postfix):
    """A brand that sends by a smart host: over verified TLS, and not at all otherwise."""
    todoke.ok("relay", "set", "Hanamaru", "badrelay.plain.lab", "--port", "465")
    todoke.people(["relayed@relayed.plain.lab"], "relayed")
    todoke.campaign("relayed", list_name="relayed")
    tap.equal(todoke.stop(), 0, "the server stops")
    todoke.serve() # it reads what people decided every two seconds, and at its start
    todoke.ok("campaign", "send", "relayed")
    late = until(lambda: [event for event in todoke.events("deferred") if event["address"] == "relayed@relayed.plain.lab"], 60, "it waits")
    tap.ok("smart host badrelay.plain.lab" in late[-1]["diagnostic"] and postfix.mail("relayed.plain.lab") is None,
           "a smart host whose certificate is for another name gets nothing (R31)", str(late[-1]))
    todoke.ok("relay", "set", "Hanamaru", "relay.plain.lab", "--port", "465")
    mail = until(lambda: postfix.mail("relayed.plain.lab"), 90, "the smart host has it", 0.3)
    tap.ok(b"using TLSv1." in mail.split(b"\n\n")[0], "all mail of the brand goes to its smart host, over TLS from the first byte")
    tap.ok("postfix/relay/smtpd" in postfix.log(), "by that host")


def serve(place, dns, authority, name="a", **settings):
    return place.installation(name, dns__zone="", dns__stub=dns.stub, dns__anchors=dns.anchors, dns__probe="signed.lab",
                              tls__ca_file=authority.root, test__time_percent="5", **settings)


def show_probe(tap, place, dns, authority):
    """A resolver that does not validate: DANE is off, loudly (R30)."""
    todoke = serve(place, dns, authority, "probe")
    todoke.settings["dns.probe"] = "forged.lab"
    todoke.serve()
    tap.ok("DANE IS OFF" in todoke.server.said(), "signatures that do not hold: DANE is off, loudly", todoke.server.said()[-800:])
    todoke.stop()
    todoke.settings["dns.probe"] = "plain.lab"
    todoke.serve()
    tap.ok("DANE IS OFF" in todoke.server.said().split("stopping")[-1], "a probe that is not signed: DANE is off, loudly",
           todoke.server.said()[-800:])
    todoke.stop()


def story(tap, place):
    authority, postfix, dns, web = farm(place)
    todoke = serve(place, dns, authority, submission__listen=f"{DOOR}:{PORT}", submission__trusted=f"{TRUSTED}/32")
    todoke.brand()
    for domain in PLAIN:
        if domain.startswith("r-"):
            todoke.ok("tls", "rule", "set", "domain", f"{domain}.plain.lab", domain.split("-")[1])
    todoke.people([f"user@{domain}" for domain in ALL])
    todoke.campaign("autumn")
    todoke.serve()
    tap.ok("DNSSEC is validated: DANE is on" in todoke.server.said(), "the probe at the start: DANE is on (R30)", todoke.server.said()[-500:])
    todoke.ok("campaign", "send", "autumn")
    waits = sum(1 for _, fate, _ in ALL.values() if fate == WAITS)
    def settled():
        states = todoke.states()
        moved = {event["address"] for event in todoke.events("deferred")}
        left = [domain for domain, (_, fate, _) in ALL.items()
                if (f"user@{domain}" not in moved if fate == WAITS else states.get(f"user@{domain}") != "delivered")]
        return not left and states
    try:
        until(settled, 100, f"{len(ALL) - waits} delivered, {waits} waiting", 0.5)
    except Exception as late: # pylint: disable=broad-except
        tap.note(f"{late}\n{todoke.server.said()[-2500:]}")
    until(lambda: all(postfix.mail(domain) for domain, (_, fate, _) in ALL.items() if fate != WAITS) or None, 20, "Postfix has delivered")
    show_fates(tap, todoke, postfix)
    show_reports(tap, todoke)
    kept = todoke.sql("SELECT domain FROM sts_policy ORDER BY domain")
    tap.ok(("s-good.plain.lab",) in kept and ("s-huge.plain.lab",) not in kept, "policies are kept in the store (M43)", str(kept))
    asked = web.asked.count("mta-sts.s-good.plain.lab")
    tap.equal(asked, 1, "a policy is fetched once while its id stays")
    show_waiver(tap, todoke, postfix)
    show_relay(tap, todoke, postfix)
    tap.equal(todoke.stop(), 0, "the server ends cleanly")
    show_clear(tap, postfix)
    show_probe(tap, place, dns, authority)


with Tap() as tap:
    lacking = mailfarm.missing()
    if os.geteuid() != 0 or "TODOKE_NETNS" not in os.environ:
        tap.skip(NAME, "needs root and a network namespace: Postfix starts processes as other users, HTTPS is on port 443")
    elif lacking:
        tap.skip(NAME, f"not installed: {', '.join(lacking)} (./run setup)")
    else:
        one_day()
        with Place("tls") as place:
            story(tap, place)
