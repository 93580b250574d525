"""Bad input: each one clear line that names the place and the cure, exit status 2 (or 3 for the world), and nothing half done (U19, CLI.md).

One row a thought: what, how it is called, the status, words that the line must hold. Every row is asked the same: one line
on stderr that begins with "todoke", no stack, no second try; and what the store held before, it holds after."""
import os
import shutil
import socket
import sqlite3
import subprocess

from tap import Tap
from todoke import NET, PORT, TODOKE, Place

GOOD = "メールアドレス,お名前\r\nhanako@docomo.example,花子\r\ntaro@ezweb.example,太郎\r\n"

CSV = [ # what, the file's bytes, more arguments, words of the line
    ("a quote that is never closed", GOOD.encode() + b'"jiro@docomo.example,jiro\r\n' * 3, [], ["line 4", "quote"]),
    ("text behind a closing quote", GOOD.encode() + b'"jiro@docomo.example"x,jiro\r\n', [], ["line 4", "quote"]),
    ("no column for the address", "番号,お名前\r\n1,花子\r\n2,太郎\r\n".encode(), [], ["line 1", "column"]),
    ("a column that is not there", GOOD.encode(), ["--email-column", "mail"], ["line 1", "mail"]),
    ("UTF-8 read as Shift_JIS", GOOD.encode(), ["--encoding", "cp932"], ["line", "utf-8"]),
    ("Shift_JIS read as UTF-8", GOOD.encode("cp932"), ["--encoding", "utf-8"], ["line", "cp932"]),
    ("an encoding that does not exist", GOOD.encode(), ["--encoding", "klingon"], ["klingon"]),
    ("an Excel workbook", b"PK\x03\x04" + bytes(range(256)) * 40, [], ["CSV"]),
    ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, [], ["CSV"]),
    ("an empty file", b"", [], ["empty"]),
    ("a header and nobody below it", "メールアドレス,お名前\r\n".encode(), [], ["nobody"]),
    ("people without column names", b"hanako@docomo.example,Hanako\r\ntaro@ezweb.example,Taro\r\n", [], ["line 1", "column"]),
]

SETTINGS = [ # what, arguments of serve, words of the line
    ("a setting that does not exist", ["--set", "htp.listen=127.0.0.1:1"], ["htp.listen", "http.listen"]),
    ("a value that is no number", ["--set", "workers=many"], ["workers", "many", "number"]),
    ("a duration without unit", ["--set", "in_doubt.wait=90"], ["in_doubt.wait", "90m"]),
    ("a word that is no choice", ["--set", "log.level=loud"], ["log.level", "debug|info|warn|error"]),
    ("an address that is none", ["--set", "http.listen=console"], ["http.listen", "console"]),
    ("--set without a value", ["--set", "workers"], ["KEY=VALUE"]),
    ("an option that does not exist", ["--sett", "workers=1"], ["--sett", "--help"]),
    ("a configuration file that is not there", ["--config", "nowhere.yaml"], ["nowhere.yaml"]),
    ("a zone file that is not there", ["--set", "dns.zone=nowhere.json"], ["nowhere.json"]),
]

YAML = [ # what, the file, words of the line
    ("a key that does not exist", "store: a.db\nhttp:\n  listten: 127.0.0.1:1\n", ["bad.yaml line 3", "http.listten", "http.listen"]),
    ("a value of the wrong kind", "workers: 2\nin_doubt:\n  wait: soon\n", ["bad.yaml line 3", "soon"]),
    ("broken YAML", "store: a.db\n  http: [1, 2\n", ["bad.yaml line 2"]),
    ("a list where one value is wanted", "workers:\n  - 1\n  - 2\n", ["bad.yaml line", "workers"]),
    ("a document that is no map", "- store\n- http\n", ["bad.yaml line 1"]),
]

COMMANDS = [ # what, arguments, words of the line
    ("a command that does not exist", ["sned"], ["sned", "help"]),
    ("a verb that does not exist", ["campaign", "fly", "autumn"], ["fly", "--help"]),
    ("a verb of bounce that does not exist", ["bounce", "explian"], ["explian", "--help"]),
    ("a check that does not exist", ["check", "spff"], ["spff", "--help"]),
    ("an option that does not exist", ["campaign", "report", "autumn", "--jsn"], ["--jsn"]),
    ("an option without its value", ["campaign", "report", "autumn", "--lang"], ["--lang"]),
    ("a language that is not spoken", ["campaign", "report", "autumn", "--lang", "fr"], ["fr", "ja"]),
    ("a campaign that does not exist", ["campaign", "report", "spring"], ["spring"]),
    ("sending a campaign that does not exist", ["campaign", "send", "spring"], ["spring"]),
    ("a state that is none", ["queue", "list", "--state", "lost"], ["lost", "in_doubt"]),
    ("a TLS rule for a site that is almost one", ["tls", "rule", "set", "site", "gogle", "required"], ["gogle", "did you mean \"google\""]),
    ("a TLS rule for a site that is none", ["tls", "rule", "set", "site", "klingon-net", "required"], ["klingon-net", "rule set domain"]),
    ("a campaign without a subject", ["campaign", "create", "spring", "--brand", "Hanamaru", "--list", "all", "--html", "good.html"], ["--subject"]),
    ("a content file that is not there", ["campaign", "create", "spring", "--brand", "Hanamaru", "--list", "all", "--subject", "s", "--html", "no.html"], ["no.html"]),
    ("a brand that does not exist", ["campaign", "create", "spring", "--brand", "Nobody", "--list", "all", "--subject", "s", "--html", "good.html"], ["Nobody"]),
    ("a list that does not exist", ["campaign", "create", "spring", "--brand", "Hanamaru", "--list", "none", "--subject", "s", "--html", "good.html"], ["none"]),
    ("a template with an error", ["campaign", "create", "spring", "--brand", "Hanamaru", "--list", "all", "--subject", "s", "--html", "broken.html"], ["line 3"]),
    ("a subject with an error", ["campaign", "create", "spring", "--brand", "Hanamaru", "--list", "all", "--subject", "{{ contact.name", "--html", "good.html"], ["subject"]),
    ("a second brand of the same name", ["brand", "add", "Hanamaru", "--from", "X <x@shop.example>", "--return-path", "bounce.shop.example", "--links", "https://shop.example"], ["Hanamaru"]),
    ("a sender that is no address", ["brand", "add", "Other", "--from", "nobody", "--return-path", "bounce.shop.example", "--links", "https://shop.example"], ["from address", "nobody", "@"]),
    ("a sender that most receivers refuse (D28)", ["brand", "add", "Other", "--from", "店 <店@shop.example>", "--return-path", "bounce.shop.example", "--links", "https://shop.example"], ["from address", "店@shop.example", "ASCII"]),
    ("a return path that is no domain", ["brand", "add", "Other", "--from", "x@shop.example", "--return-path", "b b", "--links", "https://shop.example"], ["return path", "b b"]),
    ("links that are no web address", ["brand", "add", "Other", "--from", "x@shop.example", "--return-path", "bounce.shop.example", "--links", "ftp://x"], ["links", "https://"]),
    ("links with a blank in them", ["brand", "add", "Other", "--from", "x@shop.example", "--return-path", "bounce.shop.example", "--links", "https://a b"], ["links", "https://"]),
    ("a smart host that is no name", ["relay", "set", "Hanamaru", "bad host"], ["bad host"]),
    ("a verb of queue that does not exist", ["queue", "retri"], ["retri", "hold, release", "--help"]),
    ("no verb of queue", ["queue"], ["list, audit", "--help"]),
    ("a delivery that is not named", ["queue", "show"], ["todoke queue show DELIVERY"]),
    ("a receiver that is not named", ["explain", "site"], ["todoke explain site DOMAIN"]),
    ("a word too many", ["node", "list", "all"], ["todoke node list"]),
    ("an option of another verb, which would release all", ["queue", "release", "--brand", "Hanamaru", "--state", "in_doubt"], ["--state", "release"]),
    ("an option of another verb, which would begin our own plan", ["source", "warm-up", "127.66.0.9", "--warm-up", "5,10"], ["--warm-up"]),
    ("a list of a campaign that does not exist", ["queue", "list", "--campaign", "spring"], ["spring"]),
    ("the books of a campaign that does not exist", ["queue", "audit", "--campaign", "99"], ["99"]),
    ("an order about a site that is almost one", ["queue", "hold", "--site", "gogle"], ["gogle", "did you mean \"google\""]),
    ("an order about a site that is none", ["queue", "hold", "--site", "日本"], ["日本", "--domain"]),
    ("an order about a pool that is none", ["queue", "purge", "--pool", "nwes"], ["nwes"]),
    ("a store that is not there is not made", ["queue", "list", "--store", "nowhere.db"], ["nowhere.db", "--store"]),
    ("nor to be explained", ["explain", "queue", "--store", "nowhere.db"], ["nowhere.db"]),
    ("a list without a name", ["list", "create", ""], ["name"]),
    ("a campaign's name without its quotes", ["campaign", "cancel", "autumn", "sale"], ["sale", "quotes"]),
    ("an order about a site that was left empty", ["queue", "purge", "--brand", "Hanamaru", "--site", ""], ["--site", "empty"]),
    ("an order about a pool that was left empty", ["queue", "hold", "--brand", "Hanamaru", "--pool", ""], ["--pool", "empty"]),
    ("a move to a pool that was left empty", ["queue", "move", "--brand", "Hanamaru", "--to", ""], ["--to", "empty"]),
    ("a key for brands that were left empty", ["key", "add", "k", "--brand", ""], ["--brand", "empty"]),
    ("a key from domains that were left empty", ["key", "add", "k", "--from", ""], ["--from", "empty"]),
    ("a key of scopes that were left empty", ["key", "add", "k", "--scope", ""], ["--scope", "empty"]),
    ("a CSV that is not there", ["contact", "import", "nowhere.csv", "--list", "all"], ["nowhere.csv"]),
]


def content(todoke):
    """All that people decided and is owed, as the SQLite file holds it."""
    tables = ("brand", "dkim_key", "list", "content_version", "campaign", "contact", "list_member", "suppression", "delivery", "import_run", "access_key", "queue_order")
    return {table: sorted(map(repr, todoke.sql(f"SELECT * FROM {table}"))) for table in tables}


def is_one_line(said):
    return said.stderr.count("\n") == 1 and said.stderr.startswith("todoke") and len(said.stderr) < 500


def refused(tap, what, said, words, statuses=(2,)):
    line = said.stderr.strip()
    missing = [word for word in words if word.lower() not in line.lower()]
    tap.ok(said.returncode in statuses and is_one_line(said) and not missing, what,
           f"status {said.returncode}, stderr: {said.stderr!r}\nstdout: {said.stdout[:300]!r}\nlacks: {missing}")


def bad_files(tap, todoke):
    before = content(todoke)
    for what, raw, more, words in CSV:
        path = todoke.place.write("people.csv", raw)
        refused(tap, f"import: {what}", todoke.run("contact", "import", path, "--list", "all", *more), ["people.csv", *words] if what != CSV[6][0] else words)
    tap.ok(content(todoke) == before, "and nothing was imported, no list made, no run kept")
    path = todoke.place.write("mixed.csv", GOOD + "not an address,三郎\r\nshiro@docomo.example,四郎,too,many\r\ngoro@docomo.example,五郎\r\n")
    said = todoke.run("contact", "import", path, "--list", "mixed")
    people = {address for address, in todoke.sql("SELECT address FROM contact")}
    tap.ok(said.returncode == 0 and {"hanako@docomo.example", "taro@ezweb.example", "goro@docomo.example"} <= people
           and not any("not an" in address for address in people), "a row that is no person is left out, the others come in",
           said.stdout + said.stderr)
    rejected = todoke.place.path("mixed.csv.rejected.csv")
    tap.ok(os.path.exists(rejected) and "not an address" in open(rejected, encoding="utf-8-sig").read(), "and stands in a file with its reason (U19)",
           said.stdout + said.stderr + str(os.listdir(todoke.place.dir)))


def bad_settings(tap, todoke):
    for what, arguments, words in SETTINGS:
        refused(tap, f"serve: {what}", todoke.run("serve", *arguments, seconds=120), words)
    for what, text, words in YAML:
        path = todoke.place.write("bad.yaml", text)
        refused(tap, f"settings file: {what}", todoke.run("serve", "--config", path, seconds=120), words)
    for what, text in (("not JSON", "{"), ("no object", "[1]")):
        zone = todoke.place.write("bad.json", text)
        refused(tap, f"zone file: {what}", todoke.run("serve", "--set", "network.mode=loopback", "--set", f"dns.zone={zone}", seconds=120), ["bad.json"])
    left = {name for name in os.listdir(todoke.place.dir) if name in ("todoke.db", "todoke.key", "a.db")}
    tap.equal(left, set(), "and no store or key was made on the way")


def bad_commands(tap, todoke):
    before = content(todoke)
    for what, arguments, words in COMMANDS:
        refused(tap, f"{arguments[0]}: {what}", todoke.run(*arguments), words)
    tap.ok(content(todoke) == before and not os.path.exists(todoke.place.path("nowhere.db")), "and nothing was written")


def no_command(tap):
    said = subprocess.run([TODOKE], capture_output=True, text=True, check=False)
    tap.ok(said.returncode == 2 and "usage" in said.stderr and not said.stdout, "no command at all: usage on stderr, status 2")
    said = subprocess.run([TODOKE, "help"], capture_output=True, text=True, check=False)
    tap.ok(said.returncode == 0 and "usage" in said.stdout and not said.stderr, "help: usage on stdout, status 0")
    for command in ("bounce", "brand", "campaign", "contact", "demo", "playground", "queue", "serve", "sink", "suppress"):
        said = subprocess.run([TODOKE, command, "--help"], capture_output=True, text=True, check=False)
        tap.ok(said.returncode == 0 and "usage: todoke " + command in said.stdout and not said.stderr, f"{command} --help explains itself",
               f"{said.returncode} {said.stderr}")


def sets(todoke, **changed):
    every = {**todoke.settings, **{key.replace("__", "."): value for key, value in changed.items()}}
    return [word for key, value in every.items() for word in ("--set", f"{key}={value}")]


def ports_in_use(tap, todoke):
    for setting, ip in (("http.listen", "127.0.0.1"), ("mail_in.listen", f"{NET}.7")):
        with socket.create_server((ip, 0)) as taken:
            port = taken.getsockname()[1]
            said = todoke.run("serve", *sets(todoke, **{setting: f"{ip}:{port}"}), seconds=40)
            refused(tap, f"serve: the port of {setting} is in use", quiet(said), [str(port), setting], (2, 3))


def quiet(said):
    """What the log said before it failed is not the answer: keep the command's own last line."""
    lines = [line for line in said.stderr.splitlines(True) if line.startswith("todoke ")]
    return subprocess.CompletedProcess(said.args, said.returncode, said.stdout, "".join(lines[-1:]) or said.stderr)


def second_server(tap, place, todoke):
    todoke.serve()
    other = [*sets(todoke, http__listen="127.0.0.1:0", mail_in__listen=f"{NET}.8:{PORT}")]
    refused(tap, "serve: a second server on the same SQLite store", quiet(todoke.run("serve", *other, seconds=120)),
            [str(todoke.server.popen.pid), os.path.basename(todoke.store)], (2, 3))
    tap.ok(todoke.server.runs(), "and the first one goes on")
    todoke.stop()


def newer_store(tap, place, todoke):
    todoke.ok("campaign", "list")
    copy = place.path("newer.db")
    shutil.copy(todoke.store, copy)
    db = sqlite3.connect(copy)
    db.execute("UPDATE schema_version SET version = 9999 WHERE version = (SELECT MAX(version) FROM schema_version)")
    db.commit()
    db.close()
    before = dump_of(copy)
    for arguments in (["queue", "audit"], ["campaign", "list"], ["serve", *sets(todoke, store=copy)]):
        said = todoke.run(*arguments, *([] if arguments[0] == "serve" else ["--store", copy]), seconds=120)
        refused(tap, f"{arguments[0]}: the store was made by a newer todoke", quiet(said), ["9999", "newer"], (2, 3))
    tap.ok(dump_of(copy) == before, "and what it holds is as it was")


def dump_of(path):
    db = sqlite3.connect(path)
    lines = list(db.iterdump())
    db.close()
    return lines


def bad_stores(tap, place, todoke):
    path = place.write("letter.db", b"Dear Sir, this is no database at all. " * 100)
    refused(tap, "a file that is no store", todoke.run("queue", "audit", "--store", path), ["letter.db"], (2, 3))
    refused(tap, "a store in a directory that is not there", todoke.run("queue", "audit", "--store", place.path("no/where.db")), ["where.db"], (2, 3))
    refused(tap, "a PostgreSQL that is not there", todoke.run("queue", "audit", "--store", "postgres://x@127.0.0.1:1/none"), ["127.0.0.1"], (2, 3))
    paths = place.path("fresh.db"), place.path("fresh.key")
    refused(tap, "a selector that is no name, and no store", todoke.run("brand", "add", "K", "--from", "X <x@k.example>", "--return-path", "b.k.example",
                                                                       "--links", "https://k.example", "--selector", "s 1", "--store", paths[0], "--key-file", paths[1]), ["s 1"])
    tap.ok(not any(os.path.exists(path) for path in paths), "and neither store nor key was made for it")
    path = place.write("short.key", b"abc")
    refused(tap, "a key file that is no key", todoke.run("brand", "add", "K", "--from", "X <x@k.example>", "--return-path", "b.k.example",
                                                        "--links", "https://k.example", "--key-file", path), ["short.key"], (2, 3))


def story(tap, place):
    no_command(tap)
    todoke = place.installation()
    bad_settings(tap, todoke)
    todoke.brand()
    place.write("good.html", "<p>{{ contact.name }}</p>")
    place.write("broken.html", "<p>\n<b>x</b>\n{% if contact.name %}<p>{{ contact.name | nofilter: }}</p>\n")
    todoke.people(["one@docomo.example", "two@docomo.example"])
    todoke.campaign("autumn")
    bad_files(tap, todoke)
    bad_commands(tap, todoke)
    bad_stores(tap, place, todoke)
    ports_in_use(tap, todoke)
    second_server(tap, place, todoke)
    newer_store(tap, place, todoke)


with Tap() as tap, Place("input") as place:
    story(tap, place)
