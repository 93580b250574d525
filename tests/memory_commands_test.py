"""Memory is refused beneath a command, at allocations drawn from the seed: it says the same as ever, or that there is no memory, or that the world failed; never a
wrong answer, a crash or no end (F4). SEED=N repeats one, ONLY=NAME takes one command, ALL=1 every allocation."""
import base64
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import zipfile

from disk import Panel
from jail_test import report
from tap import Tap
from todoke import TODOKE, Place

POINTS = 20 # of each command


XML = b"""<?xml version="1.0"?><feedback><report_metadata><org_name>kaisha.example</org_name><report_id>1</report_id><date_range><begin>1</begin>
<end>86401</end></date_range></report_metadata><policy_published><domain>shop.example</domain><p>none</p></policy_published><record><row>
<source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>shop.example</header_from></identifiers></record></feedback>"""


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("report.xml", XML)
    return out.getvalue()


def commands(place, key):
    """name -> (arguments, stdin)"""
    japanese = "From: =?iso-2022-jp?B?GyRCRiMbKEI=?= <a@shop.example>\r\nSubject: x\r\nContent-Type: text/plain; charset=shift_jis\r\n\r\n".encode() + \
        "お届けできませんでした".encode("cp932") + b"\r\n"
    zone = place.write("zone.json", json.dumps({"shop.example": {"TXT": ["v=spf1 include:a.example -all"]}, "a.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]},
                                                "_dmarc.shop.example": {"TXT": ["v=DMARC1; p=reject"]}}))
    return {
        "bounce explain": (["bounce", "explain", "--json", place.write("a.eml", report("ann@kaisha.example", "5.1.1", "550 5.1.1 <{}>: User unknown", "failed"))], b""),
        "bounce explain, a mail in Shift_JIS": (["bounce", "explain", "--json", place.write("sjis.eml", japanese)], b""),
        "bounce reply": (["bounce", "reply", "550 5.1.1 <ann@kaisha.example>: User unknown", "--json"], b""),
        "report parse, gzip": (["report", "parse", place.write("r.xml.gz", gzip.compress(XML))], b""),
        "report parse, zip": (["report", "parse", place.write("r.zip", zipped())], b""),
        "mime show": (["mime", "show", place.write("m.eml", japanese), "--json"], b""),
        "csv read": (["csv", "read", place.write("c.csv", "メール,氏名\r\na@kaisha.example,山田 太郎\r\n".encode("cp932"))], b""),
        "bounce reply, a Japanese domain": (["bounce", "reply", "550 5.1.1 <taro@日本語.example>: User unknown", "--receiver", "日本語.example", "--json"], b""),
        "check spf": (["check", "spf", "--ip", "192.0.2.7", "--mail-from", "a@shop.example", "--helo", "mx.shop.example", "--dns", zone], b""),
        "check dmarc": (["check", "dmarc", "--from", "a@mail.shop.example", "--spf-domain", "shop.example", "--dns", zone], b""),
        "dkim sign": (["dkim", "sign", "--domain", "shop.example", "--selector", "s", "--key", key, "--now", "1700000000"], japanese),
        "template render": (["template", "render", "--template", place.write("t.liquid", b"{% for x in items %}{{ x | upcase }}{% endfor %} {{ name }}"), "--data",
                             place.write("d.json", json.dumps({"items": ["a", "b"], "name": "花子"}).encode())], b""),
        "batch": (["bounce", "explain", "--batch"], json.dumps({"id": 1, "message_b64": base64.b64encode(japanese).decode()}).encode() + b"\n"),
    }


class Refusals:
    def __init__(self, place, chance):
        self.panel, self.chance = Panel(place, "", "memory"), chance

    def run(self, arguments, given, nth=0, most=1):
        before = self.panel.get("count")
        if nth:
            self.panel.fail(nth, "ENOMEM", most)
        else:
            self.panel.works()
        said = subprocess.run([TODOKE, *arguments], input=given, capture_output=True, timeout=180, check=False, env={**os.environ, **self.panel.env})
        return said, self.panel.get("count") - before

    def story(self, tap, name, arguments, given):
        usual, allocations = self.run(arguments, given)
        wrong, stops, same = [], 0, 0
        points = range(1, allocations + 1) if os.environ.get("ALL") else sorted(self.chance.sample(range(1, allocations + 1), min(POINTS, allocations)))
        for nth in points:
            most = self.chance.choice((1, 1, 1, 20))
            what = f"allocation {nth} of {allocations}, {most} in a row"
            try:
                said, _ = self.run(arguments, given, nth, most)
            except subprocess.TimeoutExpired:
                wrong.append(f"{what}: no end")
                continue
            if said.returncode in (-signal.SIGABRT, 1) and re.search(b"(out of|no) memory", said.stderr, re.I):
                stops += 1
            elif (said.returncode, said.stdout) == (usual.returncode, usual.stdout):
                same += 1
            elif said.returncode != 3:
                wrong.append(f"{what}: {said.returncode} {said.stdout[:300]!r} {said.stderr[-400:]!r}")
        tap.ok(usual.returncode in (0, 1) and usual.stdout, f"{name}: works", usual.stderr.decode("utf-8", "replace"))
        tap.ok(not wrong, f"{name}: no wrong answer, no crash ({stops} stops, {same} times the same)", "\n".join(wrong[:20]))


def main():
    seed = int(os.environ.get("SEED") or random.randrange(1 << 31))
    with Tap() as tap, Place("memory-commands") as place:
        tap.note(f"seed {seed}")
        refusals = Refusals(place, random.Random(seed))
        key = place.path("dkim.pem")
        subprocess.run([TODOKE, "dkim", "keygen", "--domain", "shop.example", "--selector", "s", "--algorithm", "ed25519", "--out", key], capture_output=True, check=True)
        for name, (arguments, given) in commands(place, key).items():
            if os.environ.get("ONLY", name) != name:
                continue
            refusals.story(tap, name, arguments, given)


if __name__ == "__main__":
    main()
