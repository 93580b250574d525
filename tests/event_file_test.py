"""All events as JSON lines in a file that rotates (setting events.file): each once, whenever the server is killed; moved away by others; a full
disk is said and waited for (issue 5: webhooks "also to a rotating file as JSON lines")."""
import glob
import http.client
import json
import os
import re
import signal
import threading

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until

GOOD = f"{NET}.78"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [GOOD]}}


def lines_of(paths):
    """ids of the events in these files, in order; a line that is not whole JSON is an error."""
    found = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            found += [json.loads(line) for line in file]
    return found


def files_of(path):
    return sorted(glob.glob(f"{path}*"), key=lambda name: -int(name.rsplit(".", 1)[1]) if name[-1].isdigit() else 1)


def ids_of(todoke, after):
    return sorted(str(row[0]) for row in todoke.sql(f"SELECT id FROM event WHERE id > {after}"))


def newest(todoke):
    return todoke.sql("SELECT MAX(id) FROM event")[0][0] or 0


def everything_once(tap, todoke, path, after, what):
    want = ids_of(todoke, after)

    def is_there():
        try:
            return sorted(event["id"] for event in lines_of(files_of(path))) == want
        except (ValueError, OSError): # a line under way, a file just renamed
            return False
    try:
        until(is_there, 30, what)
    except Exception: # noqa: BLE001 - said below
        pass
    there = sorted(event["id"] for event in lines_of(files_of(path)))
    tap.ok(there == want, f"{what}: all {len(want)} events are in the files, each once",
           f"{len(there)} lines, {len(set(there))} events of {len(want)}; missing {sorted(set(want) - set(there))[:3]}")


def click(where, paths, enough, answered):
    """Until the server goes, or `enough` is set."""
    while not enough.is_set():
        for path in paths:
            try:
                connection = http.client.HTTPConnection(where, timeout=90)
                connection.request("GET", path, headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0"})
                if connection.getresponse().status == 302:
                    answered.append(path)
                connection.close()
            except (OSError, http.client.HTTPException):
                return


def clicks(todoke, paths, count, ends):
    """`count` clicks by four people at once; then ends()."""
    enough, answered = threading.Event(), []
    threads = [threading.Thread(target=click, args=(todoke.http, paths[i::4], enough, answered)) for i in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) >= count, 60, "clicks", every=0.01)
    ends()
    enough.set()
    for thread in threads:
        thread.join()


def ready(where):
    connection = http.client.HTTPConnection(where, timeout=90)
    connection.request("GET", "/health/ready")
    said = json.loads(connection.getresponse().read())
    connection.close()
    return said["status"], said["warnings"]


def open_alarms(todoke):
    return [row[0] for row in todoke.sql("SELECT about FROM alarm WHERE kind = 'event_file' AND ended_ms = 0")]


def story(tap, store):
    with Place("event_file") as place:
        todoke = place.installation(zone=ZONE, store=store)
        receiver = Receiver(GOOD, PORT)
        todoke.brand()
        todoke.people([f"p{n}@good.example" for n in range(12)])
        page = place.write("page.html", "".join(f'<p><a href="https://shop.example/{n}">{n}</a>' for n in range(4)))
        todoke.ok("campaign", "create", "sale", "--brand", "Hanamaru", "--list", "all", "--subject", "sale", "--html", page, "--count", "clicks")
        path = place.path("log", "events.jsonl")
        wrong = todoke.run("serve", "--set", f"events.file={path}", "--set", "http.listen=127.0.0.1:0", "--set", "mail_in.listen=127.0.0.1:0", "--set", "network.mode=loopback")
        tap.ok(wrong.returncode and path in wrong.stderr, "a folder that is not there is told at the start", wrong.stderr)
        os.makedirs(os.path.dirname(path))
        after = newest(todoke)
        todoke.serve(events__file="/dev/full")
        todoke.ok("campaign", "send", "sale")
        until(lambda: len(receiver.mails) == 12, 30, "12 mails")
        links = [re.sub(r"^https://[^/]+", "", link) for _, _, raw in receiver.mails
                 for link in re.findall(r"https://shop\.example/c/[a-z2-7]+", raw.replace(b"=\r\n", b"").decode("utf-8", "replace"))]
        clicks(todoke, links, 20, lambda: None)
        said = todoke.server.wait_for(r"No space left on device; events wait", 20) or todoke.server.said()
        tap.ok(said, "a full disk is said, and the links work all the same")
        until(lambda: open_alarms(todoke), 20, "an alarm")
        tap.equal(open_alarms(todoke), ["events.file"], "and there is an alarm about it")
        tap.equal(ready(todoke.http), ("ok", ["events.file cannot be written; its events wait in the store"]), "/health/ready warns of it")
        todoke.stop()
        size = {"events__file": path, "events__file_size": 20000, "events__file_keep": 900}
        todoke.serve(**size)
        everything_once(tap, todoke, path, after, "what waited")
        tap.equal(ready(todoke.http), ("ok", []), "nothing to warn of")
        until(lambda: not open_alarms(todoke), 20, "the alarm ends")
        for _ in range(5):
            clicks(todoke, links, 150, todoke.kill)
            todoke.serve(**size)
        everything_once(tap, todoke, path, after, "after kill -9 in the middle, again and again")
        tap.ok(len(files_of(path)) > 3, "it made room for new ones", str(files_of(path)))
        event = lines_of(files_of(path))[-1]
        tap.equal([event["kind"], event["brand_id"] is not None, event["address"][-13:]], ["clicked", True, "@good.example"], "a line is an event as the API gives it")
        os.rename(path, f"{path}-moved.0")
        clicks(todoke, links, 20, lambda: None)
        os.kill(todoke.server.popen.pid, signal.SIGHUP)
        until(lambda: os.path.exists(path), 20, "the file is opened anew")
        clicks(todoke, links, 20, lambda: None)
        everything_once(tap, todoke, path, after, "moved by others, then SIGHUP")
        receiver.end()
        tap.equal(todoke.stop(), 0, "the server ends well")
        tap.equal(oct(os.stat(path).st_mode & 0o027), "0o0", "others may not write or read it")


with Tap() as tap: # PostgreSQL: src/hook/event_file_test.c
    story(tap, None)
