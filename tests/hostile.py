"""hostile - receivers that do everything wrong, and what they must not be able to do to others (F5).

    with Receivers(".9", ["silent", "reset mail", ...]) as bad:     # one address each, on port 2525 of NET
        bad.ip("silent"), bad.seen("silent").connections, .longest, .taken
        bad.heal()                                                  # from now on all of them are good receivers

A behaviour is a word or two: `silent` (never a banner), `slow` (one byte a second), `slow STAGE`, `reset STAGE`, `close STAGE`, `huge STAGE` (a
reply line of 8 MB), `garbage STAGE`, `tarpit STAGE` (a second before each line of a reply that never ends), `drop` (takes the mail after its dot,
then hangs up without a word). Stages: connect, ehlo, mail, rcpt, data, body, dot."""
import asyncio
import socket
import struct
import threading
import time

from kill import Record
from todoke import NET, PORT, until

EVERY = (["silent", "slow", "drop"]
         + [f"reset {stage}" for stage in ("connect", "ehlo", "mail", "rcpt", "data", "body", "dot")]
         + [f"close {stage}" for stage in ("ehlo", "mail", "data", "body")]
         + [f"huge {stage}" for stage in ("connect", "ehlo", "rcpt", "dot")]
         + [f"garbage {stage}" for stage in ("connect", "mail", "dot")]
         + ["slow rcpt", "slow dot", "tarpit connect", "tarpit mail", "tarpit dot"])
GOOD = {"connect": b"220 bad.example ESMTP\r\n", "ehlo": b"250-bad.example\r\n250 PIPELINING\r\n", "mail": b"250 2.1.0 ok\r\n",
        "rcpt": b"250 2.1.5 ok\r\n", "data": b"354 go on\r\n", "dot": b"250 2.0.0 taken\r\n"}


class Seen:
    def __init__(self):
        self.connections, self.longest, self.taken = 0, 0.0, []


class Over(Exception):
    """This connection ends."""


class Talk:
    """One connection."""

    def __init__(self, house, how, reader, writer):
        self.house, self.reader, self.writer, self.seen = house, reader, writer, house.all[how]
        words = (how if not house.is_good else "good").split()
        self.habit, self.stage = words[0], words[1] if len(words) > 1 else ""
        self.who = self.message_id = ""

    def reset(self):
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Over

    async def slowly(self, reply, pause):
        for byte in reply:
            self.writer.write(bytes([byte]))
            await self.writer.drain()
            await asyncio.sleep(pause)

    async def say(self, stage):
        """What it says at this stage; Over when it ends the connection instead."""
        reply, here = GOOD[stage], stage == self.stage or not self.stage
        if self.habit == "silent" or (self.habit == "drop" and stage == "dot"):
            if self.habit == "drop":
                raise Over
            await self.reader.read()
            raise Over
        if here and self.habit == "reset":
            self.reset()
        if here and self.habit == "close":
            raise Over
        if here and self.habit == "slow":
            return await self.slowly(reply, 1)
        if here and self.habit == "huge":
            self.writer.write(reply[:4] + b"x" * (8 << 20) + b"\r\n")
        elif here and self.habit == "garbage":
            self.writer.write(bytes(range(256)) * 4 + b"\r\n")
        elif here and self.habit == "tarpit":
            while True:
                self.writer.write(reply[:3] + b"-one moment\r\n")
                await self.writer.drain()
                await asyncio.sleep(1)
        else:
            self.writer.write(reply)
        await self.writer.drain()

    async def line(self):
        line = await self.reader.readline()
        if not line:
            raise Over
        return line

    async def data(self):
        await self.say("data")
        lines = 0
        while (line := await self.line()) != b".\r\n":
            lines += 1
            if line.lower().startswith(b"message-id:"):
                self.message_id = line[11:].strip().decode()
            if self.stage == "body" and lines == 3:
                self.reset() if self.habit == "reset" else None
                raise Over
        if self.habit in ("good", "drop") or self.stage != "dot":
            self.seen.taken.append((self.message_id, self.who))
        await self.say("dot")

    async def talk(self):
        await self.say("connect")
        while True:
            command = (await self.line()).upper()
            if command.startswith((b"EHLO", b"HELO")):
                await self.say("ehlo")
            elif command.startswith(b"MAIL"):
                await self.say("mail")
            elif command.startswith(b"RCPT"):
                self.who = command.split(b"<")[1].split(b">")[0].decode().lower()
                await self.say("rcpt")
            elif command.startswith(b"DATA"):
                await self.data()
            elif command.startswith(b"QUIT"):
                self.writer.write(b"221 bye\r\n")
                return
            else:
                self.writer.write(b"250 ok\r\n")


class Receivers:
    def __init__(self, behaviours=tuple(EVERY), first=100):
        self.all = {how: Seen() for how in behaviours}
        self.place = {how: first + number for number, how in enumerate(behaviours)}
        self.is_good, self.servers = False, []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(20)
        return self

    def __exit__(self, kind, error, trace):
        asyncio.run_coroutine_threadsafe(self.leave(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    async def leave(self):
        for server in self.servers:
            server.close()
        talks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    async def listen(self):
        for how in self.all:
            async def met(reader, writer, how=how):
                seen, start = self.all[how], time.monotonic()
                seen.connections += 1
                try:
                    await Talk(self, how, reader, writer).talk()
                except (Over, OSError, asyncio.LimitOverrunError, asyncio.CancelledError, ValueError):
                    pass
                seen.longest = max(seen.longest, time.monotonic() - start)
                writer.close()
            self.servers.append(await asyncio.start_server(met, self.ip(how), PORT, limit=1 << 20))

    def ip(self, how):
        return f"{NET}.{self.place[how]}"

    def domain(self, how):
        return f"{how.replace(' ', '-')}.example"

    def zone(self):
        made = {}
        for how in self.all:
            made[self.domain(how)] = {"MX": [[10, f"mx.{self.domain(how)}"]]}
            made[f"mx.{self.domain(how)}"] = {"A": [self.ip(how)]}
        return made

    def seen(self, how):
        return self.all[how]

    def heal(self):
        self.is_good = True


def measure(tap, place, people, with_hostile, number):
    """Seconds in which 16 sites' people get their mail, a fifth more of the sites being hostile, or good."""
    bad_sites = ["silent", "slow", "reset mail", "drop"]
    sites, shares = 16, 20
    with Receivers(bad_sites, first=100) as bad:
        zone = dict(bad.zone())
        for site in range(sites):
            zone[f"mx{site}.example"] = {"A": [f"{NET}.3"]}
            zone[f"d{site}.example"] = {"MX": [[10, f"mx{site}.example"]]}
        if not with_hostile:
            for how in bad_sites:
                zone[f"mx.{bad.domain(how)}"] = {"A": [f"{NET}.3"]}
        todoke = place.installation(f"m{number}", zone=zone, workers=2)
        record = Record(place.path(f"record{number}.tsv"))
        sink = place.sink(f"{NET}.3", "--record", record.path, "--delay", "100", "--threads", "1", log=f"sink{number}.log")
        todoke.brand()
        others = {f"p{i}@d{i % sites}.example" for i in range(people * sites // shares)}
        victims = [f"v{i}@{bad.domain(bad_sites[i % len(bad_sites)])}" for i in range(people - len(others))]
        todoke.people([*sorted(others), *victims])
        todoke.campaign("big")
        todoke.serve()
        todoke.ok("campaign", "send", "big")
        marks = {}

        def reached():
            done = sum(who in others for _, who in record.read())
            for share in (10, 90): # of the middle: neither the start nor the last stragglers
                if done >= len(others) * share // 100:
                    marks.setdefault(share, (time.monotonic(), done))
            return 90 in marks
        until(reached, 300, "the others' mail", 0.05)
        rate = (marks[90][1] - marks[10][1]) / (marks[90][0] - marks[10][0])
        todoke.stop()
        sink.end()
    return rate


def compare(tap, place, people=40000, rounds=3):
    """The rate of those whose receivers are good, beside a fifth of hostile ones and without; the closing line."""
    rates = {True: [], False: []}
    for number in range(rounds * 2):
        with_hostile = number % 2 == 1
        rates[with_hostile].append(measure(tap, place, people, with_hostile, number))
        tap.note(f"{'20 % hostile' if with_hostile else 'all good'}: the others' rate {rates[with_hostile][-1]:.0f}/s")
    plain, beside = (sorted(rates[which])[rounds // 2] for which in (False, True))
    lost = 100 * (1 - beside / plain)
    tap.ok(lost <= 5, "beside 20 % hostile receivers the others lose at most 5 % of their rate (F5)", f"{lost:.1f} %")
    return f"faults: 20 % hostile receivers, the others' rate {plain:.0f}/s -> {beside:.0f}/s ({-lost:+.1f} %, medians of {rounds})"
