"""kill -9 while programs send over HTTP: every message that was answered 202 is there afterwards and is delivered once, save those whose
outcome the kill took away (in doubt: at most one more time for each connection that was open); a repeated Idempotency-Key sends nothing
twice, whatever the kill did to the first answer (F1, U24)."""
import collections
import http.client
import json
import os
import random
import threading
import time

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until

KILLS = int(os.environ.get("TODOKE_KILLS", "5"))
GOOD = f"{NET}.83"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [GOOD]}}


class Sender(threading.Thread):
    """Posts until the server is gone; then the last one again, with its key, when it is back."""

    def __init__(self, where, secret, name):
        super().__init__(daemon=True)
        self.where, self.secret, self.prefix = where, secret, name
        self.answered, self.open, self.number = {}, None, 0

    def post(self, connection, key):
        connection.request("POST", "/api/v1/messages", json.dumps({"to": f"{key}@good.example", "subject": key, "text": key}),
                           {"Authorization": "Bearer " + self.secret, "Idempotency-Key": key})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status == 202:
            self.answered[key] = json.loads(said)["id"]
        return answer.status

    def run(self):
        connection = http.client.HTTPConnection(self.where, timeout=90)
        try:
            while True:
                self.number += 1
                self.open = f"{self.prefix}-{self.number}"
                self.post(connection, self.open)
                self.open = None
        except (OSError, http.client.HTTPException):
            connection.close()


with Tap() as tap, Place("messages-kill") as place:
    rng = random.Random(20261122)
    todoke = place.installation(zone=ZONE, in_doubt__wait="3s")
    receiver = Receiver(GOOD, PORT)
    todoke.brand()
    secret = todoke.ok("key", "add", "test").strip()
    answered, doubtful, repeated = {}, 0, 0
    for kill in range(KILLS):
        todoke.serve()
        senders = [Sender(todoke.http, secret, f"k{kill}s{number}") for number in range(20)]
        for sender in senders:
            sender.start()
        moment = rng.randrange(60, 400)
        until(lambda: sum(len(sender.answered) for sender in senders) >= moment, 60, f"{moment} messages", 0.005)
        doubtful += todoke.kill()
        for sender in senders:
            sender.join(90)
        todoke.serve()
        for sender in senders: # who got no answer asks again
            if sender.open:
                repeated += 1
                if sender.post(http.client.HTTPConnection(todoke.http, timeout=90), sender.open) != 202:
                    tap.ok(False, f"the repeated request {sender.open} is answered 202")
            answered.update(sender.answered)
        todoke.stop()
    todoke.serve()
    tap.ok(len(answered) > KILLS * 50 and repeated >= KILLS, f"{len(answered)} messages were answered 202 across {KILLS} kills, {repeated} of them at the second try")
    connection = http.client.HTTPConnection(todoke.http, timeout=90)
    missing = []
    for key, message in answered.items():
        connection.request("GET", f"/api/v1/messages/{message}", headers={"Authorization": "Bearer " + secret})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            missing.append(key)
    tap.equal(missing, [], "every one of them is there")
    until(lambda: todoke.sql("SELECT COUNT(*) FROM delivery WHERE state <= 4")[0][0] == 0, 120, "all deliveries")
    with receiver.lock:
        got = collections.Counter(to.split("@")[0] for _, to, _ in receiver.mails)
    tap.equal([key for key in answered if not got[key]], [], "and every one is delivered")
    extra = {key: count - 1 for key, count in got.items() if count > 1}
    tap.ok(sum(extra.values()) <= doubtful, f"twice only what was in doubt: {sum(extra.values())}, of {doubtful} connections open at the kills", str(extra))
    rows = todoke.sql("SELECT address, COUNT(*) FROM delivery GROUP BY address HAVING COUNT(*) > 1")
    tap.equal(rows, [], "no repeated request made a second delivery")
    books = todoke.audit(30)
    tap.ok(books["agrees"], "the books agree", str(books))
    receiver.end()
    tap.equal(todoke.stop(), 0, "the server ends well")
