"""The independent verifiers must be able to say no: a mail signed here by python3-dkim passes both, a changed one neither."""
import base64
import subprocess

import dkim
from independent import auth_by_mailauth, dkim_by_python
from tap import Tap

MAIL = (b"From: Shop <news@shop.example>\r\nTo: taro@example.jp\r\nSubject: =?utf-8?B?44GK55+l44KJ44Gb?=\r\n"
        b"Date: Sun, 22 Nov 2026 22:30:00 +0900\r\nMessage-ID: <m1@shop.example>\r\n\r\nHello,\r\n\r\n  spaces  here \r\n")

with Tap() as tap:
    key = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "DER"], input=key, capture_output=True, check=True).stdout
    zone = {
        "s1._domainkey.shop.example": {"TXT": [["v=DKIM1; k=rsa; p=", base64.b64encode(public).decode()]]},
        "bounce.shop.example": {"TXT": ["v=spf1 ip4:127.0.0.1 -all"]},
        "_dmarc.shop.example": {"TXT": ["v=DMARC1; p=reject"]},
    }
    signed = dkim.sign(MAIL, b"s1", b"shop.example", key, canonicalize=(b"relaxed", b"relaxed")) + MAIL
    tap.ok(dkim_by_python(signed, zone), "python3-dkim verifies")
    said = auth_by_mailauth(signed, zone, sender="b-x@bounce.shop.example")
    tap.equal((said["dkim"], said["spf"], said["dmarc"]), ("pass", "pass", "pass"), "mailauth verifies DKIM, SPF, DMARC")
    changed = signed.replace(b"Hello,", b"Hallo,")
    tap.ok(not dkim_by_python(changed, zone), "python3-dkim sees a changed body")
    said = auth_by_mailauth(changed, zone, sender="x@elsewhere.example")
    tap.ok(said["dkim"] != "pass" and said["spf"] != "pass" and said["dmarc"] == "fail", "mailauth sees it, and a stranger's sender", str(said))
    tap.ok(not dkim_by_python(MAIL, zone), "no signature is no pass")
