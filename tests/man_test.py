"""The manual pages, made from the program's own help: one for each command, and a judge of such pages finds nothing wrong."""
import os
import re
import subprocess
import tempfile

from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TODOKE = os.environ.get("TODOKE", os.path.join(ROOT, "build", "todoke"))

with Tap() as tap, tempfile.TemporaryDirectory() as folder:
    subprocess.run([os.path.join(ROOT, "tools", "make-man"), TODOKE, folder], check=True)
    with open(os.path.join(ROOT, "src", "app", "commands.def"), encoding="utf-8") as file:
        commands = re.findall(r"^COMMAND\((\w+)", file.read(), re.M)
    pages = sorted(os.listdir(folder))
    tap.equal(pages, sorted(["todoke.1"] + [f"todoke-{command}.1" for command in commands]), "a page for each command")
    paths = [os.path.join(folder, page) for page in pages]
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *paths], capture_output=True, text=True, check=False)
    tap.equal(lint.stdout + lint.stderr, "", "mandoc has nothing to warn of")
    shown = subprocess.run(["mandoc", "-T", "utf8", os.path.join(folder, "todoke-check.1")], capture_output=True, text=True, check=True)
    tap.ok("todoke check spf --ip ADDRESS" in re.sub(".\b", "", shown.stdout), "a page shows the usage as the help has it")
