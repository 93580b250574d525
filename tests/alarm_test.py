"""S12, S13: 200 forged error mails for mail we never sent: an alarm within a minute, the operator is told by mail, no contact is touched.
What no rule can read is collected by likeness."""
import email
import email.policy
import json
import smtplib
import time
import urllib.error
import urllib.request

from dsn import dsn
from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until

MX = f"{NET}.45"


def api(todoke, method, path):
    request = urllib.request.Request(f"http://{todoke.http}/api/v1{path}", method=method, data=b"{}" if method == "POST" else None,
                                     headers={"Authorization": f"Bearer {todoke.secret}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def judge(address):
    """What nobody has ever heard, to everybody but ops@."""
    if not address.startswith("ops@"):
        return f"554 <{address}> the walrus of gate {len(address)} has sung (q{hash(address) % 10 ** 9:09d}xz)"
    return None


with Tap() as tap, Place("alarm") as place:
    receiver = Receiver(MX, PORT, judge)
    todoke = place.installation(zone={"ops.example": {"MX": [[10, "mx.ops.example"]]}, "odd.example": {"MX": [[10, "mx.ops.example"]]},
                                      "mx.ops.example": {"A": [MX]}}, alarm__mail_to="ops@ops.example")
    todoke.brand()
    todoke.people([f"u{n}@odd.example" for n in range(7)])
    todoke.serve()

    with smtplib.SMTP(todoke.mail_in, PORT, timeout=90) as connection:
        for n in range(150):
            address = f"u{n % 7}@odd.example"
            token = "b-" + "a" * 40 + "@bounce.shop.example"
            connection.sendmail("", [token if n % 2 else "postmaster@bounce.shop.example"],
                                dsn(address, host=f"mx{n}.attacker.example"))
    until(lambda: len(todoke.events("unverified")) == 150, 30, "150 are read")
    time.sleep(2)
    tap.equal(todoke.rows("alarm", "list"), [], "150 within an hour are below the threshold of 200")
    began = time.monotonic()
    with smtplib.SMTP(todoke.mail_in, PORT, timeout=90) as connection:
        for n in range(50):
            connection.sendmail("", ["postmaster@bounce.shop.example"], dsn("u1@odd.example", host="mx.attacker.example"))
    alarms = until(lambda: todoke.rows("alarm", "list"), 60, "an alarm")
    took = time.monotonic() - began
    tap.ok(took < 60, f"200 forged error mails raise the alarm within a minute ({took:.1f} s)")
    alarm = alarms[0]
    tap.ok(alarm["kind"] == "unverified_mail" and alarm["n"] >= 200 and alarm["detail"]["examples"], "it says how many, with examples", json.dumps(alarm))
    tap.ok(todoke.rows("suppress", "list") == [] and not todoke.events("excluded"), "no contact is touched (S12)")
    mail = until(lambda: receiver.to("ops@ops.example"), 30, "the mail to the operator")[0]
    text = mail.decode("ascii", "replace")
    read = email.message_from_bytes(mail, policy=email.policy.default)
    tap.ok(read["subject"].startswith("[Todoke] 送った覚えのないエラーメール") and "todoke alarm ack " + alarm["id"] in read.get_content(),
           "the operator is told by mail", f"{read['subject']}\n{read.get_content()}")
    tap.ok("DKIM-Signature:" in text and "Auto-Submitted: auto-generated" in text, "signed as the brand, and marked as automatic", text[:1500])
    time.sleep(3)
    tap.equal((len(receiver.mails), len(todoke.rows("alarm", "list"))), (1, 1), "one alarm, one mail, however long it goes on")
    tap.equal(todoke.run("alarm", "list", "--open").returncode, 1, "`alarm list --open` answers by its exit status")
    todoke.secret = todoke.ok("key", "add", "tests").strip().split()[-1]
    status, shown = api(todoke, "GET", "/alarms?state=open")
    tap.ok(status == 200 and [row["id"] for row in shown["items"]] == [alarm["id"]] and shown["items"][0]["title"]["ja"], "GET /alarms", f"{status} {shown}")
    status, home = api(todoke, "GET", "/home")
    tap.ok(status == 200 and home["todos"][0]["title"] == alarm["title"], "it is the first thing on the home page", json.dumps(home)[:800])
    tap.equal(api(todoke, "POST", "/alarms/12/ack")[0], 404, "POST /alarms/{id}/ack of none")
    todoke.ok("alarm", "ack", alarm["id"], "--by", "hanako")
    tap.equal((api(todoke, "POST", f"/alarms/{alarm['id']}/ack")[0], api(todoke, "GET", "/alarms?state=open")[1]["items"]), (204, []),
              "POST /alarms/{id}/ack a second time changes nothing")
    acked = todoke.rows("alarm", "list")[0]
    tap.ok(acked["acked_by"] == "hanako" and acked["acked"], "a person acknowledges it")
    tap.equal(todoke.run("alarm", "list", "--open").returncode, 0, "and it is not open any more")
    tap.equal(todoke.run("alarm", "ack", "12").returncode, 2, "an alarm that is not there is a mistake")

    todoke.campaign("odd")
    todoke.ok("campaign", "send", "odd")
    todoke.settled("odd", 7, 30)
    unread = until(lambda: todoke.rows("bounce", "unread"), 20, "unread words")
    tap.ok(len(unread) == 1 and unread[0]["n"] == 7, "seven refusals in words of their own are one unread text", json.dumps(unread))
    tap.equal(unread[0]["words"], "554 <<addr>> the walrus of gate <n> has sung (<id>)", "what differs is a placeholder")
    tap.ok("u" in unread[0]["sample"] and unread[0]["receiver"] == "odd.example" and unread[0]["first"] <= unread[0]["last"],
           "with a sample, the receiver, first and last", json.dumps(unread))
    status, shown = api(todoke, "GET", "/bounces/unread")
    tap.ok(status == 200 and shown["items"][0]["words"] == unread[0]["words"], "GET /bounces/unread", f"{status} {shown}")
