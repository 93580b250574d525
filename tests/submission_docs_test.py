"""The examples of docs/submission.md do what they say: curl, Python, nodemailer and swaks, as they are written there."""
import os
import re
import shutil
import subprocess

from catcher import Catcher
from submission import DOOR, RECEIVER, STARTTLS, TLS, door, key
from tap import Tap
from todoke import PORT, ROOT, Place, until

NODE = os.path.join(ROOT, "tests", "node")


def run(command, place, name, text, env=None):
    path = name if os.path.isabs(name) else place.path(name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = subprocess.run([*command, path], capture_output=True, text=True, timeout=60, check=False, cwd=place.dir, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout + done.stderr


with Tap() as tap, Place("submission-docs") as place, Catcher(RECEIVER, PORT) as catcher:
    with open(os.path.join(ROOT, "docs", "submission.md"), encoding="utf-8") as page:
        examples = re.findall(r"```(sh|python|js)\n(.*?)```", page.read(), re.S)
    tap.equal([language for language, _ in examples], ["sh", "python", "js", "sh"], "the page has four examples")
    todoke = door(place)
    secret = key(todoke, "app", "--brand", "Hanamaru", "--from", "shop.example", "--per-hour", "10000")
    todoke.serve()
    tool = {"curl": "curl", "python": "python3", "js": "node", "swaks": "swaks"}
    for language, text in examples:
        text = text.replace("KEY", secret).replace("mail.example:465", f"{DOOR}:{TLS}").replace("mail.example", DOOR).replace("587", str(STARTTLS))
        name = re.search(r"curl|swaks", text).group(0) if language == "sh" else language
        to = re.search(r"(\w+)@recv\.example", text).group(0)
        if not shutil.which(tool[name]) or (name == "js" and not os.path.isdir(os.path.join(NODE, "node_modules", "nodemailer"))):
            tap.skip(f"the example with {name}", "not installed")
            continue
        if name == "curl": # the test's certificate is of its own making
            text = text.replace("curl --silent", "curl --insecure --silent")
        if name == "js":
            script = os.path.join(NODE, f"example-{os.getpid()}.mjs")
            place.cleanups.append(lambda path=script: os.path.exists(path) and os.unlink(path))
            status, said = run(["node"], place, script, text, {"NODE_TLS_REJECT_UNAUTHORIZED": "0"})
        else:
            status, said = run(["sh"] if language == "sh" else ["python3"], place, f"example.{name}", text)
        tap.ok(status == 0, f"the example with {name}", said)
        until(lambda who=to: [mail for mail in catcher.mails if mail["to"] == [who]], 20, f"the mail to {to}")
    tap.equal(todoke.sql("SELECT tags FROM message WHERE tags <> ''"), [("order\nreceipt",)], "tags are kept")
    tap.equal(todoke.sql("SELECT label FROM message WHERE label <> ''"), [("spring",)], "the label is kept")
    todoke.stop()
