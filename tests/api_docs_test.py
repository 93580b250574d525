"""docs/api.md: every example on the page is run against a server, in the order of the page, and does what it says."""
import os
import re
import shutil
import subprocess

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, ROOT, Place, until

HERE = f"{NET}.79"
ZONE = {"example.com": {"MX": [[10, "mx.example.com"]]}, "mx.example.com": {"A": [HERE]}}

with open(os.path.join(ROOT, "docs", "api.md"), encoding="utf-8") as page:
    text = page.read()
blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)

with Tap() as tap, Place("api-docs") as place:
    todoke = place.installation(zone=ZONE)
    receiver = Receiver(HERE, PORT)
    todoke.brand()
    todoke.serve()
    env = {**os.environ, "TODOKE_URL": f"http://{todoke.http}", "TODOKE_KEY": todoke.ok("key", "add", "docs").strip(), "no_proxy": "*"}
    # one shell for all of them, since later ones use what earlier ones made
    script = "set -eu -o pipefail\n" + "".join(f"echo; echo '--- {number}'\n{code}" + ("\n" if "| head" not in code else " || [ $? -lt 130 ]\n")
                                               for number, (language, code) in enumerate(blocks) if language == "sh")
    script = script.replace("| head -3\n || [ $? -lt 130 ]", "| head -3 || true")
    said = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=120, check=False)
    ran = len(re.findall(r"^--- \d+$", said.stdout, re.M))
    wanted = sum(language == "sh" for language, _ in blocks)
    tap.ok(said.returncode == 0 and ran == wanted >= 8, f"the {wanted} shell examples run", f"{ran} began; {said.stdout[-1500:]}{said.stderr[-1500:]}")
    out = said.stdout
    tap.ok('"state":"accepted"' in out and '"state":"scheduled"' in out and '"cancelled":1' in out and '"reason":"user_unknown"' in out and '"done":true' in out,
           "and say what the page promises")
    answers = re.findall(r'^--- \d+\n(.*)', out, re.M)
    twice = [line for line in out.splitlines() if line.count('"id":"') == 2 and '"email":"hanako@example.com"' in line]
    tap.ok(any(line.count(line[1:26]) == 2 for line in twice), "the repeated request got the same answer", str(twice)[:400])
    for language, program in (("python", ["python3", "-"]), ("javascript", ["node", "--input-type=module", "-"])):
        for code in [code for name, code in blocks if name == language]:
            if not shutil.which(program[0]):
                tap.skip(f"the {language} example", f"no {program[0]} here")
                continue
            done = subprocess.run(program, input=code, env=env, capture_output=True, text=True, timeout=60, check=False)
            tap.ok(done.returncode == 0 and ("accepted" in done.stdout), f"the {language} example runs", done.stdout + done.stderr)
    until(lambda: len(receiver.to("friend2@example.com")) == 1 and len(receiver.to("hanako@example.com")) >= 3, 30, "the mails of the page")
    tap.ok(True, "and their mails arrive")
    receiver.end()
    tap.equal(todoke.stop(), 0, "the server ends well")
