"""Error mail after the manners of programs, providers and people is read, and read the same when only its form changes (S1-S9, M23-M25).

The mails are in bounce_manners.yaml. Each is read as written; then with CRLF and with CR alone, with its body in base64, in
quoted-printable, in UTF-8 and with a wrong charset, its text wrapped narrower, the header fields gone that tell a program's mail,
and behind a forwarder's header. What is said of each recipient must stay. What may not stay is listed in EXEMPT, with the reason. Single replies are in bounce_replies.yaml."""
import base64
import email.header
import json
import os
import quopri
import re
import subprocess
import textwrap

import yaml

from tap import Tap
from todoke import TODOKE

HERE = os.path.dirname(os.path.abspath(__file__))
TELLING = re.compile(r"^(Auto-Submitted|X-Failed-Recipients|X-MDaemon-[A-Za-z-]+|Precedence):", re.I)
EXEMPT = {("second-x-failed-only", "without telling fields")} # only that field names the recipient


def taken_apart(mail):
    head, _, body = mail.partition("\n\n")
    return head.split("\n"), body


def header_written(line, charset):
    if line.isascii():
        return line.encode()
    name, _, value = line.partition(": ")
    words, angle, address = value.partition(" <")
    return f"{name}: {email.header.Header(words, charset if charset != 'utf-7' else 'utf-8', maxlinelen=70).encode()}{angle}{address}".encode()


def written(fields, body, charset="utf-8", label=None, cte="8bit", newline=b"\n"):
    """The mail's bytes. A mail with a Content-Type of its own is written as it stands."""
    raw = body.encode(charset)
    lines = [header_written(line, charset) for line in fields]
    if not any(line.lower().startswith("content-type:") for line in fields):
        lines += [b"MIME-Version: 1.0", f"Content-Type: text/plain; charset={label or charset}".encode(), f"Content-Transfer-Encoding: {cte}".encode()]
        if cte == "base64":
            raw = base64.encodebytes(raw)
        elif cte == "quoted-printable":
            raw = quopri.encodestring(raw)
    whole = b"\n".join(lines) + b"\n\n" + raw
    return whole if newline == b"\n" else whole.replace(b"\n", newline)


def wrapped(body, width=58):
    """Long lines of the text broken, what follows indented as deep as they were."""
    lines = []
    for line in body.split("\n"):
        indent = re.match(r"\s*", line).group()
        is_prose = len(line) > width and " " in line.strip() and not line.lstrip().startswith(("{", "<", "---", "..."))
        lines += textwrap.wrap(line, width, initial_indent="", subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) if is_prose else [line]
    return "\n".join(lines)


def forms(mail):
    """Name and bytes of every form of one mail."""
    fields, body = taken_apart(mail["mail"])
    charset, label, cte = mail.get("charset", "utf-8"), mail.get("label"), mail.get("cte", "8bit")
    is_plain = not any(line.lower().startswith("content-type:") for line in fields)
    yield "as written", written(fields, body, charset, label, cte)
    yield "CRLF", written(fields, body, charset, label, cte, b"\r\n")
    if charset != "utf-7":
        yield "CR alone", written(fields, body, charset, label, cte, b"\r")
    if is_plain:
        yield "base64", written(fields, body, charset, label, "base64")
        yield "quoted-printable", written(fields, body, charset, label, "quoted-printable")
        yield "UTF-8", written(fields, body)
        yield "UTF-8 called us-ascii", written(fields, body, label="us-ascii")
        yield "wrapped", written(fields, wrapped(body), charset, label, cte)
    stripped = [line for line in fields if not TELLING.match(line)]
    if stripped != fields and mail["want"] and not mail["want"][0].startswith(("autoreply", "none")):
        yield "without telling fields", written(stripped, body, charset, label, cte)
    passed = ["Received: from relay.example.org (relay.example.org [192.0.2.99]) by mx.shop.example.jp; Mon, 3 Mar 2025 10:00:00 +0900",
              "Delivered-To: bounces@shop.example.jp", "Resent-From: bounces@shop.example.jp", "X-Forwarded-To: bounces@shop.example.jp"]
    yield "behind a forwarder", written(passed + fields, body, charset, label, cte)


def is_hard(kind, reason, code, status):
    """Whether this address can never work, by the reason alone (docs/bounces.md); a notice of delay never says so."""
    if kind != "bounce":
        return False
    return reason in ("user_unknown", "host_unknown", "has_moved") or reason == "not_accept" and (code or status or "5").startswith("5")


def differences(rows, want):
    """What is wrong with these rows, as words; empty where all is right."""
    rows = [row for row in rows if row["kind"] != "none"]
    if len(rows) != len(want):
        return f"{len(rows)} rows, not {len(want)}"
    for row, line in zip(rows, want):
        words = line.split()
        more = dict(word.split("=") for word in words if "=" in word)
        kind, recipient, reasons = ([word for word in words if "=" not in word] + ["", ""])[:3]
        if row["kind"] != kind or recipient and row["recipient"] != recipient or reasons and row["reason"] not in reasons.split("|"):
            return f"{row['kind']} {row['recipient']} {row['reason']} by {row['rule']} of \"{row['diagnostic'][:90]}\""
        if row["permanent"] != is_hard(kind, row["reason"], row["reply_code"], row["status"]):
            return f"permanent {row['permanent']}, {row['reason']}"
        for key, field in (("code", "reply_code"), ("status", "status"), ("authenticity", "authenticity")):
            if key in more and row[field] != more[key]:
                return f"{key} {row[field]!r}"
    return ""


with open(os.path.join(HERE, "bounce_manners.yaml"), encoding="utf-8") as file:
    mails = yaml.safe_load(file)
asked = [(mail, form, text) for mail in mails for form, text in forms(mail)]
lines = "".join(json.dumps({"id": number, "message_b64": base64.b64encode(text).decode()}) + "\n" for number, (_, _, text) in enumerate(asked))
said = subprocess.run([TODOKE, "bounce", "explain", "--batch"], input=lines, capture_output=True, text=True, check=False, timeout=100)
answers = {}
for line in said.stdout.splitlines():
    row = json.loads(line)
    answers.setdefault(row["id"], []).append(row)

with open(os.path.join(HERE, "bounce_replies.yaml"), encoding="utf-8") as file:
    replies = yaml.safe_load(file)
lines = "".join(json.dumps({"text": text.replace("\n", "\r\n"), "command": command, "receiver": receiver}) + "\n" for receiver, command, _, text in replies)
said = subprocess.run([TODOKE, "bounce", "reply", "--batch"], input=lines, capture_output=True, text=True, check=False, timeout=100)
verdicts = [json.loads(line) for line in said.stdout.splitlines()]

with Tap() as tap:
    wrong = {}
    for number, (mail, form, _) in enumerate(asked):
        difference = differences(answers.get(number, []), mail["want"])
        if difference and (mail["name"], form) not in EXEMPT:
            wrong.setdefault(mail["name"], []).append(f"{form}: {difference}")
    for mail in mails:
        tap.equal(wrong.get(mail["name"], []), [], mail["name"])
    tap.equal(len(verdicts), len(replies), "a verdict for each reply")
    for (receiver, command, reasons, text), verdict in zip(replies, verdicts):
        is_right = verdict.get("reason") in reasons.split("|")
        hard = is_hard("bounce", verdict.get("reason"), verdict.get("reply_code"), verdict.get("status"))
        tap.equal((is_right and verdict["permanent"] == hard) or verdict, True, f"{receiver} {command}: {text[:60]!r}")
    tap.note(f"{len(mails)} mails in {len(asked)} forms, {len(replies)} replies")
