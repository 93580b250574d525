"""catcher - a small SMTP receiver for tests that keeps every mail it was given, octet for octet.

    with Catcher("127.66.1.10", 2525) as catcher:
        ...
        catcher.mails        # [{"from": ..., "to": [...], "data": bytes (dots undone), "ehlo": ..., "at": monotonic seconds}]

Strict in what matters to the tests: a mail ends at CRLF.CRLF and nowhere else; what follows is the next command. A bare CR
or LF in what came is kept and counted (`bare`). `refuse` maps a recipient to the reply he gets."""
import asyncio
import re
import threading
import time


class Catcher:
    def __init__(self, ip, port, offers=("PIPELINING", "8BITMIME", "SMTPUTF8"), refuse=None):
        self.ip, self.port, self.offers, self.refuse = ip, port, offers, refuse or {}
        self.mails, self.bare = [], 0

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self.visit, self.ip, self.port, limit=1 << 26))
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        async def end():
            self.server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
            self.loop.stop()
        asyncio.run_coroutine_threadsafe(end(), self.loop)
        self.thread.join(5)

    async def visit(self, reader, writer):
        mail, ehlo = None, ""
        try:
            writer.write(b"220 catcher ESMTP\r\n")
            while True:
                line = await reader.readuntil(b"\r\n")
                words = line.decode("utf-8", "replace").strip()
                verb = words.split(" ")[0].upper()
                if verb == "EHLO":
                    ehlo = words[5:]
                    lines = ["catcher", *self.offers]
                    for number, offer in enumerate(lines):
                        writer.write(f"250{'-' if number + 1 < len(lines) else ' '}{offer}\r\n".encode())
                elif verb == "MAIL":
                    mail = {"from": re.search(r"<(.*?)>", words).group(1), "to": [], "ehlo": ehlo, "line": words}
                    writer.write(b"250 2.1.0 ok\r\n")
                elif verb == "RCPT":
                    to = re.search(r"<(.*)>", words).group(1)
                    if to in self.refuse:
                        writer.write(self.refuse[to].encode() + b"\r\n")
                    else:
                        mail["to"].append(to)
                        writer.write(b"250 2.1.5 ok\r\n")
                elif verb == "DATA":
                    if not mail or not mail["to"]:
                        writer.write(b"554 5.5.1 nobody\r\n")
                        continue
                    writer.write(b"354 go\r\n")
                    await writer.drain()
                    data = b""
                    while not (data == b".\r\n" or data.endswith(b"\r\n.\r\n")):
                        data += await reader.readuntil(b"\r\n")
                    data = re.sub(rb"(?m)^\.", b"", data[:-3].replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n") \
                        if b"\n" in data else b""
                    mail["data"], mail["at"] = data, time.monotonic()
                    self.mails.append(mail)
                    mail = None
                    writer.write(b"250 2.0.0 caught\r\n")
                elif verb == "QUIT":
                    writer.write(b"221 2.0.0 bye\r\n")
                    await writer.drain()
                    break
                else:
                    mail = None if verb == "RSET" else mail
                    writer.write(b"250 2.0.0 ok\r\n")
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()
