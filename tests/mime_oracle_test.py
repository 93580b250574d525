"""Our MIME reader against Python's `email` (and GMime, where its GObject bindings are installed): the same parts in the same order, the
same types and charsets, the same decoded text, on our own sample mails and on the corpus of error mails where it is present. What differs is
listed with its reason; anything else fails."""
import base64
import email
import email.policy
import glob
import json
import os
import re
import subprocess

from tap import Tap
from todoke import ROOT, TODOKE

SHOWN = 65536  # octets of a text that `mime show` prints

# mail: why ours and the oracle's may differ there
NO_BOUNDARY = "a multipart whose boundary was lost (its line is not folded) is text (RFC 2046 5.1); the oracle keeps the word multipart"
OTHER_BOUNDARY = "the boundary is not the announced one: ours takes the lines that are there, the oracle finds no parts"
MISLABELLED = "not in the charset it says: ours looks at the bytes"
PYTHON = {
    "japanese-unlabelled.eml": MISLABELLED, "lhost-ezweb-03.eml": MISLABELLED, "lhost-ezweb-05.eml": MISLABELLED,
    "wrong-boundary.eml": OTHER_BOUNDARY, "rhost-franceptt-07.eml": OTHER_BOUNDARY,
    "lhost-office365-09.eml": NO_BOUNDARY, "lhost-office365-10.eml": NO_BOUNDARY, "lhost-office365-11.eml": NO_BOUNDARY,
    "lhost-office365-12.eml": NO_BOUNDARY, "lhost-verizon-02.eml": NO_BOUNDARY,
    "lhost-x1-02.eml": "a parameter without its semicolon: Python takes it into the subtype",
}
NO_HEADER = "a line that is no header field, within the header: ours and Python's end the header there"
EMPTY = "a message/rfc822 with nothing in it: ours and Python's have an empty text in it"
GMIME = {
    **{name: why for name, why in PYTHON.items() if name != "lhost-x1-02.eml"},
    "dsn-cr.eml": "lines that end with a bare CR",
    "lhost-postfix-30.eml": NO_HEADER, "lhost-postfix-57.eml": NO_HEADER, "lhost-postfix-01.eml": EMPTY, "rfc3464-35.eml": EMPTY,
}


def corpus():
    for up in ("..", "../.."):
        found = sorted(glob.glob(os.path.join(ROOT, up, "shared", "bounces", "cur", "*.eml")))
        if found:
            return found
    return []


def ours(paths):
    lines = []
    for path in paths:
        with open(path, "rb") as file:
            lines.append(json.dumps({"id": os.path.basename(path), "message_b64": base64.b64encode(file.read()).decode()}))
    done = subprocess.run([TODOKE, "mime", "show", "--batch"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    shown = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        shown[row["id"]] = [(part["type"].lower(), part["charset"].lower(), part.get("text")) for part in row["parts"]]
    return shown


def is_leaf_of_ours(part):
    """Ours are texts of fields; Python makes a message of each block."""
    return part.get_content_type() in ("message/delivery-status", "message/feedback-report", "message/global-delivery-status",
                                       "message/global-headers")


def walk(part):
    yield part
    if part.is_multipart() and not is_leaf_of_ours(part):
        for inner in part.get_payload():
            yield from walk(inner)


def text_of(part):
    raw = part.get_payload(decode=True)
    charset = (part.get_content_charset() or "us-ascii").lower()
    return raw, charset


def pythons(path):
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(b"From "):
        data = data.split(b"\n", 1)[1]
    mail = email.message_from_bytes(data, policy=email.policy.compat32)
    return [(part.get_content_type(), *((None, None) if part.is_multipart() else text_of(part))) for part in walk(mail)]


def squeezed(text):
    """Without what decoders may differ in: replacement signs, the kinds of newline, white space at the ends."""
    return re.sub(r"[\ufffd?]+", "?", re.sub(r"\r\n?", "\n", text)).strip()


def decoded(raw, charset):
    """As Python would show it; ours knows the Japanese supersets, so those stand for their standards."""
    names = {"iso-2022-jp": "iso2022_jp_3", "shift_jis": "cp932", "shift-jis": "cp932", "x-sjis": "cp932", "euc-jp": "euc_jis_2004", "gb2312": "gb18030",
             "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "iso-8859-1": "cp1252", "us-ascii": "utf-8", "unknown-8bit": "utf-8"}
    try:
        return raw.decode(names.get(charset, charset), "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


def difference(mine, theirs):
    if [part[0] for part in mine] != [part[0] for part in theirs]:
        return f"parts {[part[0] for part in mine]} and {[part[0] for part in theirs]}"
    for (kind, charset, text), (_, raw, their_charset) in zip(mine, theirs):
        if raw is None or not kind.startswith("text/") or text is None:
            continue
        expected, got = squeezed(decoded(raw, their_charset)), squeezed(text)
        if len(text.encode()) >= SHOWN - 4:
            expected, got = expected[:SHOWN // 4], got[:SHOWN // 4]
        if got != expected:
            at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
            return f"{kind} {charset or their_charset}: {got[max(0, at - 20):at + 40]!r} and {expected[max(0, at - 20):at + 40]!r}"
    return ""


def gmime_walk(part, found):
    kind = part.get_content_type()
    name = f"{kind.get_media_type()}/{kind.get_media_subtype()}".lower()
    if isinstance(part, GMime.Multipart):
        found.append((name, None, None))
        for number in range(part.get_count()):
            gmime_walk(part.get_part(number), found)
    elif isinstance(part, GMime.MessagePart):
        found.append((name, None, None))
        if part.get_message():
            gmime_walk(part.get_message().get_mime_part(), found)
    else:
        content = part.get_content()
        stream = GMime.StreamMem.new()
        if content:
            content.write_to_stream(stream)
        found.append((name, bytes(stream.get_byte_array()), (kind.get_parameter("charset") or "us-ascii").lower()))
    return found


def gmimes(path):
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(b"From "):
        data = data.split(b"\n", 1)[1]
    message = GMime.Parser.new_with_stream(GMime.StreamMem.new_with_buffer(data)).construct_message(None)
    return gmime_walk(message.get_mime_part(), [])


def compare(tap, paths, what, oracle, known, name_of_oracle):
    mine, found = ours(paths), {}
    for path in paths:
        name = os.path.basename(path)
        said = difference(mine[name], oracle(path))
        if said:
            found[name] = said
    unknown = {name: said for name, said in found.items() if name not in known}
    tap.ok(not unknown, f"{what}: {len(paths)} mails, the same parts and texts as {name_of_oracle}'s; {len(found) - len(unknown)} differ for known reasons",
           "\n".join(f"{name}: {said}" for name, said in unknown.items()))


try:
    import gi
    gi.require_version("GMime", "3.0")
    from gi.repository import GMime
    GMime.init()
    ORACLES = [("Python", pythons, PYTHON), ("GMime", gmimes, GMIME)]
except (ImportError, ValueError):
    ORACLES = [("Python", pythons, PYTHON)]

with Tap() as tap:
    for oracle_name, reader, known_differences in ORACLES:
        compare(tap, sorted(glob.glob(os.path.join(ROOT, "tests", "mails", "*.eml"))), "our sample mails", reader, known_differences, oracle_name)
        if corpus():
            compare(tap, corpus(), "the corpus", reader, known_differences, oracle_name)
        else:
            tap.skip("the corpus", "it is not here")
    if len(ORACLES) == 1:
        tap.skip("GMime", "gir1.2-gmime-3.0 is not installed")
