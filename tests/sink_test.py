"""`todoke sink`: counts and records what it takes, finds duplicates, and misbehaves on request."""
import json
import os
import signal
import smtplib
import ssl
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TODOKE = os.environ.get("TODOKE", os.path.join(ROOT, "build", "todoke"))


class Sink:
    def __init__(self, *options):
        self.program = subprocess.Popen([TODOKE, "sink", "--listen", "127.0.0.1:0", "--json", *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.port = int(self.program.stderr.readline().rsplit(":", 1)[1])

    def end(self):
        if self.program.poll() is None:
            self.program.send_signal(signal.SIGTERM)
        said, _ = self.program.communicate(timeout=90)
        return json.loads(said), self.program.returncode


def send(port, number, to="a@b.example", tls=False, seconds=90):
    """One mail; the code of the last reply, or the name of what went wrong."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=seconds) as connection:
            if tls:
                connection.starttls(context=ssl._create_unverified_context())
            connection.sendmail("me@x.example", [to], f"Message-ID: <m{number}@x.example>\r\nSubject: x\r\n\r\n.dot\r\n")
            return 250
    except smtplib.SMTPRecipientsRefused as refused:
        return list(refused.recipients.values())[0][0]
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code
    except (smtplib.SMTPServerDisconnected, ConnectionError, TimeoutError) as lost:
        return "silent" if "timed out" in str(lost) else "lost"


with Tap() as tap, tempfile.TemporaryDirectory() as folder:
    record = os.path.join(folder, "record")
    sink = Sink("--record", record, "--threads", "2", "--tls")
    codes = [send(sink.port, number, tls=number % 2 == 0) for number in (1, 2, 3, 4, 2)]
    totals, status = sink.end()
    tap.equal(codes, [250] * 5, "takes what comes, in the clear and by TLS")
    tap.equal((totals["messages"], totals["recipients"], totals["duplicates"], status), (5, 5, 1, 0), "counts, and finds the duplicate")
    with open(record, encoding="utf-8") as lines:
        rows = sorted(line.rstrip("\n").split("\t") for line in lines)
    tap.equal([row[:3] for row in rows][:2], [["<m1@x.example>", "a@b.example", "me@x.example"], ["<m2@x.example>", "a@b.example", "me@x.example"]],
              "records Message-ID, recipient, sender")
    tap.equal(len(rows), 5, "a line for each")

    for what, options, expected, counter in [
        ("refuses for good", ["--refuse", "100"], 550, "refused"), ("in other words", ["--refuse", "100=554 5.7.1 no"], 554, "refused"),
        ("refuses for now", ["--defer", "100"], 451, "deferred"), ("takes it and never answers", ["--drop", "100"], "lost", "dropped"),
        ("resets at MAIL", ["--reset", "100"], "lost", "reset"), ("never says a word", ["--silent"], "silent", "connections"),
    ]:
        sink = Sink(*options)
        code = send(sink.port, 1, seconds=3 if expected == "silent" else 90)
        totals, _ = sink.end()
        tap.ok(code == expected and totals[counter] == 1, f"misbehaves: {what}", f"{code} {totals}")

    sink, start, codes = Sink("--rate", "5"), time.monotonic(), []
    while 421 not in codes and len(codes) < 400: # eight at once, so that they come faster than five a second on any machine
        with ThreadPoolExecutor(8) as hands:
            codes += hands.map(lambda number: send(sink.port, number), range(len(codes), len(codes) + 16))
    most = 5 + 5 * (time.monotonic() - start)
    totals, _ = sink.end()
    tap.ok(421 in codes and 4 <= totals["messages"] <= most, "a rate is kept with 421", f"{codes} {totals}, at most {most:.1f}")
    sink = Sink("--delay", "400")
    start = time.monotonic()
    code = send(sink.port, 1)
    tap.ok(code == 250 and time.monotonic() - start >= 0.4, "answers the final dot late")
    sink.end()
    sink = Sink("--count", "3")
    for number in range(3):
        send(sink.port, number)
    tap.equal(sink.program.wait(90), 0, "ends by itself after --count")
    sink.end()

    for what, options, words in [
        ("an address outside", ["--listen", "0.0.0.0:2526"], "loopback"), ("no number", ["--count", "many"], "--count many"),
        ("no reply", ["--refuse", "10=no"], "--refuse"), ("no such option", ["--quick"], "--quick"), ("a word too many", ["now"], "now"),
        ("more than all", ["--drop", "101"], "0 to 100"),
    ]:
        said = subprocess.run([TODOKE, "sink", *options], capture_output=True, text=True, timeout=90, check=False)
        tap.ok(said.returncode == 2 and words in said.stderr and said.stderr.count("\n") == 1, f"bad input: {what}", said.stderr)
    said = subprocess.run([TODOKE, "sink", "--record", "/nowhere/record"], capture_output=True, text=True, timeout=90, check=False)
    tap.ok(said.returncode == 3 and "/nowhere/record" in said.stderr, "a file that cannot be written is named", said.stderr)
