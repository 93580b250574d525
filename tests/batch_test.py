"""A line of a batch says the same however its JSON is written: plain lines are read in one pass, the others by a JSON library (CLI.md)."""
import json
import subprocess

from tap import Tap
from todoke import TODOKE

PLAIN = '{"id":1,"text":"550 5.1.1 User unknown","command":"RCPT","receiver":"gmail.com"}'
SAME = [ # the line above, written in other ways
    ' { "receiver" : "gmail.com",\t"command":"RCPT", "text" : "550 5.1.1 User unknown" , "id" : 1 } ',
    r'{"id":1,"text":"550 5.1.1 User \u0075nknown","command":"RCPT","receiver":"gmail.com"}',
    r'{"id":1,"te\u0078t":"550 5.1.1 User unknown","command":"RCPT","receiver":"gmail.com"}',
    '{"id":1,"text":"wrong","text":"550 5.1.1 User unknown","command":"RCPT","receiver":"gmail.com","more":{"a":[1]}}',
    '{"id":1,"text":"550 5.1.1 User unknown","command":"RCPT","receiver":"gmail.com","more":"\\" \\\\ \\/ \\n"}',
]
IDS = ['"a"', '"é"', r'"\""', "0", "-5", "123456789012345678", "1.5", "true", "[1,2]", '{"a":1}']
WRONG = ["[]", "1", "{", '{"text":"x"', '{"text":"x"} y', '{"text":"x",}', '{"text":"a\tb"}', r'{"text":"\q"}', '{"id":007,"text":"x"}', '{"id":01,"text":"x"}']


def answers(lines):
    said = subprocess.run([TODOKE, "bounce", "reply", "--batch"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False, timeout=60)
    return [json.loads(line) for line in said.stdout.splitlines()]


with Tap() as tap:
    first, *others = answers([PLAIN, *SAME])
    tap.equal((first["id"], first["reason"], first["command"]), (1, "user_unknown", "RCPT"), "a plain line")
    for line, other in zip(SAME, others):
        tap.equal(other, first, f"the same, written as {line}")
    rows = answers([f'{{"id":{name},"text":"421 4.7.0 \\"later\\""}}' for name in IDS])
    tap.equal([row["id"] for row in rows], [json.loads(name) for name in IDS], "every kind of id comes back as it was")
    tap.equal({row["diagnostic"] for row in rows}, {'421 4.7.0 "later"'}, "escapes are read")
    rows = answers(WRONG)
    tap.equal([row for row in rows if "error" not in row or "reason" in row], [], "what is no JSON object is an error, and the batch goes on")
    tap.equal(len(rows), len(WRONG), "one answer a line")
    tap.equal(answers(['{"text":5}', '{"id":2}'])[1], {"id": 2, "error": "text is missing"}, "a text that is missing")
