"""M21: every reply that we give as a server has an enhanced code of its class, and the registry knows it (RFC 3463, 5248): read from the source,
so that no reply is left out because nobody provokes it. The banner, what EHLO lists, and those that ask for more (334, 354) have none by RFC 2034."""
import glob
import os
import re

from tap import Tap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# IANA's "Enumerated Status Codes", without their class
REGISTRY = set("""0.0 1.0 1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9 1.10 2.0 2.1 2.2 2.3 2.4 3.0 3.1 3.2 3.3 3.4 3.5 3.6 4.0 4.1 4.2 4.3 4.4 4.5 4.6
4.7 5.0 5.1 5.2 5.3 5.4 5.5 5.6 6.0 6.1 6.2 6.3 6.4 6.5 6.6 6.7 6.8 6.9 6.10 7.0 7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8 7.9 7.10 7.11 7.12 7.13 7.14
7.15 7.16 7.17 7.18 7.19 7.20 7.21 7.22 7.23 7.24 7.25 7.26 7.27 7.28 7.29 7.30""".split())
WITHOUT = re.compile(r'^(220 %|250[ -](%|SIZE|LIMITS)|334 |354 )')
CLASSES = {"2": "2", "4": "4", "5": "5"}
# class and meaning that RFC 5321 gives them: what may be said as a reply at all
CODES = set("211 214 220 221 235 250 251 252 334 354 421 450 451 452 454 455 500 501 502 503 504 530 534 535 538 550 551 552 553 554 555 556".split())


def judge(reply):
    """What is wrong with it; '' when nothing is."""
    code, rest = reply[:3], reply[3:]
    if code not in CODES:
        return "no code of RFC 5321 or 4954"
    if WITHOUT.match(reply):
        return ""
    enhanced = re.match(r"[ -](\d)\.(\d{1,3}\.\d{1,3})(?![\d.])", rest)
    if not enhanced:
        return "no enhanced code"
    if enhanced[1] != CLASSES.get(code[0]):
        return "the enhanced code is of another class"
    return "" if enhanced[2] in REGISTRY else "the registry has no such code"


def replies():
    for pattern in ("src/smtp/*.c", "src/receive/*.c", "src/submit/prepare.c"):
        for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
            name = os.path.relpath(path, ROOT)
            if not re.search(r"_(test|fuzz)\.c$|/client\w*\.c$|/scram_client", name):
                with open(path, encoding="utf-8") as file:
                    for number, line in enumerate(file, 1):
                        for reply in re.findall(r'"([2345]\d\d[ -][^"]*)"', line):
                            yield f"{name}:{number}", reply


with Tap() as tap:
    for reply, wrong in (("250 2.0.0 ok", False), ("250 ok", True), ("550 4.1.1 no", True), ("550 5.1.99 no", True), ("299 2.0.0 x", True),
                         ("354 go on", False), ("250-SIZE %llu", False), ("421 4.7.0.1 x", True), ("450", True)):
        tap.equal(bool(judge(reply)), wrong, f"the judge: {reply}")
    found = list(replies())
    tap.ok(len(found) > 90, "replies are found in the source", str(len(found)))
    tap.equal([f"{where}: {reply}: {judge(reply)}" for where, reply in found if judge(reply)], [], f"{len(found)} replies, each with a code that is right (M21)")
