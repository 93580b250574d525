"""independent - what implementations that are not ours say of a signed mail: python3-dkim, and mailauth from npm.

Both ask a zone (CLI.md's `dns` object) and never the network. Used by tests that have a mail in hand:

    from independent import dkim_by_python, auth_by_mailauth
    tap.equal(dkim_by_python(mail, zone), True, "dkimverify says so")
    tap.equal(auth_by_mailauth(mail, zone, sender="b-x@bounce.shop.example")["dkim"], "pass", "mailauth says so")
"""
import json
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def dkim_by_python(mail, zone):
    """True when every DKIM signature of the mail verifies by python3-dkim (and there is one)."""
    import dkim  # pylint: disable=import-outside-toplevel
    names = {name.lower(): records for name, records in zone.items()}

    def text_record(name, timeout=5):  # pylint: disable=unused-argument
        wanted = name.decode() if isinstance(name, bytes) else name
        found = names.get(wanted.rstrip(".").lower(), {}).get("TXT", [])
        if not found:
            return None
        return (found[0] if isinstance(found[0], str) else "".join(found[0])).encode()

    count = sum(line.lower().startswith(b"dkim-signature:") for line in mail.split(b"\r\n\r\n", 1)[0].split(b"\r\n"))
    verifier = dkim.DKIM(mail)
    try:
        return count > 0 and all(verifier.verify(idx=nth, dnsfunc=text_record) for nth in range(count))
    except dkim.DKIMException: # what is wrong is told by raising
        return False


def auth_by_mailauth(mail, zone, ip="127.0.0.1", helo="mta.shop.example", sender=""):
    """{"dkim": ..., "spf": ..., "dmarc": ...} by npm's mailauth."""
    with tempfile.TemporaryDirectory() as folder:
        zone_path, mail_path = os.path.join(folder, "zone.json"), os.path.join(folder, "mail.eml")
        with open(zone_path, "w", encoding="utf-8") as file:
            json.dump(zone, file)
        with open(mail_path, "wb") as file:
            file.write(mail)
        said = subprocess.run(["node", os.path.join(HERE, "node", "verify.mjs"), zone_path, mail_path, ip, helo, sender],
                              capture_output=True, text=True, timeout=60, check=False)
    if said.returncode != 0:
        raise RuntimeError(said.stderr)
    return json.loads(said.stdout)


def mails_of_mbox(path):
    """The mails of an mboxrd file with CRLF line ends, without the lines that a receiver put on top of what was sent
    (Return-Path, Authentication-Results, Received with their folds)."""
    with open(path, "rb") as file:
        blocks = (b"\n" + file.read()).split(b"\nFrom ")[1:]
    for block in blocks:
        lines = block.split(b"\n")[1:]
        while lines and lines[-1] == b"":
            lines.pop()
        lines = [line[1:] if line.lstrip(b">").startswith(b"From ") and line.startswith(b">") else line for line in lines]
        at = 0
        while at < len(lines) and (lines[at].startswith((b"Return-Path:", b"Authentication-Results:", b"Received:")) or
                                   (at > 0 and lines[at][:1] in (b" ", b"\t"))):
            at += 1
        yield b"".join(line + b"\r\n" for line in lines[at:])
