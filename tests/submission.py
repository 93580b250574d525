"""submission - what the stories about mail handed in by SMTP share: an installation with the door open, and conversations by hand."""
import socket
import ssl

from todoke import NET, PORT

DOOR, RECEIVER, SINK = f"{NET}.3", f"{NET}.10", f"{NET}.11"
STARTTLS, TLS, TRUSTED = 5587, 5465, f"{NET}.9" # who connects from TRUSTED need not sign in
ZONE = {"recv.example": {"MX": [[10, "mx.recv.example"]]}, "mx.recv.example": {"A": [RECEIVER]},
        "sink.example": {"MX": [[10, "mx.sink.example"]]}, "mx.sink.example": {"A": [SINK]},
        "shop.example": {"MX": [[10, "mx.recv.example"]]}}


def door(place, **settings):
    """An installation that takes mail; its brand is made. Not serving yet."""
    todoke = place.installation(zone=ZONE, submission__listen=f"{DOOR}:{STARTTLS}", submission__tls_listen=f"{DOOR}:{TLS}",
                                submission__trusted=f"{TRUSTED}/32", **settings)
    todoke.brand()
    return todoke


def key(todoke, name, *options):
    return todoke.json("key", "add", name, "--scope", "submit", *options)["secret"]


class Talk:
    """One conversation, line by line."""

    def __init__(self, at=(DOOR, STARTTLS), source=None, greet=True):
        self.socket = socket.create_connection(at, timeout=90, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""
        self.greeting = self.reply() if greet else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def line(self):
        while b"\r\n" not in self.held:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("closed")
            self.held += more
        line, self.held = self.held.split(b"\r\n", 1)
        return line.decode("utf-8", "replace")

    def reply(self):
        """The next reply; its lines joined by newlines; "" when it is over."""
        lines = []
        try:
            while True:
                lines.append(self.line())
                if lines[-1][3:4] != "-":
                    return "\n".join(lines)
        except (EOFError, ConnectionError, ssl.SSLError):
            return "\n".join(lines)

    def say(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode() + b"\r\n")
        return self.reply()

    def starttls(self):
        said = self.say("STARTTLS")
        context = ssl._create_unverified_context() # pylint: disable=protected-access
        self.socket = context.wrap_socket(self.socket)
        return said

    def rest(self):
        """Every reply until the other side closes, or says nothing more for a second."""
        replies = []
        try:
            while said := self.reply():
                replies.append(said)
                self.socket.settimeout(1)
        except (TimeoutError, OSError):
            pass
        return replies
