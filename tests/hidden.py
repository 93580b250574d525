"""hidden - a receiver that answers 421 to what comes faster than R mails a second, where nobody has told us R (S76).

    with Place("hidden") as place:
        Hidden(tap, place, rate=100).story()

Nothing is in a hurry here: the server's hours are real hours. A campaign has more owed than the receiver would take in that time. What it took
is counted by tens of seconds. Within WITHIN seconds the pace is between LEAST of R and R, and stays there until MINUTE 3; then R doubles while
all goes on, and a minute later the pace is between LEAST of the new R and the new R. The receiver is this file's: it takes R mails in any one
second, so more than R is never seen; what tried to be more is counted as 421."""
import asyncio
import threading
import time

from todoke import NET, PORT, until

IP = f"{NET}.40"
STEP, WITHIN, LEAST = 10, 60, 0.7
FIRST, SECOND = 180, 120 # seconds at R, and at twice R
TOO_FAST = b"421 4.7.0 too many mails from your address, come back later\r\n"


class Limited:
    """The receiver: .rate may be changed at any time; .taken and .refused are instants."""

    def __init__(self, rate):
        self.rate = rate
        self.begun, self.taken, self.refused = [], [], [] # of mails: MAIL, the final dot, MAIL that was refused
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self.met, IP, PORT), self.loop).result(20)
        return self

    def __exit__(self, kind, error, trace):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def may_pass(self):
        now = time.monotonic()
        is_too_fast = len(self.begun) >= self.rate and now - self.begun[-self.rate] < 1
        (self.refused if is_too_fast else self.begun).append(now)
        return not is_too_fast

    async def met(self, reader, writer):
        try:
            await self.talk(reader, writer)
        except (OSError, ValueError, asyncio.CancelledError):
            pass
        writer.close()

    async def talk(self, reader, writer):
        writer.write(b"220 limited.example ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-limited.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"MAIL" and not self.may_pass():
                writer.write(TOO_FAST)
                await writer.drain()
                return
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                while (line := await reader.readline()) != b".\r\n":
                    if not line:
                        return
                self.taken.append(time.monotonic())
                writer.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")


def by_steps(instants, begun, until_when):
    """How many a second, in each step since `begun`."""
    counts = [0] * (int(until_when - begun) // STEP)
    for instant in instants:
        at = int(instant - begun) // STEP
        if 0 <= at < len(counts):
            counts[at] += 1
    return [count / STEP for count in counts]


class Hidden:
    def __init__(self, tap, place, rate):
        self.tap, self.rate = tap, rate
        self.todoke = place.installation(zone={"d.example": {"MX": [[10, "mx.d.example"]]}, "mx.d.example": {"A": [IP]}}, test__time_percent="100")
        self.todoke.brand()
        self.todoke.people([f"hito{number}@d.example" for number in range(rate * (FIRST + 2 * SECOND + 60))])
        self.todoke.campaign("big")
        self.first = self.second = []

    def story(self):
        with Limited(self.rate) as receiver:
            self.todoke.serve()
            self.todoke.ok("campaign", "send", "big")
            until(lambda: receiver.taken, 60, "the first mail", 0.01)
            begun = receiver.taken[0]
            time.sleep(begun + FIRST - time.monotonic())
            receiver.rate = 2 * self.rate
            doubled = time.monotonic()
            time.sleep(SECOND)
            ended = time.monotonic()
            self.todoke.stop()
        self.first, self.second = by_steps(receiver.taken, begun, doubled), by_steps(receiver.taken, doubled, ended)
        refused = len(receiver.refused)
        steady = self.first[WITHIN // STEP:]
        self.tap.note(f"R {self.rate}: {self.words(self.first)}; R {2 * self.rate}: {self.words(self.second)}; 421: {refused}")
        self.tap.ok(all(LEAST * self.rate <= seen <= 1.02 * self.rate for seen in steady),
                    f"after {WITHIN} s the pace is between {LEAST} R and R, and stays (S76)", self.words(steady))
        self.tap.ok(all(LEAST * 2 * self.rate <= seen for seen in self.second[WITHIN // STEP:]),
                    f"{WITHIN} s after R doubled it has followed (S76)", self.words(self.second))
        self.tap.ok(refused * 20 < len(receiver.taken), "it asks for more seldom: less than one 421 for twenty mails", f"{refused} for {len(receiver.taken)}")

    @staticmethod
    def words(rates):
        return " ".join(f"{rate:.0f}" for rate in rates)

    def last_line(self):
        return f"faults: 421 above an unknown {self.rate}/s: {self.words(self.first)}/s by tens of seconds; then above {2 * self.rate}/s: {self.words(self.second)}/s"
