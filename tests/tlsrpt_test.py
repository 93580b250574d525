"""M45, R32: a day's TLS-RPT reports go to the domains that ask for them (RFC 8460): as a signed mail, and by HTTPS; once; again when a web server
has trouble; to nobody who does not ask. Read by python's json and by our own parser."""
import datetime
import email
import email.policy
import gzip
import http.server
import json
import sqlite3
import ssl
import subprocess
import threading

from mailfarm import Authority
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, stores, until

MX, WEB = f"{NET}.97", f"{NET}.98"
DAY = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=2)).strftime("%Y-%m-%d")


class Web:
    """Takes reports at any path; at /trouble a 500."""

    def __init__(self, chain, key):
        taken = self.taken = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                taken.append((self.headers["Host"], self.path, self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(500 if self.path == "/trouble" else 201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((WEB, 443), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


def write(todoke, sql):
    """Into the store, behind the program's back."""
    if todoke.store.startswith("postgres"):
        subprocess.run(["psql", "-qX", "-d", todoke.store, "-c", sql], check=True, timeout=60)
    else:
        with sqlite3.connect(todoke.store, timeout=90) as db:
            db.executescript(sql)


def count(todoke, rows):
    """What a day before yesterday's sessions left in the store."""
    write(todoke, "".join("INSERT INTO tls_count (day, domain, policy, result, mx, sending_ip, receiving_ip, detail, policy_text, n) VALUES "
                          f"('{DAY}', '{domain}', '{policy}', '{result}', 'mx.{domain}', '192.0.2.1', '198.51.100.2', '{detail}', '', {n});"
                          for domain, policy, result, detail, n in rows))


def story(tap, words, store, authority):
    with Place("tlsrpt") as place:
        receiver = Receiver(MX, PORT)
        web = Web(*authority.issue(f"web{words}", ["reports.want.example", "reports.lost.example"]))
        place.cleanups += [receiver.end, web.end]
        text = "v=TLSRPTv1; rua="
        zone = {"want.example": {"MX": [[10, "mx.want.example"]]}, "mx.want.example": {"A": [MX]}, "reports.want.example": {"A": [WEB]}, "reports.lost.example": {"A": [WEB]},
                "_smtp._tls.want.example": {"TXT": [text + "mailto:tls@want.example,https://reports.want.example/in"]},
                "_smtp._tls.lost.example": {"TXT": [text + "https://reports.lost.example/trouble"]},
                "_smtp._tls.inside.example": {"TXT": [text + "https://inside.example/"]}, "inside.example": {"A": ["10.0.0.1"]},
                "_smtp._tls.twice.example": {"TXT": [text + "mailto:tls@want.example", text + "mailto:tls@want.example"]}}
        todoke = place.installation(zone=zone, store=store, tlsrpt__from="tls@shop.example", tls__ca_file=authority.root, test__time_percent="1")
        name, record = todoke.brand()
        count(todoke, [("want.example", "sts", "success", "", 12), ("want.example", "sts", "certificate-expired", "certificate has expired", 3),
                       ("want.example", "no-policy-found", "success", "", 5), ("none.example", "no-policy-found", "success", "", 1),
                       ("lost.example", "no-policy-found", "success", "", 1), ("twice.example", "no-policy-found", "success", "", 1), ("inside.example", "no-policy-found", "success", "", 1)])
        todoke.serve()
        until(lambda: len(receiver.mails) == 1 and any(path == "/in" for _, path, _, _ in web.taken), 40, "the mail and the POST")

        sender, to, raw = receiver.mails[0]
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        tap.equal((to, mail["From"], mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"], mail["TLS-Required"], mail["Auto-Submitted"]),
                  ("tls@want.example", "tls@shop.example", "want.example", "shop.example", "No", "auto-generated"), f"{words}: to whom, from whom, about whom")
        tap.ok(sender.endswith("@bounce.shop.example") and mail["Message-ID"] and mail["Date"], f"{words}: by our own return path", sender)
        tap.ok(mail["Subject"].startswith("Report Domain: want.example Submitter: shop.example Report-ID: <"), f"{words}: the subject of RFC 8460 5.3", mail["Subject"])
        parts = list(mail.iter_parts())
        tap.equal((mail.get_content_type(), mail.get_param("report-type"), [part.get_content_type() for part in parts]),
                  ("multipart/report", "tlsrpt", ["text/plain", "application/tlsrpt+gzip"]), f"{words}: multipart/report of 5.4")
        tap.ok(parts[1].get_filename().startswith("shop.example!want.example!") and parts[1].get_filename().endswith(".json.gz"), f"{words}: the file's name", parts[1].get_filename())
        report = json.loads(gzip.decompress(parts[1].get_content()))
        shown = json.loads(todoke.ok("tlsrpt", "show", DAY, "--domain", "want.example", "--organization", "shop.example", "--contact", "tls@shop.example"))
        tap.equal(report, shown, f"{words}: the report is what the counters say")
        sums = {one["policy"]["policy-type"]: (one["summary"]["total-successful-session-count"], one["summary"]["total-failure-session-count"]) for one in report["policies"]}
        tap.equal(sums, {"sts": (12, 3), "no-policy-found": (5, 0)}, f"{words}: sessions by policy")
        said = todoke.run("report", "parse", place.write("report.json.gz", parts[1].get_content()), "--json")
        ours = said.stdout
        tap.ok(said.returncode == 0 and "certificate-expired" in said.stdout and "want.example" in said.stdout, f"{words}: our own parser reads it", f"{ours} {said.stderr}")
        dns = place.write("dns.json", json.dumps({name: {"TXT": [record]}}))
        said = todoke.run("check", "dkim", place.write("signed.eml", raw), "--dns", dns, "--json")
        tap.ok(json.loads(said.stdout)["result"] == "pass" and "shop.example" in said.stdout, f"{words}: the mail is signed for its From", said.stdout + said.stderr)

        host, _, kind, body = next(one for one in web.taken if one[1] == "/in")
        tap.equal((host, kind), ("reports.want.example", "application/tlsrpt+gzip"), f"{words}: the POST of 5.5")
        tap.equal(json.loads(gzip.decompress(body)), report, f"{words}: carries the same report")

        def fates():
            return {(row["domain"], row["rua"][:8]): (row["state"], row["why"]) for row in todoke.rows("tlsrpt", "sent")}
        until(lambda: all(state == "sent" or domain != "want.example" or not rua for (domain, rua), (state, _) in fates().items())
              and ("lost.example", "https://") in fates() and ("inside.example", "https://") in fates() and ("none.example", "") in fates() and ("twice.example", "") in fates(), 30, "all fates")
        until(lambda: fates()["lost.example", "https://"][1] and fates()["inside.example", "https://"][1], 30, "both troubles")
        said = fates()
        tap.equal((said["want.example", "mailto:t"][0], said["want.example", "https://"][0]), ("sent", "sent"), f"{words}: both are on record")
        tap.equal(said["lost.example", "https://"], ("waiting", "HTTP status 500"), f"{words}: a web server with trouble is tried again")
        tap.ok(said["inside.example", "https://"][0] == "waiting" and "10.0.0.1" in said["inside.example", "https://"][1], f"{words}: an address of the inside is never connected (R15)", str(said))
        tap.equal((said["none.example", ""][1], said["twice.example", ""][1]), ("nobody wants it",) * 2, f"{words}: who does not ask, or asks twice, gets none")
        tap.equal(todoke.stop(), 0, f"{words}: it stops")
        write(todoke, "UPDATE tls_report SET next_ms = 1 WHERE state = 'waiting'") # hours later
        before = sum(path == "/trouble" for _, path, _, _ in web.taken)
        todoke.serve()
        until(lambda: sum(path == "/trouble" for _, path, _, _ in web.taken) > before, 60, "it goes on after a restart")
        tap.equal((len(receiver.mails), sum(path == "/in" for _, path, _, _ in web.taken)), (1, 1), f"{words}: a day's report is sent once")
        tap.equal(todoke.stop(), 0, f"{words}: it stops again")


with Tap() as shown_all, Place("tlsrpt-ca") as ca:
    ours_only = Authority(ca.path("ca"))
    for store_name, store_url in stores("tlsrpt"):
        story(shown_all, store_name, store_url, ours_only)
