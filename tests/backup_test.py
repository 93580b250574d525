"""A backup of a running server, and stores made from it (X15): sealed, whole or refused, on either store from either; what was owed is held and
not sent again; what was there is replaced at once or not at all; kill -9 in the middle leaves no half file and no half store."""
import json
import os

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, TODOKE, Place, stores, until

MX, GONE = f"{NET}.76", f"{NET}.77"  # nobody listens at the second
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [MX]},
        "gone.example": {"MX": [[10, "mx.gone.example"]]}, "mx.gone.example": {"A": [GONE]}}


def changed(path, at, to):
    with open(path, "rb") as file:
        raw = bytearray(file.read())
    raw[at] ^= 0x40
    with open(to, "wb") as file:
        file.write(raw)
    return to


def said(tap, done, status, words, name):
    tap.ok(done.returncode == status and words in done.stderr + done.stdout, name, f"{done.returncode}: {done.stdout}{done.stderr}")


def files(tap, todoke, place, backup):
    """What is refused."""
    half = place.path("half")
    with open(backup, "rb") as file, open(half, "wb") as out:
        out.write(file.read()[:-20])
    size = os.path.getsize(backup)
    said(tap, todoke.run("restore", half, "--check"), 2, "cut off", "a file that was cut is refused")
    said(tap, todoke.run("restore", changed(backup, size // 2, half), "--check"), 2, "damaged or was changed", "one that was changed, too")
    said(tap, todoke.run("restore", changed(backup, 30, half), "--check"), 2, "damaged or was changed", "in its head, too")
    said(tap, todoke.run("restore", place.write("none", "nothing"), "--check"), 2, "no backup of todoke", "one that is none, too")
    other = place.installation("other")
    other.brand()
    said(tap, other.run("restore", backup, "--check"), 2, "sealed by key", "with another key file it cannot be read")
    said(tap, todoke.run("backup", place.path("x"), "--key-file", other.key), 2, "sealed by", "nor made by one that is not the store's")
    with open(backup, "rb") as file:
        tap.ok(b"good.example" not in file.read(), "nobody's address can be read in it (X15)")
    tap.ok(os.stat(backup).st_mode & 0o777 == 0o600, "it is its owner's alone")
    said(tap, todoke.run("backup", backup), 2, "--force", "a backup that is there is not replaced unasked")
    tap.equal(todoke.run("backup", place.path("x"), "--store", place.path("nowhere.db")).returncode, 2, "nor is a store made to be backed up")


def restored(tap, place, name, backup, key, counts, url):
    """A store of its own from it: the same, but that what was owed is held."""
    new = place.installation(name, zone=ZONE, store=url, test__time_percent="10")
    new.key = new.settings["key_file"] = key
    found = new.json("restore", backup)
    tap.ok(found["held"] == counts["deferred"] + counts["waiting"] + counts["on_wire"] and found["agrees"] and found["key_fits"],
           f"{name}: what was owed is held, and the books balance", str(found))
    receiver = Receiver(GONE, PORT)  # now somebody would take them
    new.serve()
    until(lambda: new.report("autumn")["counts"]["held"] == found["held"], 30, "the report knows that they are held")
    tap.equal((len(new.rows("queue", "list", "--state", "held")), len(receiver.mails)), (found["held"], 0), f"{name}: a server that starts on it sends nothing of it")
    said(tap, new.run("restore", backup, "--force"), 2, "serves it already" if not url else "is in use", f"{name}: a store in use is not replaced, --force or not")
    new.ok("queue", "release", "--older-than", "1s")
    until(lambda: len(receiver.mails) == found["held"], 30, "released mails arrive")
    tap.ok(new.audit()["agrees"], f"{name}: released, it is sent, and the books balance")
    receiver.server.shutdown()
    receiver.server.server_close()
    tap.equal(new.stop(), 0, f"{name}: it stops")
    said(tap, new.run("restore", backup), 2, "--force", f"{name}: a store that holds something is not replaced unasked")
    return new


def killed(place, todoke, words, watched):
    """Start it, kill -9 once `watched` is there (or it was quicker); how it ended."""
    process = place.start([TODOKE, *words], "killed.log", {"TODOKE_STORE": todoke.store, "TODOKE_KEY_FILE": todoke.key})
    until(lambda: os.path.exists(watched) or not process.runs(), 20, watched, every=0.001)
    process.popen.kill()
    return process.popen.wait()


def kills(tap, todoke, place, backup):
    """The store is closed; the people in it are many enough that both take a while."""
    target = place.path("killed.backup")
    before = todoke.sql("SELECT COUNT(*), MAX(id) FROM contact")
    status = killed(place, todoke, ("backup", target), target + ".part")
    tap.ok(status == 0 or not os.path.exists(target), "kill -9 in the middle of a backup leaves nothing under its name", str(status))
    todoke.ok("backup", target, *(["--force"] if status == 0 else []))
    tap.ok(not os.path.exists(target + ".part"), "the next one takes what it left away, and is made")
    status = killed(place, todoke, ("restore", backup, "--force"), todoke.store + ".restoring")
    tap.ok(status == 0 or todoke.sql("SELECT COUNT(*), MAX(id) FROM contact") == before, "kill -9 in the middle of a restore leaves the old store", str(status))
    found = todoke.json("restore", target, "--force")
    tap.ok(os.path.exists(found["kept_as"]) and not os.path.exists(todoke.store + ".restoring") and todoke.audit()["agrees"],
           "then it is restored, and the old one kept", str(found))
    tap.equal(todoke.sql("SELECT COUNT(*), MAX(id) FROM contact"), before, "with all people")


with Tap() as shown, Place("backup") as here:
    postgres = [url for name, url in stores("backup") if url]
    receiver = Receiver(MX, PORT)
    here.cleanups += [receiver.server.server_close, receiver.server.shutdown]
    first = here.installation("first", zone=ZONE, test__time_percent="10")
    first.brand()
    first.people([f"a{n}@good.example" for n in range(30)] + [f"b{n}@gone.example" for n in range(40)])
    first.people([f"c{n}@later.example" for n in range(3000)], "later")
    first.campaign("autumn")
    first.ok("suppress", "add", "c1@later.example")
    first.serve()
    first.ok("campaign", "send", "autumn")
    # of those whom nobody takes the breaker may have let one try, and keeps the others
    until(lambda: (lambda said: said["delivered"] == 30 and said["deferred"] and said["deferred"] + said["waiting"] == 40)(first.report("autumn")["counts"]), 60,
          "30 delivered, 40 not")
    copy = here.path("first.backup")
    made = first.json("backup", copy)
    shown.ok(made["sealed"] and made["agrees"] and made["rows"] > 3000, "a running server is backed up", str(made))
    owed = first.report("autumn")["counts"]
    shown.equal(first.stop(), 0, "the server knew nothing of it")
    shown.equal(json.loads(first.ok("restore", copy, "--check", "--json"))["rows"], made["rows"], "the file is sound")
    files(shown, first, here, copy)
    second = restored(shown, here, "sqlite", copy, first.key, owed, None)
    shown.equal(second.sql("SELECT COUNT(*) FROM suppression WHERE address = 'c1@later.example'")[0][0], 1, "who was excluded still is")
    if postgres:
        third = restored(shown, here, "postgres", copy, first.key, owed, postgres[0])
        back = here.path("third.backup")
        third.ok("backup", back, "--plain")
        fourth = here.installation("fourth")
        fourth.key = first.key
        found = fourth.json("restore", back)
        shown.ok(found["agrees"] and not found["sealed"] and found["held"] == 0, "a house moves from SQLite to PostgreSQL and back", str(found))
        shown.equal(fourth.sql("SELECT bucket, id, address, name, fields FROM contact ORDER BY id"),
                    first.sql("SELECT bucket, id, address, name, fields FROM contact ORDER BY id"), "with every person as he was")
        shown.ok(fourth.ok("restore", back, "--force").count("ATTENTION") >= 1, "what is not known is said aloud")
    kills(shown, first, here, copy)
