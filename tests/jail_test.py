"""The jail (X13): 2,000 error mails while their readers are killed, bombs of four kinds, and no key where strangers' bytes are read."""
import base64
import gzip
import io
import json
import os
import random
import signal
import smtplib
import subprocess
import threading
import time
import urllib.request
import zipfile

from dsn import dsn
from tap import Tap
from todoke import NET, PORT, TODOKE, Late, Place, until

PEOPLE = 2000
SINK = f"{NET}.10"
ZONE = {"many.example": {"MX": [[10, "mx.many.example"]]}, "mx.many.example": {"A": [SINK], "TXT": ["v=spf1 ip4:127.0.0.1 -all"]},
        "_dmarc.many.example": {"TXT": ["v=DMARC1; p=reject"]}, "_dmarc.mail.example": {"TXT": ["v=DMARC1; p=reject"]}}
SAID = [ # status, diagnostic, action, is the delivery over then
    ("5.1.1", "550 5.1.1 <{}>: Recipient address rejected: User unknown", "failed", True),
    ("5.2.2", "552 5.2.2 Mailbox full", "failed", True),
    ("5.7.1", "554 5.7.1 Message blocked because of content", "failed", True),
    ("4.4.1", "connect to mx.many.example: Connection timed out", "delayed", False),
]


def report(recipient, status, diagnostic, action):
    return dsn(recipient, "b-x@bounce.shop.example", "mx.many.example", status, diagnostic, action, f"To: {recipient}\nSubject: x").encode()


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def readers(server):
    return [reader for spawner in children(server) for reader in children(spawner)]


class Killer(threading.Thread):
    """kill -9 of one reader, again and again, at random moments; not before mails have been read since the last time (a mail whose
    readers die six times is put aside, as it should be: where reading is slow, they would)."""

    def __init__(self, server, seed, count_read):
        super().__init__(daemon=True)
        self.server, self.random, self.killed, self.is_over = server, random.Random(seed), 0, False
        self.count_read, self.read = count_read, -1

    def run(self):
        while not self.is_over:
            found = readers(self.server)
            if found and self.count_read() > self.read:
                try:
                    os.kill(self.random.choice(found), signal.SIGKILL)
                    self.killed += 1
                    self.read = self.count_read() + 10
                except OSError:
                    pass
            time.sleep(self.random.uniform(0.01, 0.08))


def send(mail_in, mails):
    """(recipient, bytes) by SMTP, over a few connections."""
    def some(part):
        with smtplib.SMTP(mail_in, PORT, local_hostname="mx.many.example", timeout=60) as smtp:
            for to, mail in part:
                smtp.sendmail("", [to], mail)
    threads = [threading.Thread(target=some, args=(mails[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def with_attachment(kind, data):
    return (f"From: reports@evil.example\r\nSubject: Report domain: shop.example\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\n").encode() + base64.encodebytes(data).replace(b"\n", b"\r\n")


def bombs():
    """what, the mail, words of the log line"""
    blanks = b"<feedback>" + b" " * (110 << 20)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r.xml", blanks)
    laughs = '<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)) + "]><feedback>&a9;</feedback>"
    nested = b"".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n'.encode() for n in range(1000))
    parts = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\nx\r\n" * 5000 + b"--b--\r\n"
    return [("a zip bomb", with_attachment("application/zip", packed.getvalue()), "200 times"),
            ("a gzip bomb", with_attachment("application/gzip", gzip.compress(blanks)), "200 times"),
            ("an XML entity bomb", with_attachment("text/xml", laughs.encode()), "document type"),
            ("a thousand nested parts", b"Subject: x\r\n" + nested, "nested too deep"),
            ("five thousand parts", b"Subject: x\r\n" + parts, "too many parts")]


def memory_holds(pid, wanted):
    """Which of these byte strings the memory of a process holds."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            if "r" not in fields[1] or fields[-1] in ("[vvar]", "[vsyscall]") or fields[1].startswith("r-x"):
                continue
            start, end = (int(word, 16) for word in fields[0].split("-"))
            if end - start > 1 << 31: # a sanitizer's shadow
                continue
            at = start
            while at < end:
                try:
                    memory.seek(at)
                    piece = memory.read(min(end - at, 16 << 20))
                except (OSError, ValueError, OverflowError):
                    break
                if not piece:
                    break
                found |= {name for name, text in wanted.items() if text in piece}
                at += len(piece)
    return found


def main():
    with Tap() as tap, Place("jail") as place:
        place.sink(SINK, "--record", place.path("taken"))
        todoke = place.installation(zone=ZONE)
        made = json.loads(todoke.ok("dkim", "keygen", "--domain", "mail.example", "--selector", "t", "--out", place.path("their.pem"), "--json"))
        todoke.zone({**ZONE, made["name"]: {"TXT": [made["record"]]}})
        todoke.brand()
        todoke.people([f"person{n}@many.example" for n in range(PEOPLE)])
        server = todoke.serve(test__time_percent="100")
        todoke.campaign("autumn")
        todoke.ok("campaign", "send", "autumn")
        todoke.settled("autumn", PEOPLE, 120)
        with open(place.path("taken"), encoding="utf-8") as file:
            paths = {recipient: sender for _, recipient, sender, _ in (line.rstrip("\n").split("\t") for line in file)}
        tap.ok(len(paths) == PEOPLE, f"{PEOPLE} mails went out, each with a return path of its own")

        # ── readers are killed while error mail comes in ──
        seed = int(os.environ.get("SEED") or random.randrange(1 << 31))
        people = sorted(paths)
        mails = {who: report(who, *SAID[n % len(SAID)][:3]) for n, who in enumerate(people)}
        count = lambda state: todoke.sql("SELECT COUNT(*) FROM inbound WHERE state = ?", state)[0][0]
        killer = Killer(server.popen.pid, seed, lambda: count(1))
        killer.start()
        send(todoke.mail_in, [(paths[who], mails[who]) for who in people])
        until(lambda: count(0) == 0, 120, "all error mails are read")
        killer.is_over = True
        killer.join()
        tap.ok(killer.killed >= 5, f"readers were killed {killer.killed} times (SEED={seed})")
        tap.ok(count(1) == PEOPLE and count(2) == 0, "no mail was lost, none put aside")
        lines = "".join(json.dumps({"id": who, "message_b64": base64.b64encode(mails[who]).decode()}) + "\n" for who in people)
        told = subprocess.run([TODOKE, "bounce", "explain", "--batch"], input=lines, capture_output=True, text=True, check=True).stdout
        wanted = {(row["id"], row["reason"]) for row in map(json.loads, told.splitlines())}
        seen = {(event["address"], event["reason"]) for event in todoke.events("bounced", "delay_notice")}
        tap.ok(seen == wanted, "every verdict is the one that it has without the jail" + (f": {sorted(seen ^ wanted)[:4]}" if seen != wanted else ""))
        over = sum(SAID[n % len(SAID)][3] for n in range(PEOPLE))
        until(lambda: todoke.report("autumn")["counts"]["bounced"] >= over, 20, "the counters have seen all of it")
        tap.ok(todoke.report("autumn")["counts"]["bounced"] == over, f"{over} deliveries are bounced now, each by one event")

        # ── bombs ──
        for what, mail, words in bombs():
            since = len(server.said())
            send(todoke.mail_in, [("postmaster@bounce.shop.example", mail)])
            try:
                server.wait_for(words, 60, since)
                tap.ok(True, f"{what}: named in the log")
            except Late as late:
                tap.ok(False, f"{what}: named in the log: {late}")
        since = len(server.said())
        with smtplib.SMTP(todoke.mail_in, PORT, timeout=120) as smtp:
            smtp.ehlo()
            smtp.docmd("MAIL FROM:<>") # without saying how large it is
            smtp.docmd("RCPT TO:<postmaster@bounce.shop.example>")
            code = smtp.data(b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * (100 * 1024 * 1024 // 78))[0]
        tap.ok(code == 552, f"a mail of 100 MB: refused with {code}")
        tap.ok("too large" in server.said()[since:], "and named in the log")
        until(lambda: count(0) == 0, 60, "the bombs are read")
        after = sorted(paths)[3]
        send(todoke.mail_in, [(paths[after], report(after, "5.1.1", SAID[0][1], "failed"))])
        until(lambda: todoke.states()[after] == "bounced", 30, "an error mail behind the bombs")
        tap.ok(server.runs() and count(2) == 0, "and an honest error mail behind them is read as ever")

        with open(f"/proc/{server.popen.pid}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        tap.ok(status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1", "the server itself runs under a filter: no exec (X13)")

        # ── reports ──
        xml = (b"<feedback><report_metadata><org_name>mail.example</org_name><report_id>r1</report_id></report_metadata><policy_published>"
               b"<domain>shop.example</domain><p>none</p></policy_published><record><row><source_ip>192.0.2.7</source_ip><count>12</count>"
               b"<policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers>"
               b"<header_from>shop.example</header_from></identifiers></record></feedback>")
        plain = place.write("plain.eml", with_attachment("application/gzip", gzip.compress(xml)).replace(b"evil.example", b"mail.example"))
        signed = subprocess.run([TODOKE, "dkim", "sign", "--domain", "mail.example", "--selector", "t", "--key", place.path("their.pem"), plain],
                                capture_output=True, check=True).stdout
        for _ in range(2): # receivers send them twice
            send(todoke.mail_in, [("dmarc-reports@bounce.shop.example", signed)])
        until(lambda: count(0) == 0 and todoke.rows("report", "list"), 30, "the report")
        kept, sources = todoke.rows("report", "list"), todoke.rows("report", "sources", "--domain", "shop.example")
        tap.ok(len(kept) == 1 and kept[0]["org"] == "mail.example" and kept[0]["good"] == 12, "a report that came twice is kept once (M41)")
        tap.ok(len(sources) == 1 and sources[0]["source"] == "192.0.2.7" and sources[0]["is_good"], "and summed by source")

        until(lambda: todoke.rows("report", "list")[0]["sender_dmarc"], 30, "who sent the report")
        kept = todoke.rows("report", "list")
        tap.ok((kept[0]["sender_dkim"], kept[0]["sender_dmarc"]) == ("pass header.d=mail.example", "pass header.from=mail.example"),
               "who sent it is checked: DKIM and DMARC pass", str(kept[0]))
        spf, dkim, dmarc = todoke.sql("SELECT spf, dkim, dmarc FROM inbound WHERE rcpt_to = ? AND spf <> '' LIMIT 1", paths[after])[0]
        tap.ok((spf, dkim, dmarc) == ("pass smtp.helo=mx.many.example", "none", "pass header.from=mx.many.example"),
               "SPF of an error mail (by its HELO, the sender is null), no DKIM, DMARC; beside the mail and not in it (M37)", str((spf, dkim, dmarc)))
        secret = todoke.ok("key", "add", "test").strip()
        def api(path):
            request = urllib.request.Request(f"http://{todoke.http}/api/v1{path}", headers={"Authorization": f"Bearer {secret}"})
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.load(answer)
        listed = api("/reports?kind=dmarc_aggregate")["items"]
        shown = api(f"/reports/{listed[0]['id']}")
        tap.ok(len(listed) == 1 and shown["sources"] == api("/report-sources?domain=shop.example")["items"], "the API tells the same")

        listed = todoke.rows("inbound", "list", "--limit", "5000")
        tap.ok(len(listed) == todoke.sql("SELECT COUNT(*) FROM inbound")[0][0] and {row["state"] for row in listed} == {"read"}
               and b"Final-Recipient" in todoke.ok("inbound", "show", str(todoke.sql("SELECT id FROM inbound WHERE rcpt_to = ?", paths[after])[0][0])).encode(),
               "todoke inbound lists and shows what came")

        # ── keys ──
        if os.geteuid() == 0:
            with open(todoke.key, "rb") as file:
                key = file.read().strip()
            wanted = {"the key file": key}
            try:
                wanted["the key"] = bytes.fromhex(key.split()[-1].decode())
            except ValueError:
                wanted["the key"] = base64.b64decode(key.split()[-1] + b"==")
            jailed = children(server.popen.pid) + readers(server.popen.pid)
            tap.ok(len(jailed) >= 3, f"{len(jailed)} processes of the jail are looked into")
            tap.ok("the key" in memory_holds(server.popen.pid, wanted), "the server has the key in its memory")
            holders = [pid for pid in jailed if memory_holds(pid, wanted)]
            tap.ok(not holders, "and no process of the jail has")
        jailed = children(server.popen.pid) + readers(server.popen.pid)
        todoke.kill()
        def is_alive(pid):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    return file.read().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                return False
        until(lambda: not any(is_alive(pid) for pid in jailed), 30, "the jail's processes end")
        tap.ok(True, "when the server is killed, the jail goes with it")


if __name__ == "__main__":
    main()
