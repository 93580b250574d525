"""X3: what stands in a value stays in it. Line ends and what some reader takes for one, in every text of the API's contract (bodies, queries,
paths), every column of a CSV file and its own names, every variable of a template, the options of the commands, and what another brand is
called: no mail, no error notice and no answer has a header that is not ours. The counts are printed."""
import email
import email.policy
import json
import re
import urllib.parse

from catcher import Catcher
from contract import Api, Contract
from sneaky import BAD, sneaky
from tap import Tap
from todoke import NET, PORT, Place, until

MX = f"{NET}.77"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [MX]}}
ANSWERED = {"date", "server", "connection", "content-type", "content-length", "transfer-encoding", "cache-control", "x-content-type-options", "retry-after", "www-authenticate",
            "allow", "ratelimit", "ratelimit-policy", "idempotent-replayed", "content-disposition", "x-next-cursor", "set-cookie", "x-accel-buffering", "accept-ranges", "etag", "last-modified"}
MAILED = {"date", "from", "to", "subject", "message-id", "reply-to", "mime-version", "content-type", "content-transfer-encoding", "dkim-signature", "received", "list-unsubscribe",
          "list-unsubscribe-post", "list-id", "feedback-id", "x-a", "auto-submitted", "precedence"}
STREAMS = {"campaign_stream", "event_stream", "session_open", "session_close"}


def leaves(contract, schema, at=()):
    """Where a request may hold text: ("to", 0, "name"); "*" is a member of any name."""
    schema = contract.resolve(schema)
    for part in schema.get("allOf", []) + schema.get("oneOf", []):
        yield from leaves(contract, part, at)
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    for name, part in schema.get("properties", {}).items():
        yield from leaves(contract, part, (*at, name))
    if "object" in kinds and not schema.get("properties"):
        yield (*at, "*")
    if "array" in kinds:
        yield from leaves(contract, schema["items"], (*at, 0))
    if "string" in kinds and "enum" not in schema:
        yield at


def put(body, at, value):
    """`body` with the value there."""
    if not at:
        return value
    rest = put(body.get(at[0]) if isinstance(body, dict) else body[0] if isinstance(body, list) and body else None, at[1:], value)
    if at[0] == 0:
        return [rest]
    return {**(body if isinstance(body, dict) else {}), ("x-a" if at[0] == "*" else at[0]): rest}


def bodies(ids):
    """A sound body for each, so that what is refused is refused for what was put into it."""
    letter = {"to": {"email": "api@good.example", "name": "Api", "data": {"x-a": "v"}}, "from": {"email": "news@shop.example", "name": "Shop"}, "subject": "s {{ name }} {{ x-a }}",
              "text": "t {{ x-a }}", "html": "<p>{{ x-a }}", "data": {"x-a": "v"}, "attachments": [{"name": "a.txt", "type": "text/plain", "content": "aGVsbG8="}]}
    return {"campaign_create": {"name": "c", "content_id": ids["content"], "list_id": ids["list"]}, "bounce_explain": {"text": "550 5.1.1 unknown"}, "message_send": letter,
            "list_members_add": {"contact_ids": [ids["contact"]]}, "source_change": {"ehlo_name": "mta.shop.example"}, "source_warm_up": {"site": "good.example"}}


class Door:
    """All that was asked, and every header that came back."""

    def __init__(self, api, contract):
        self.api, self.contract, self.asked, self.taken, self.refused, self.wrong = api, contract, 0, 0, 0, []

    def ask(self, method, path, body=None, raw=None, where=""):
        try:
            status, headers, answer = self.api.ask(method, path, body, raw=raw)
        except Exception as error: # an answer that is none
            self.wrong.append(f"{method} {path} {where}: {error!r}")
            return 0, {}
        extra = {name.lower() for name in headers.keys()} - ANSWERED
        if extra or status >= 500:
            self.wrong.append(f"{method} {path} {where}: {status} {extra} {str(answer)[:200]}")
        self.asked += 1
        self.taken += 200 <= status < 300
        self.refused += status >= 400
        return status, answer


def every_text_of_the_contract(tap, door, ids):
    """Gives the contents and campaigns that were made, for their mails."""
    made, fields, queries = [], 0, 0
    sound = bodies(ids)
    for path, method, operation in door.contract.operations():
        name = operation["operationId"]
        if door.contract.scope(operation) == "-" or name in STREAMS:
            continue
        kind = next((kind for kind in ("list", "contact", "content", "campaign", "message", "delivery") if path.startswith(f"/{kind}s".replace("deliverys", "deliveries"))), "")
        place = re.sub(r"{(\w+)}", lambda word: ids[kind if word[1] == "id" and kind else "contact"], path)
        for word in re.findall(r"{(\w+)}", path):
            for bad in BAD:
                door.ask(method, path.replace("{%s}" % word, urllib.parse.quote(sneaky(bad), safe="")).replace("{", "").replace("}", ""), None if method == "GET" else {}, where=word)
        for one in operation["parameters"]:
            if one["in"] == "query" and method == "GET":
                queries += 1
                for bad in BAD:
                    door.ask(method, f"{place}?{one['name']}={urllib.parse.quote(sneaky(bad))}", where=one["name"])
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if not media or name in ("source_add", "order_give", "pool_assign"): # what decides how mail leaves: afterwards
            continue
        base = sound.get(name) or media.get("example", {})
        for at in sorted(set(leaves(door.contract, media["schema"])), key=str):
            fields += 1
            for bad in BAD:
                status, answer = door.ask(method, place, put(base, at, sneaky(bad)), where=f"{name}.{'.'.join(map(str, at))}")
                if status == 201 and name == "content_create":
                    made.append(answer["id"])
    tap.note(f"API: {fields} texts in bodies and {queries} in queries, {len(BAD)} values each: {door.asked} requests, {door.taken} taken, {door.refused} refused")
    return made


def how_mail_leaves(door):
    """The names of sources, pools and orders; nothing is sent any more."""
    for path, method, operation in door.contract.operations():
        if operation["operationId"] in ("source_add", "order_give", "pool_assign"):
            media = operation["requestBody"]["content"]["application/json"]
            for at in sorted(set(leaves(door.contract, media["schema"])), key=str):
                for bad in BAD:
                    door.ask(method, path.replace("{id}", "1"), put(media.get("example", {}), at, sneaky(bad)), where=".".join(map(str, at)))


def every_column(tap, door, ids):
    """A CSV file with line ends in each cell and in a column's name, onto a list that has some in its name, mailed with each as a variable."""
    columns = ["email", "name", "note", "consent"]
    cell = '"{}"'.format
    rows, number = [",".join(cell(name) for name in columns) + "," + cell("no\r\nX-Evil: 1")], 0
    for column in ("name", "note", "consent", "last"):
        for bad in BAD:
            if bad == "\0":
                continue # no text file has it
            number += 1
            cells = {"email": f"csv{number}@good.example", "name": "N", "note": "n", "consent": "c", "last": "l", column: sneaky(bad)}
            rows.append(",".join(cell(cells[name].replace('"', '""')) for name in columns + ["last"]))
    for bad in BAD:
        rows.append(",".join([cell(f"csv{bad}X-Evil@good.example"), "N", "n", "c", "l"]))
    status, _ = door.ask("POST", "/contacts/import?list=" + urllib.parse.quote("csv list") + "&consent=" + urllib.parse.quote("a\u2028X-Evil: 1"), raw="\r\n".join(rows).encode(), where="csv")
    if status != 200:
        door.ask("POST", "/contacts/import?list=" + urllib.parse.quote("csv list") + "&consent=shop", raw="\r\n".join(rows).encode(), where="csv")
    for bad in BAD: # and in what is said of the file
        for query in ("list", "consent", "encoding", "email_column", "brand"):
            door.ask("POST", f"/contacts/import?{query}={urllib.parse.quote(sneaky(bad))}" + ("" if query == "list" else "&list=other"), raw=b"email\r\nx@good.example\r\n", where=query)
        door.ask("POST", "/suppressions/import?brand=" + urllib.parse.quote(sneaky(bad)), raw=f"email\r\n{sneaky(bad)}\r\n".encode(), where="suppressions")
    subject = "".join("{{ contact['%s'] }} " % name if False else "{{ contact.%s }} " % name for name in ("name", "note"))
    _, content = door.ask("POST", "/contents", {"name": "csv", "subject": subject + "{{ contact.name | upcase }}{{ contact.note | default: 'x' }}", "preheader": subject, "html": f"<p title=\"{subject}\">{subject}</p>", "text": subject})
    lists = {row["name"]: row["id"] for row in door.ask("GET", "/lists")[1]["items"]}
    _, campaign = door.ask("POST", "/campaigns", {"name": "csv", "content_id": content["id"], "list_id": lists["csv list"]})
    status, said = door.ask("POST", f"/campaigns/{campaign['id']}/send", {})
    tap.ok(status < 300, "a campaign to the people of the file", str(said))
    tap.note(f"CSV: {len(rows) - 1} rows, {number} of them with a value in one of 4 columns, {len(BAD)} in the address; {number} mails with them in subject, preheader, text and HTML")
    return number


def every_option(tap, todoke):
    """What commands are told. What a command takes is used: a mail of each brand."""
    tried, taken = 0, []
    sound = {"NAME": "Brand", "--from": "Brand <news@brand{}.example>", "--return-path": "bounce.brand{}.example", "--links": "https://brand{}.example", "--reply-to": "help@brand{}.example", "--footer": "footer"}
    for option in sound:
        for number, bad in enumerate(("\r\n", "\n", "\u2028", "\v")):
            tried += 1
            given = {name: value.format(tried) for name, value in sound.items()}
            given["NAME"] = f"Brand{tried}"
            given[option] = f"Shop{bad}X-Evil: 1 <news@brand{tried}.example>" if option == "--from" else given[option] + sneaky(bad)
            done = todoke.run("brand", "add", given["NAME"], *(word for name in list(sound)[1:] for word in (name, given[name])))
            if done.returncode == 0:
                taken.append((f"brand{tried}.example", option, number))
    for command in (["key", "add"], ["list", "add"], ["list", "publish"], ["contact", "add"], ["suppress", "add"], ["hook", "add"]):
        for bad in ("\r\n", "\n", "\u2028", "\v"):
            tried += 1
            todoke.run(*command, sneaky(bad))
    tap.note(f"commands: {tried} tried, {len(taken)} brands taken ({sorted({option for _, option, _ in taken})})")
    return taken


def show(tap, place, catcher):
    contract = Contract()
    todoke = place.installation(zone=ZONE)
    todoke.brand()
    todoke.serve()
    secret = todoke.ok("key", "add", "admin").strip()
    door = Door(Api(todoke.http, secret), contract)
    ids = {"delivery": "1", "message": "1"}
    ids["list"] = door.api.ask("POST", "/lists", {"name": "people"})[2]["id"]
    ids["contact"] = door.api.ask("POST", "/contacts", {"email": "person@good.example", "name": "P", "list_ids": [ids["list"]]})[2]["id"]
    ids["content"] = door.api.ask("POST", "/contents", {"name": "c", "subject": "s", "html": "<p>h"})[2]["id"]
    ids["campaign"] = door.api.ask("POST", "/campaigns", {"name": "k", "content_id": ids["content"], "list_id": ids["list"]})[2]["id"]
    contents = every_text_of_the_contract(tap, door, ids)
    in_file = every_column(tap, door, ids)
    named = [f"list{bad}X-Evil: 1" for bad in BAD]
    lists = [answer["id"] for status, answer in (door.ask("POST", "/lists", {"name": name}) for name in named) if status == 201]
    door.ask("POST", "/lists/" + ids["list"] + "/members", {"contact_ids": [ids["contact"]]})
    campaigns = 0
    for number, content in enumerate(contents):
        status, campaign = door.ask("POST", "/campaigns", {"name": f"of {number}", "content_id": content, "list_id": ids["list"]})
        campaigns += status == 201 and door.ask("POST", f"/campaigns/{campaign['id']}/send", {})[0] < 300
    brands = every_option(tap, todoke)
    for domain, option, number in brands:
        name = str(todoke.sql("SELECT id FROM brand WHERE from_address LIKE ?", "%@" + domain)[0][0])
        door.ask("POST", "/messages", {"to": f"{option.strip('-').lower()}{number}@good.example", "brand": name, "subject": "s", "text": "t", "unsubscribe": True}, where=option)
    waiting = "SELECT COUNT(*) FROM delivery WHERE state < 5"
    until(lambda: len(mails_of(catcher, "csv")) >= in_file, 60, "the mails of the file")
    until(lambda: not any(row["state"] in ("expanding", "sending") for row in door.api.ask("GET", "/campaigns?limit=500")[2]["items"]), 60, "the campaigns")
    until(lambda: todoke.sql(waiting.replace("< 5", "IN (0, 2)"))[0][0] == 0, 60, "whatever could be sent")
    how_mail_leaves(door)
    tap.equal(door.wrong[:10], [], f"{door.asked} requests: no answer with a header more, none a 500 (X3)")
    extra, fields, parts = {}, 0, 0
    for mail in catcher.mails:
        read = email.message_from_bytes(mail["data"], policy=email.policy.compat32)
        fields += len(read.keys())
        if len(read.keys()) != len({name.lower() for name in read.keys()} - {"received", "dkim-signature"}) + sum(name.lower() in ("received", "dkim-signature") for name in read.keys()):
            extra[f"{mail['to']}: a field twice"] = read.keys()
        for part in read.walk():
            parts += 1
            allowed = MAILED if part is read else {"content-type", "content-transfer-encoding", "content-disposition", "content-id", "content-location"}
            if wrong := {name.lower() for name in part.keys()} - allowed:
                extra[str(mail["to"])] = wrong
        head = mail["data"].split(b"\r\n\r\n")[0]
        if re.search(rb"(?im)^\W*X-Evil", head) or re.search(rb"[\0\v\f\x1c\x1e\x7f]|\r(?!\n)|(?<!\r)\n", head):
            extra[f"{mail['to']}: head"] = head[:300]
    tap.ok(len(catcher.mails) > in_file + campaigns // 2, "the mails of what was taken came", f"{len(catcher.mails)}: {in_file} of the file, {campaigns} campaigns")
    tap.equal(list(extra.items())[:5], [], f"{len(catcher.mails)} mails, {fields} fields, {parts} parts: 0 extra headers (X3)")
    tap.ok(not lists or all(not re.search(r"[\r\n\0\v\f\u0085\u2028\u2029]", row["name"]) for row in door.api.ask("GET", "/lists")[2]["items"]), "no list's name holds a line end")
    tap.equal(todoke.stop(), 0, "the server ends well")


def mails_of(catcher, prefix):
    return [mail for mail in catcher.mails if mail["to"][0].startswith(prefix)]


with Tap() as tap, Place("injection") as place, Catcher(MX, PORT) as catcher:
    show(tap, place, catcher)
