"""A mail that somebody pastes is read where arriving mail is: in the jail (X13). What it means is what the command line says; a reader's death costs nobody an answer;
nothing in it reaches a record."""
import base64
import http.client
import json
import os
import re
import signal
import threading

from jail_test import readers, report
from tap import Tap
from todoke import Place, until


def ask(todoke, key, method, path, body=None, kind="application/json"):
    connection = http.client.HTTPConnection(todoke.http, timeout=60)
    connection.request(method, path, body, {"Authorization": "Bearer " + key, "Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text) if text.startswith("{") else text


def jail_read(todoke, key):
    return int(re.search(r"^todoke_jail_mails_total (\d+)", ask(todoke, key, "GET", "/metrics")[1], re.M).group(1))


def main():
    with Tap() as tap, Place("explain") as place:
        todoke = place.installation()
        todoke.brand()
        key = todoke.ok("key", "add", "program").strip()
        server = todoke.serve()
        explain = "/api/v1/bounces/explain"
        mail = report("ann@example.jp", "5.1.1", "550 5.1.1 <{}>: User unknown", "failed")
        coded = json.dumps({"message_b64": base64.b64encode(mail).decode()})

        before = jail_read(todoke, key)
        status, answer = ask(todoke, key, "POST", explain, coded)
        row = answer["items"][0]
        tap.ok(status == 200 and row["reason"] == "user_unknown" and row["recipient"] == "ann@example.jp", "a pasted mail is explained", str(answer))
        said = [json.loads(line) for line in todoke.ok("bounce", "explain", place.write("a.eml", mail), "--json").splitlines()][0]
        tap.equal({name: row[name] for name in ("kind", "reason", "recipient")},
                  {name: said[name] for name in ("kind", "reason", "recipient")}, "as the command line explains it")
        tap.equal(jail_read(todoke, key) - before, 1, "by a reader in the jail (X13)")
        tap.equal(ask(todoke, key, "POST", explain, mail, "message/rfc822")[1], answer, "as it is, too")
        tap.equal(ask(todoke, key, "POST", explain, json.dumps({"text": mail.decode()}))[1], answer, "and as text")
        tap.equal(jail_read(todoke, key) - before, 3, "each of them there")
        tap.equal(ask(todoke, key, "POST", explain, json.dumps({"text": "550 5.1.1 user unknown"}))[1]["items"][0]["reason"], "user_unknown", "one reply is read as the engine reads them")
        tap.equal(jail_read(todoke, key) - before, 3, "which needs no reader")

        for action, code, what in (("failed", "5.4.7", "returned"), ("delayed", "4.4.7", "late")):
            mail = report("ann@example.jp", code, "450 4.2.0 <{}>: Greylisted, try again in 5 minutes", action)
            here = ask(todoke, key, "POST", explain, mail, "message/rfc822")[1]["items"][0]
            said = json.loads(todoke.ok("bounce", "explain", place.write(f"{what}.eml", mail), "--json").splitlines()[0])
            said_of_reply = json.loads(todoke.ok("bounce", "reply", "450 4.2.0 <ann@example.jp>: Greylisted, try again in 5 minutes", "--json"))
            tap.equal((here["reason"], said["reason"], said_of_reply["reason"]), ("greylisted",) * 3, f"a {what} mail and a reply have one reason")
            tap.ok(here["remedy"] == said["remedy"] != said_of_reply["remedy"], f"what to do with a mail that is {what} is not what to do while we still try (S6)",
                   json.dumps([here["remedy"], said["remedy"]], ensure_ascii=False))

        nested = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (i, i) for i in range(8000))
        status, answer = ask(todoke, key, "POST", explain, nested, "message/rfc822")
        tap.ok(status == 200 and answer["items"][0]["kind"] == "none", "a mail nested without end is read within its bounds", str(answer)[:300])

        statuses, over = [], threading.Event()

        def paste():
            while not over.is_set():
                statuses.append(ask(todoke, key, "POST", explain, coded)[0])
        threads = [threading.Thread(target=paste) for _ in range(4)]
        for thread in threads:
            thread.start()
        killed = 0
        while killed < 5:
            count = len(statuses)
            for reader in readers(server.popen.pid)[:1]:
                os.kill(reader, signal.SIGKILL)
                killed += 1
            until(lambda count=count: len(statuses) > count + 4, 30, "answers go on")
        over.set()
        for thread in threads:
            thread.join()
        tap.equal(set(statuses), {200}, f"readers are killed {killed} times: each of {len(statuses)} is answered")
        tap.equal(todoke.sql("SELECT COUNT(*) FROM inbound") + todoke.sql("SELECT COUNT(*) FROM event"), [(0,), (0,)], "and nothing of it is in any record")
        tap.equal(todoke.stop(), 0, "the server ends well")


if __name__ == "__main__":
    main()
