"""What is written down and what the program does are the same thing."""
import os
import re
import subprocess

from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TODOKE = os.environ.get("TODOKE", os.path.join(ROOT, "build", "todoke"))


def says(*words):
    return subprocess.run([TODOKE, *words], capture_output=True, text=True, check=False, timeout=90)


with Tap() as tap:
    with open(os.path.join(ROOT, "docs", "settings.md"), encoding="utf-8") as written:
        tap.equal(written.read(), says("serve", "--settings").stdout, "docs/settings.md is what `todoke serve --settings` says")
    for command in re.findall(r"^  (\w+) ", says("help").stdout, re.M):
        answer = says(command, "--help")
        tap.ok(answer.returncode == 0 and "usage:" in answer.stdout and not answer.stderr, f"todoke {command} --help explains itself")
    for page in ("README.md", "README.ja.md", "ARCHITECTURE.md", "docs/README.md"):
        folder = os.path.dirname(os.path.join(ROOT, page))
        with open(os.path.join(ROOT, page), encoding="utf-8") as text:
            links = re.findall(r"\]\(([^)#:]+)\)", text.read())
        missing = [link for link in links if not os.path.exists(os.path.join(folder, link))]
        tap.equal(missing, [], f"{page}: every link leads somewhere")
