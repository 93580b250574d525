"""tally - count what test programs say, in TAP (cmocka, our Python tests, `node --test --test-reporter=tap`).

Tally.add() takes one finished program: its output and exit status. A program that dies, says less than it planned, or says
nothing counts as one failure more, so that nothing passes by not running. The verdict is one last line:
`N passed, N failed[, N skipped]`."""
import re
import sys

POINT = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*(.*?)\s*(?:#\s*(skip|todo)\S*\s*(.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*skip\S*\s*(.*))?", re.I)
NODE_SUM = re.compile(r"^# (pass|fail|cancelled|skipped|todo) (\d+)$")


class Count:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0
        self.failures, self.skips = [], []


def count_tap(output, status):
    """Count the points at the left margin (indented ones are subtests of those)."""
    count, planned, said, skipped_wrong = Count(), None, 0, 0
    node = {}
    for line in output.splitlines():
        plan, summary, point = PLAN.match(line), NODE_SUM.match(line), POINT.match(line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
            if plan.group(1) == "0" and plan.group(2):
                count.skipped += 1
                count.skips.append(plan.group(2))
        elif summary:
            node[summary.group(1)] = int(summary.group(2))
        elif point:
            said += 1
            wrong, name, directive, reason = point.groups()
            if directive and directive.lower() == "skip":
                skipped_wrong += bool(wrong)
                count.skipped += 1
                count.skips.append(f"{name}: {reason}" if reason else name)
            elif wrong and not (directive and directive.lower() == "todo"):
                count.failed += 1
                count.failures.append(name)
            else:
                count.passed += 1
    if {"pass", "fail"} <= node.keys(): # node counts every subtest; its top points are files or tests, by version
        count.passed, count.failed = node["pass"], node["fail"] + node.get("cancelled", 0)
        count.skipped = node.get("skipped", 0) + node.get("todo", 0)
    if planned is None and not said and status == 0:
        count.failed += 1
        count.failures.append("said nothing: no TAP plan, no test points")
    elif planned is not None and said < planned:
        count.failed += 1
        count.failures.append(f"stopped after {said} of {planned} tests (exit status {status})")
    elif status != 0 and not count.failed and not (skipped_wrong and status in (1, skipped_wrong)):
        # (what cmocka skips is "not ok ... # SKIP": meson takes that for a failure, and cmocka may count it in its status)
        count.failed += 1
        count.failures.append(f"ended with exit status {status}")
    return count


class Tally:
    def __init__(self, out=sys.stdout):
        self.passed, self.failed, self.skipped = 0, 0, 0
        self.out = out

    def add(self, program, output, status, seconds=None):
        count = count_tap(output, status)
        self.passed += count.passed
        self.failed += count.failed
        self.skipped += count.skipped
        took = "" if seconds is None else f" in {seconds:.1f} s"
        more = f", {count.skipped} skipped" if count.skipped else ""
        print(f"{'FAIL' if count.failed else 'ok  '} {program}: {count.passed} passed, {count.failed} failed{more}{took}",
              file=self.out, flush=True)
        for reason in count.skips:
            print(f"       skipped: {reason}", file=self.out)
        if count.failed:
            for name in count.failures:
                print(f"       failed: {name}", file=self.out)
            kept = output.splitlines()[-400:]
            print("\n".join("     | " + line for line in kept), file=self.out, flush=True)
        return count.failed == 0

    def last_line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"
