"""receiver - a small SMTP receiver that keeps every mail whole, for tests that look at what reached the other side."""
import socket
import socketserver
import threading
import time


class Receiver:
    """receiver.mails: (mail_from, rcpt_to, bytes), in the order they were taken; receiver.peers: whose address each came from; receiver.greetings: what
    EHLO said. judge(address): the reply that refuses it, or None."""

    def __init__(self, ip, port, judge=lambda address: None, greeting="220 receiver.test ESMTP"):
        self.mails, self.peers, self.greetings, self.lock, self.judge = [], [], [], threading.Lock(), judge
        self.visits = 0
        self.pause = 0 # s before each final dot is answered
        self.drops = set() # addresses whose next mail is taken, and then the connection is closed instead of the answer
        keep = self

        class Conversation(socketserver.StreamRequestHandler):
            def say(self, line):
                self.wfile.write(line.encode() + b"\r\n")

            def handle(self):
                try:
                    self.converse()
                except OSError: # a client that was killed
                    pass

            def converse(self):
                keep.visits += 1
                time.sleep(0 if greeting.startswith("2") else 0.3) # the mail is ready by then
                self.say(greeting)
                sender, recipients = "", []
                while line := self.rfile.readline():
                    verb, words = line.strip().upper()[:4], line.strip().decode("utf-8", "replace")
                    if verb == b"EHLO":
                        keep.greetings.append(words.split(" ", 1)[-1])
                        self.wfile.write(b"250-receiver.test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 50000000\r\n")
                    elif verb == b"MAIL":
                        sender, recipients = words.split("<", 1)[1].split(">")[0], []
                        self.say("250 2.1.0 ok")
                    elif verb == b"RCPT":
                        address = words.split("<", 1)[1].split(">")[0]
                        refusal = keep.judge(address)
                        recipients += [] if refusal else [address]
                        self.say(refusal or "250 2.1.5 ok")
                    elif verb == b"DATA":
                        self.say("354 go on")
                        lines = []
                        while (line := self.rfile.readline()) and line != b".\r\n":
                            lines.append(line[1:] if line.startswith(b".") else line)
                        if not line: # gone before the final dot: no mail
                            return
                        with keep.lock:
                            for recipient in recipients:
                                keep.mails.append((sender, recipient, b"".join(lines)))
                                keep.peers.append(self.client_address[0])
                        time.sleep(keep.pause)
                        if keep.drops.intersection(recipients):
                            keep.drops.difference_update(recipients)
                            return
                        self.say("250 2.0.0 taken")
                    elif verb == b"QUIT":
                        self.say("221 2.0.0 bye")
                        return
                    else:
                        self.say("250 2.0.0 ok")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads = True, True
            request_queue_size = 128 # a full one drops connections, which then take longer than their time
            address_family = socket.AF_INET6 if ":" in ip else socket.AF_INET

        self.server = Server((ip, port), Conversation)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def to(self, address):
        with self.lock:
            return [mail for _, recipient, mail in self.mails if recipient == address]

    def end(self):
        self.server.shutdown()
        self.server.server_close()
