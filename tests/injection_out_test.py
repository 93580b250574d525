"""X3, on the requests that we make ourselves: line ends, and what some reader takes for one, in every setting of webhooks and of the mailboxes
that we fetch from, and in every field of a brand. No request to a webhook has a header that is not ours, no IMAP or POP3 session a
command that is not ours, no mail a field that is not ours. What is taken is used; the counts are printed."""
import email
import email.policy
import json
import re
import socket
import threading

from catcher import Catcher
from contract import Api
from sneaky import BAD, sneaky
from tap import Tap
from todoke import NET, PORT, Place, free_port, until

MX, HOST = f"{NET}.78", f"{NET}.79"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [MX]}}
POSTED = {"host", "user-agent", "accept", "content-type", "content-length", "webhook-id", "webhook-timestamp", "webhook-signature", "connection"}
COMMANDS = {"imap": {"CAPABILITY", "LOGIN", "STATUS", "SELECT", "EXAMINE", "UID", "SEARCH", "FETCH", "NOOP", "LOGOUT", "CLOSE", "AUTHENTICATE"},
            "pop3": {"CAPA", "USER", "PASS", "AUTH", "STAT", "LIST", "UIDL", "RETR", "TOP", "NOOP", "QUIT"}}
MAILED = {"date", "from", "to", "subject", "message-id", "reply-to", "mime-version", "content-type", "content-transfer-encoding", "dkim-signature", "received",
          "list-unsubscribe", "list-unsubscribe-post", "list-id", "feedback-id", "auto-submitted", "precedence"}

FEW = ["\r\n", "\n", "%0d%0a", "\r", "\u2028", "\v"] # for commands, which take their time


class Server:
    """Listens, and keeps every octet of each session; `talk(connection)` answers."""

    def __init__(self, talk):
        self.sessions, self.talk, self.port = [], talk, free_port(HOST)
        self.listening = socket.create_server((HOST, self.port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listening.accept()
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        connection.settimeout(90)
        said = bytearray()
        self.sessions.append(said)
        try:
            self.talk(connection, said)
        except OSError:
            pass
        connection.close()


def lines(connection, said):
    while data := connection.recv(65536):
        said += data
        for line in data.split(b"\n"):
            if line.strip():
                yield line


def http(connection, said):
    while b"\r\n\r\n" not in said:
        data = connection.recv(65536)
        if not data:
            return
        said += data
    head, body = bytes(said).split(b"\r\n\r\n", 1)
    length = int((re.search(rb"(?i)\r\ncontent-length: (\d+)", head) or [0, 0])[1])
    while len(body) < length:
        data = connection.recv(65536)
        if not data:
            return
        body += data
        said += data
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def imap(connection, said):
    connection.sendall(b"* OK ready\r\n")
    for line in lines(connection, said):
        tag, _, rest = line.strip().partition(b" ")
        verb = rest.split(b" ")[0].upper()
        answer = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n", b"SELECT": b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n", b"EXAMINE": b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n",
                  b"UID": b"* SEARCH\r\n", b"STATUS": b"* STATUS INBOX (UIDVALIDITY 1 MESSAGES 0)\r\n", b"LOGOUT": b"* BYE\r\n"}.get(verb, b"")
        connection.sendall(answer + tag + b" OK done\r\n")


def pop3(connection, said):
    connection.sendall(b"+OK ready\r\n")
    for line in lines(connection, said):
        verb = line.split(b" ")[0].strip().upper()
        connection.sendall({b"CAPA": b"+OK\r\nUSER\r\nUIDL\r\n.\r\n", b"STAT": b"+OK 0 0\r\n", b"LIST": b"+OK\r\n.\r\n", b"UIDL": b"+OK\r\n.\r\n"}.get(verb, b"+OK\r\n"))


def posts_wrong(server):
    """What is wrong with the heads of the requests that came."""
    wrong = []
    for said in server.sessions:
        if not said:
            continue
        head = bytes(said).split(b"\r\n\r\n")[0]
        first, *fields = head.split(b"\r\n")
        names = [field.partition(b":")[0].decode("latin-1").lower() for field in fields]
        sound = re.fullmatch(rb"POST [\x21-\x7e]+ HTTP/1\.1", first) and set(names) <= POSTED and len(names) == len(set(names))
        if not sound or re.search(rb"[\0-\x09\x0b\x0c\x0e-\x1f\x7f-\xff]|\r(?!\n)|(?<!\r)\n", head):
            wrong.append(head[:300])
    return wrong


def webhooks(tap, todoke, api):
    """Each part of an address, and each other setting, by API and command; what was taken is sent a test."""
    server = Server(http)
    sound = f"http://{HOST}:{server.port}/hook"
    urls = [lambda bad: f"{sound}/{sneaky(bad)}", lambda bad: f"{sound}?q={sneaky(bad)}", lambda bad: f"http://{HOST}{bad}X-Evil: 1:{server.port}/", lambda bad: f"{sound}#{sneaky(bad)}",
            lambda bad: f"http://{HOST}:{server.port}{bad}X-Evil: 1", lambda bad: f"http://u{bad}X-Evil: 1@{HOST}:{server.port}/", lambda bad: f"http{bad}://{HOST}:{server.port}/", lambda bad: sound + bad]
    bodies = [{"url": make(bad)} for make in urls for bad in BAD]
    bodies += [{"url": sound, **more} for bad in BAD for more in ({"kinds": [sneaky(bad)]}, {"brand": sneaky(bad)}, {"from": sneaky(bad)}, {"x-a": sneaky(bad)}, {"secret": sneaky(bad)})]
    taken = 0

    def try_out(number):
        before = len(server.sessions)
        api.ask("POST", f"/hooks/{number}/test", {})
        until(lambda: any(b"\r\n\r\n" in said for said in server.sessions[before:]), 20, f"the test of webhook {number}")
        api.ask("DELETE", f"/hooks/{number}")

    for body in bodies:
        status, _, answer = api.ask("POST", "/hooks", body)
        tap.ok(status in (201, 400, 404), f"a webhook is taken or refused: {status}", str((body, answer))) if status not in (201, 400, 404) else None
        if status == 201:
            taken += 1
            try_out(answer["id"])
    for make in urls:
        for bad in FEW[:3]: # the command reads the same address
            if todoke.run("hook", "add", make(bad)).returncode == 0:
                taken += 1
                try_out(api.ask("GET", "/hooks")[2]["items"][0]["id"])
    tap.ok(taken >= 5 and len(server.sessions) >= taken, f"webhooks: {len(bodies) + len(urls) * 3} tried, {taken} taken, {len(server.sessions)} requests came", str(api.ask("GET", "/hooks")[2]))
    tap.equal(posts_wrong(server)[:5], [], "no request to a webhook has a header or a line that is not ours (X3)")


def mailboxes(tap, place, todoke):
    """Each setting of a mailbox. The server, which starts afterwards, empties those that were taken."""
    tried, servers = 0, {"imap": Server(imap), "pop3": Server(pop3)}
    for kind, server in servers.items():
        sound = {"name": "box", "--host": HOST, "--user": "user", "--folder": "INBOX", "--ca": "", "password": "secret"}
        for setting in sound if kind == "imap" else ("--host", "--user", "password"):
            for bad in FEW:
                tried += 1
                given = {**sound, setting: f"a{bad}X9 DELETE INBOX{bad}DELE 1{bad}", "name": sneaky(bad) if setting == "name" else f"{kind}{tried}"}
                secret = place.write("secret", given["password"] + "\n")
                more = [word for option in ("--host", "--user", "--folder", "--ca") if given[option] and not (option == "--folder" and kind == "pop3") for word in (option, given[option])]
                todoke.run("mailbox", "add", given["name"], "--kind", kind, "--port", str(server.port), "--tls", "none", "--password-file", secret, "--every", "3600", *more)
    todoke.serve()
    rows = until(lambda: (lambda found: all(row["checked"] or row["fault"] for row in found) and found)(todoke.rows("mailbox", "list")), 60, "a look into each mailbox", 0.5)
    wrong = []
    for kind, server in servers.items():
        for said in server.sessions:
            for line in bytes(said).split(b"\n"):
                words = line.strip().split(b" ")
                verb = words[1 if kind == "imap" and len(words) > 1 else 0].decode("latin-1").upper()
                if line.strip() and (verb not in COMMANDS[kind] or words[0] in (b"X9", b"DELE")):
                    wrong.append((kind, bytes(said)[:300]))
    sessions = sum(len(server.sessions) for server in servers.values())
    tap.ok(len(rows) >= 12 and sessions >= len(rows), f"mailboxes: {tried} tried, {len(rows)} taken, {sessions} sessions")
    tap.equal(wrong[:5], [], "no session has a command that is not ours (X3)")


def brands(tap, todoke, api, catcher):
    """Every field of a brand; a mail, and a file's letter of unsubscription, of each that was taken."""
    sound = {"NAME": "Brand", "--from": "Brand <news@brand{}.example>", "--return-path": "bounce.brand{}.example", "--links": "https://brand{}.example", "--reply-to": "help@brand{}.example",
             "--footer": "footer", "--selector": "s1"}
    tried, taken = 0, []
    for option in sound:
        for bad in ("=?UTF-8?Q?=0D=0A?=", "%0d%0a"): # injection_test.py tries more; each makes a key, which takes its time
            tried += 1
            given = {name: value.format(tried) for name, value in sound.items()}
            given["NAME"] = f"Brand{tried}"
            given[option] = f"Shop{bad}X-Evil: 1 <news@brand{tried}.example>" if option == "--from" else given[option] + sneaky(bad)
            if todoke.run("brand", "add", given["NAME"], *(word for name in list(sound)[1:] for word in (name, given[name]))).returncode == 0:
                taken.append((f"brand{tried}.example", option))
    for domain, option in taken:
        brand = str(todoke.sql("SELECT id FROM brand WHERE from_address LIKE ?", "%@" + domain)[0][0])
        status, _, said = api.ask("POST", "/messages", {"to": f"{domain}@good.example", "brand": brand, "subject": "s", "text": "t", "html": "<p>t", "unsubscribe": True})
        if status not in (200, 202):
            tap.ok(False, f"a mail of the brand with {option}", str(said))
    until(lambda: len(catcher.mails) >= len(taken), 60, "a mail of each brand")
    extra = {}
    for mail in catcher.mails:
        read = email.message_from_bytes(mail["data"], policy=email.policy.compat32)
        names = [name.lower() for name in read.keys()]
        head = mail["data"].split(b"\r\n\r\n")[0]
        if set(names) - MAILED or len(names) != len(set(names)) + max(0, names.count("dkim-signature") - 1) or re.search(rb"(?im)^\W*X-Evil|[\0\v\f\x1c\x1e\x7f]|\r(?!\n)|(?<!\r)\n", head):
            extra[str(mail["to"])] = head[:400]
    tap.ok(taken, f"brands: {tried} tried, {len(taken)} taken ({sorted({option for _, option in taken})}), {len(catcher.mails)} mails")
    tap.equal(list(extra.items())[:5], [], f"{len(catcher.mails)} mails of brands: 0 extra headers (X3)")


with Tap() as tap, Place("injection-out") as place, Catcher(MX, PORT) as catcher:
    todoke = place.installation(zone=ZONE)
    mailboxes(tap, place, todoke)
    api = Api(todoke.http, todoke.ok("key", "add", "admin").strip())
    webhooks(tap, todoke, api)
    brands(tap, todoke, api, catcher)
    tap.equal(todoke.stop(), 0, "the server ends well")
