"""A session that hands in one mail after another until the server is gone, for the stories of kills and stops."""
import threading

from submission import Talk

BODY = "\r\n".join(["hello " * 10] * 30)


class Session(threading.Thread):
    """Hands in one mail after another until the server is gone. accepted: those that were answered 250; open: the one that had no answer."""

    def __init__(self, at, name):
        super().__init__(daemon=True)
        self.at, self.prefix, self.accepted, self.open, self.refused = at, name, [], None, []

    def run(self):
        number = 0
        try:
            with Talk(self.at) as talk:
                talk.say("EHLO me")
                while True:
                    number += 1
                    who = f"{self.prefix}n{number}@sink.example"
                    talk.socket.sendall(f"MAIL FROM:<me@shop.example>\r\nRCPT TO:<{who}>\r\nDATA\r\n".encode())
                    for _ in range(3):
                        if talk.reply()[:1] not in ("2", "3"):
                            return
                    self.open = who
                    said = talk.say(f"From: Shop <news@shop.example>\r\nSubject: {who}\r\n\r\n{BODY}\r\n.")
                    if said.startswith("250"):
                        self.accepted.append(who)
                    elif said:
                        self.refused.append(said)
                        self.open = None
                        return
                    else:
                        return
                    self.open = None
        except OSError:
            pass
