"""A server started as root is root no longer once its ports are bound (X13): no id of it, no thread, no way back; what it makes belongs to its user. Hourly limits of a key go on
where they were when the server starts again."""
import http.client
import os
import pwd
import smtplib
import ssl

from jail_test import children, readers
from tap import Tap
from todoke import NET, PORT, Place, until

USER = "nobody"
HTTP, MAIL_IN, SUBMISSION = "127.0.0.1:825", f"{NET}.2:25", f"{NET}.3:587"


def ids_of(pid):
    """The user ids, group ids and capabilities of each thread."""
    found = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
            lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        found.add((lines["Uid"], lines["Gid"], lines["Groups"].strip(), lines["CapEff"], lines["CapPrm"], lines["NoNewPrivs"]))
    return found


def hand_in(secret, count):
    """How many recipients of `count` are taken."""
    host, port = SUBMISSION.split(":")
    with smtplib.SMTP(host, int(port), local_hostname="app.example", timeout=90) as smtp:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        smtp.starttls(context=context)
        smtp.login("program", secret)
        taken, said = 0, ""
        for number in range(count):
            try:
                smtp.sendmail("news@shop.example", [f"p{number}@nowhere.example"], "From: news@shop.example\r\nSubject: x\r\n\r\nx\r\n")
                taken += 1
            except smtplib.SMTPRecipientsRefused as error:
                said = str(error)
    return taken, said


def main():
    with Tap() as tap, Place("identity") as place:
        if os.geteuid() != 0:
            tap.skip("rights are given up", "needs root")
            return
        account = pwd.getpwnam(USER)
        os.chmod(place.dir, 0o755)
        own = place.path("own")
        os.mkdir(own)
        os.chown(own, account.pw_uid, account.pw_gid)
        todoke = place.installation(store=os.path.join(own, "todoke.db"))
        todoke.key = os.path.join(own, "todoke.key")
        todoke.http, todoke.settings["http.listen"] = HTTP, HTTP
        todoke.settings.update({"key_file": todoke.key, "mail_in.listen": MAIL_IN, "submission.listen": SUBMISSION, "user": USER})
        todoke.brand()
        secret = todoke.ok("key", "add", "program", "--per-hour", "5").strip()
        for name in os.listdir(own):
            os.chown(os.path.join(own, name), account.pw_uid, account.pw_gid)

        server = todoke.serve()
        ids = ids_of(server.popen.pid)
        jailed = children(server.popen.pid) + readers(server.popen.pid)
        tap.ok(len(jailed) >= 2 and all(uid.split()[0] != "0" for pid in jailed for uid, *_ in ids_of(pid)), "nor is any process of its jail root", str([ids_of(pid) for pid in jailed]))
        tap.equal([(uid, gid, effective, permitted, new) for uid, gid, _, effective, permitted, new in ids],
                  [("\t".join([str(account.pw_uid)] * 4), "\t".join([str(account.pw_gid)] * 4), "0" * 16, "0" * 16, "1")], f"every thread is {USER}, with no capability and no new privileges")
        tap.ok("0" not in next(iter(ids))[2].split(), "in none of root's groups", str(ids))
        tap.ok("running as nobody" in server.said(), "and the log says so")
        connection = http.client.HTTPConnection(HTTP, timeout=90)
        connection.request("GET", "/health/ready")
        tap.equal(connection.getresponse().status, 200, "HTTP answers on a port below 1024")
        connection.close()
        with smtplib.SMTP(*MAIL_IN.split(":"), timeout=90) as smtp:
            tap.equal(smtp.ehlo("mx.example")[0], 250, "error mail comes in on port 25")
        owners = {os.stat(os.path.join(own, name)).st_uid for name in os.listdir(own)}
        tap.equal(owners, {account.pw_uid}, "its files are its user's")
        tap.equal(hand_in(secret, 4)[0], 4, "it works: programs hand in mail on port 587")
        tap.equal(todoke.stop(), 0, "it ends well, and its jail with it")

        server = todoke.serve()
        taken, said = hand_in(secret, 3)
        tap.ok(taken == 1 and "again from" in said, "a key's hour goes on after a restart: 5 an hour, 4 were used", f"{taken} {said}")
        tap.equal(todoke.stop(), 0, "and again")

        os.chown(todoke.key, 0, 0)
        server = todoke.spawn()
        until(lambda: not server.runs(), 20, "its end")
        tap.ok(server.popen.returncode != 0 and "key file" in server.said().splitlines()[-1], "a key file of root's is not readable for it, and it says so", server.said()[-400:])
        todoke.settings["user"] = "no-such-user"
        server = todoke.spawn()
        until(lambda: not server.runs(), 20, "its end")
        tap.ok(server.popen.returncode == 2 and 'there is no user "no-such-user"' in server.said(), "a user that there is not is told", server.said()[-400:])


main()
