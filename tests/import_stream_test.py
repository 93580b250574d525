"""A file of people larger than all of the server's memory: it is streamed to the disk and read there, so that its size costs no memory (issue 5,
"bulk import and export as streams"), and likewise a file of addresses to exclude; bad rows are told as ever; killed in the middle, the same file sent again goes on where it stopped (U19)."""
import http.client
import json
import threading

from contract import Api
from tap import Tap
from todoke import Place, until

ROWS, FEW, NOTE, GROWTH_MB = 24000, 6000, 5000, 100 # 120 MB; what it may cost: SQLite's page cache (64 MB), two batches
STOPS, STOPS_GROWTH_MB = 12000, 30 # 60 MB


def body(rows):
    """One piece for 100 rows: this test must not hold them either. Every thousandth is nobody."""
    yield b"email,note\r\n"
    for start in range(0, rows, 100):
        yield b"".join(b"%s,%s\r\n" % (b"nobody" if row % 1000 == 999 else b"p%d@good.example" % row, b"x" * (NOTE - row % 7)) for row in range(start, start + 100))


def excluded(rows):
    """The same for addresses to exclude."""
    yield b"note,email\r\n"
    for start in range(0, rows, 100):
        yield b"".join(b"%s,%s\r\n" % (b"x" * NOTE, b"nobody" if row % 1000 == 999 else b"stop%d@good.example" % row) for row in range(start, start + 100))


def anonymous_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("RssAnon")).split()[1]) / 1024


def is_sanitized(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        return "libasan" in maps.read()


class Upload(threading.Thread):
    def __init__(self, api, place, made=body, rows=0):
        super().__init__(daemon=True)
        self.api, self.place, self.made, self.rows, self.said, self.broken = api, place, made, rows, [], None
        self.length = sum(len(piece) for piece in made(rows))

    def run(self):
        try:
            connection = http.client.HTTPConnection(self.api.where, timeout=120)
            connection.request("POST", "/api/v1" + self.place, body=self.made(self.rows), headers={"Authorization": f"Bearer {self.api.secret}", "Content-Length": str(self.length)})
            answer = connection.getresponse()
            for line in answer:
                self.said.append(json.loads(line))
        except (OSError, http.client.HTTPException, ValueError) as broken:
            self.broken = broken


def peak_mb(pid, upload):
    """The server's own memory while this comes in: before, and at most."""
    before = peak = anonymous_mb(pid)
    upload.start()
    while upload.is_alive():
        peak = max(peak, anonymous_mb(pid))
        upload.join(0.02)
    return before, peak


with Tap() as tap, Place("import_stream") as place:
    todoke = place.installation()
    todoke.brand()
    todoke.serve()
    api = Api(todoke.http, todoke.ok("key", "add", "test").strip())
    pid = todoke.server.popen.pid
    api.ask("GET", "/contacts")
    upload = Upload(api, "/contacts/import?list=big", rows=ROWS)
    before, peak = peak_mb(pid, upload)
    last = upload.said[-1] if upload.said else {}
    tap.equal((last.get("done"), last.get("total"), last.get("new"), last.get("rejected")), (True, ROWS, ROWS - ROWS // 1000, ROWS // 1000), "120 MB of people come in", )
    tap.equal([row["line"] for row in last.get("rejects", [])], [1001, 2001, 3001, 4001, 5001], "bad rows are told with their lines")
    grown = peak - before
    tap.note(f"{upload.length >> 20} MB of file; the server's own memory grew by {grown:.0f} MB at most")
    if is_sanitized(pid):
        tap.ok(True, "under a sanitizer memory says nothing")
    else:
        tap.ok(grown < GROWTH_MB, f"the server's own memory grew by less than {GROWTH_MB} MB", f"{before:.0f} -> {peak:.0f}")
    upload = Upload(api, "/suppressions/import", excluded, STOPS)
    before, peak = peak_mb(pid, upload)
    tap.equal([(row["rows"], row["new"], row["rejected"], row["rejects"][0]["line"]) for row in upload.said], [(STOPS, STOPS - STOPS // 1000, STOPS // 1000, 1001)], "60 MB of addresses to exclude, too")
    tap.note(f"{upload.length >> 20} MB of file; the server's own memory grew by {peak - before:.0f} MB at most")
    tap.ok(is_sanitized(pid) or peak - before < STOPS_GROWTH_MB, f"the server's own memory grew by less than {STOPS_GROWTH_MB} MB", f"{before:.0f} -> {peak:.0f}")
    for attempt in range(8): # a fast machine is done before we are: then another list
        again = f"again{attempt}"
        upload = Upload(api, "/contacts/import?list=" + again, rows=FEW)
        upload.start()
        until(lambda: len(todoke.sql("SELECT 1 FROM import_run WHERE rows_done > 0")) == attempt + 2, 60, "some of it is in", every=0.005)
        todoke.kill()
        upload.join(90)
        state, done = todoke.sql("SELECT state, rows_done FROM import_run ORDER BY id DESC LIMIT 1")[0]
        if state == "running":
            break
        todoke.serve()
        api = Api(todoke.http, api.secret)
    tap.ok(state == "running" and 0 < done < FEW, "killed in the middle", f"{state} {done}")
    todoke.serve()
    api = Api(todoke.http, api.secret)
    upload = Upload(api, "/contacts/import?list=" + again, rows=FEW)
    upload.start()
    upload.join(120)
    last = upload.said[-1] if upload.said else {}
    tap.equal((last.get("done"), last.get("rows")), (True, FEW), "the same file sent again is done")
    runs = todoke.sql("SELECT r.rows_done, r.rows_taken, r.rows_rejected, r.state, (SELECT COUNT(*) FROM list_member m WHERE m.list_id = r.list_id) FROM import_run r JOIN list l ON l.id = r.list_id WHERE l.name = ?", again)
    tap.equal(runs, [(FEW, FEW - FEW // 1000, FEW // 1000, "done", FEW - FEW // 1000)], "by the same run, which went on: nobody is missing, nobody twice")
    tap.equal(todoke.stop(), 0, "the server ends well")
