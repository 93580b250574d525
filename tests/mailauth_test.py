"""Our signatures and our checks, held against implementations that are not ours: python3-dkim, and mailauth from npm.

M31, M32: what `dkim sign` writes verifies elsewhere, for both algorithms, and not after a change. M34, M35, M40: what
`check dkim|spf|dmarc` says of mails signed elsewhere, and of the same records, is what mailauth says."""
import base64
import json
import os
import subprocess
import tempfile

import dkim
from independent import auth_by_mailauth, dkim_by_python
from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TODOKE = os.environ.get("TODOKE", os.path.join(ROOT, "build", "todoke"))
MAIL = ("From: Shop <news@shop.example>\r\nTo: taro@example.jp\r\nSubject: =?utf-8?B?44GK55+l44KJ44Gb?=\r\n"
        "Date: Sun, 22 Nov 2026 22:30:00 +0900\r\nMessage-ID: <m1@shop.example>\r\n"
        "List-Unsubscribe: <https://shop.example/u/1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "\r\nHello,\r\n\r\n  spaces \t here \r\n\r\n\r\n").encode()


def todoke(*words, stdin=b""):
    return subprocess.run([TODOKE, *words], input=stdin, capture_output=True, timeout=120, check=False)


def batch(*words, rows):
    said = todoke(*words, "--batch", stdin="".join(json.dumps(row) + "\n" for row in rows).encode())
    return [json.loads(line) for line in said.stdout.decode().splitlines()]


def check_dkim(mail, zone):
    return batch("check", "dkim", rows=[{"message_b64": base64.b64encode(mail).decode(), "dns": zone}])[0]


def signatures(tap, folder):
    mail_path = os.path.join(folder, "mail.eml")
    with open(mail_path, "wb") as file:
        file.write(MAIL.replace(b"\r\n", b"\n"))
    for algorithm in ("rsa", "ed25519"):
        key_path = os.path.join(folder, algorithm + ".pem")
        said = todoke("dkim", "keygen", "--domain", "shop.example", "--selector", "s1", "--algorithm", algorithm, "--out",
                      key_path, "--json")
        made = json.loads(said.stdout)
        zone = {made["name"]: {"TXT": [made["record"]]}}
        tap.equal(os.stat(key_path).st_mode & 0o777, 0o600, f"{algorithm}: the key file is its owner's alone")
        again = todoke("dkim", "keygen", "--domain", "shop.example", "--selector", "s1", "--out", key_path)
        tap.ok(again.returncode != 0 and b"exists" in again.stderr, f"{algorithm}: and is never overwritten", again.stderr)
        signed = todoke("dkim", "sign", "--domain", "shop.example", "--selector", "s1", "--key", key_path, mail_path).stdout
        changed = signed.replace(b"Hello,", b"Hallo,")
        doubled = b"Subject: another\r\n" + signed
        tap.ok(dkim_by_python(signed, zone), f"{algorithm}: python3-dkim verifies what we sign (M31)")
        tap.ok(not dkim_by_python(changed, zone), f"{algorithm}: and sees a changed body")
        tap.ok(not dkim_by_python(doubled, zone), f"{algorithm}: and a second Subject put in front (M32, oversigned)")
        tap.equal(check_dkim(signed, zone)["result"], "pass", f"{algorithm}: we verify it too (M34)")
        tap.equal(check_dkim(changed, zone)["result"], "fail", f"{algorithm}: and see the change")
        tap.equal(check_dkim(doubled, zone)["result"], "fail", f"{algorithm}: and the second Subject")
        tap.ok(b" l=" not in signed.split(b"\r\n\r\n")[0], f"{algorithm}: never l= (X5)")
        if algorithm == "rsa":
            zone["bounce.shop.example"] = {"TXT": ["v=spf1 ip4:127.0.0.1 -all"]}
            zone["_dmarc.shop.example"] = {"TXT": ["v=DMARC1; p=reject"]}
            said = auth_by_mailauth(signed, zone, sender="b@bounce.shop.example")
            tap.equal((said["dkim"], said["dmarc"]), ("pass", "pass"), "rsa: mailauth verifies what we sign")


def foreign_signatures(tap):
    key = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "DER"], input=key, capture_output=True, check=True).stdout
    zone = {"s2._domainkey.shop.example": {"TXT": [["v=DKIM1; k=rsa; p=", base64.b64encode(public).decode()]]}}
    for header in (b"simple", b"relaxed"):
        for body in (b"simple", b"relaxed"):
            signed = dkim.sign(MAIL, b"s2", b"shop.example", key, canonicalize=(header, body)) + MAIL
            name = f"{header.decode()}/{body.decode()} by python3-dkim"
            tap.equal(check_dkim(signed, zone)["result"], "pass", f"{name}: verifies (M34)")
            loose = signed.replace(b"To: taro", b"To:  taro")
            tap.equal(check_dkim(loose, zone)["result"] == "pass", header == b"relaxed", f"{name}: space in a header")
            loose = signed.replace(b"spaces \t here", b"spaces here")
            tap.equal(check_dkim(loose, zone)["result"] == "pass", body == b"relaxed", f"{name}: space in the body")
    short = dkim.sign(MAIL, b"s2", b"shop.example", key, canonicalize=(b"relaxed", b"relaxed"), length=True) + MAIL
    tap.equal(check_dkim(short + b"more\r\n", zone)["result"], "pass", "l= leaves the end unsigned")


ZONE = {
    "a.example": {"TXT": ["v=spf1 a mx include:b.example ~all"], "A": ["192.0.2.1"], "MX": [[10, "mx.a.example"]]},
    "mx.a.example": {"A": ["192.0.2.2"]},
    "b.example": {"TXT": ["v=spf1 ip4:192.0.2.64/27 exists:%{ir}.list.example -all"]},
    "9.2.0.192.list.example": {"A": ["127.0.0.2"]},
    "c.example": {"TXT": ["v=spf1 redirect=b.example"]},
    "d.example": {"TXT": ["v=spf1 ip4:192.0.2.1/99 -all"]},
    "e.example": {"TXT": ["v=spf1 -all", "v=spf1 +all"]},
    "f.example": {"TXT": ["v=spf1 include:nowhere.example -all"]},
    "g.example": {"TXT": ["v=spf1 ?all"]},
    "bounce.shop.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "_dmarc.shop.example": {"TXT": ["v=DMARC1; p=reject"]},
}


def same_as_mailauth(tap):
    """SPF and DMARC of one unsigned mail (From: shop.example) from many addresses and senders, beside mailauth."""
    senders = ["x@bounce.shop.example"] + [f"x@{letter}.example" for letter in "abcdefgz"]
    asked = [(f"192.0.2.{last}", sender) for sender in senders for last in (1, 2, 9, 70, 200)]
    asked = [asked[0]] + asked[1::3]
    spf = batch("check", "spf", rows=[{"ip": ip, "mail_from": sender, "helo": "h.example", "dns": ZONE} for ip, sender in asked])
    dmarc = batch("check", "dmarc", rows=[{"from": "shop.example", "dkim_domains": [], "dns": ZONE,
                                           "spf_domains": [sender[2:]] if row["result"] == "pass" else []}
                                          for (_, sender), row in zip(asked, spf)])
    differs = []
    for (ip, sender), ours_spf, ours_dmarc in zip(asked, spf, dmarc):
        theirs = auth_by_mailauth(MAIL, ZONE, ip=ip, helo="h.example", sender=sender)
        if (theirs["spf"], theirs["dmarc"]) != (ours_spf["result"], ours_dmarc["result"]):
            differs.append((ip, sender, ours_spf, ours_dmarc, theirs))
    tap.equal(differs, [], f"SPF and DMARC of {len(asked)} mails equal mailauth's (M35, M40)")


with Tap() as tap, tempfile.TemporaryDirectory() as folder:
    signatures(tap, folder)
    foreign_signatures(tap)
    same_as_mailauth(tap)
