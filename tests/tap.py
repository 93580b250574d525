"""tap - how a whole-program test says what it saw: TAP on stdout (tools/tally.py counts it).

    from tap import Tap
    with Tap() as tap:
        tap.ok(code == 250, "the receiver takes the mail (S17)", f"it said {code}")
        tap.equal(states, {"delivered": 10}, "nobody is lost (U1)")
        tap.skip("a Postfix of our own", "needs root")

Leaving the block prints the plan; an exception in it is one failed point and does not hide what was shown before."""
import sys
import traceback


class Tap:
    def __init__(self, out=sys.stdout):
        self.out, self.count, self.failed = out, 0, 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and isinstance(error, Exception):
            self.ok(False, "the test runs to its end", "".join(traceback.format_exception(kind, error, trace)))
        print(f"1..{self.count}", file=self.out, flush=True)
        if error is not None and not isinstance(error, Exception):
            return False
        if self.failed:
            sys.exit(1)
        return True

    def note(self, text):
        for line in str(text).splitlines():
            print(f"# {line}", file=self.out, flush=True)

    def ok(self, is_so, name, otherwise=""):
        """One thing to show; `otherwise` is printed when it is not so. Gives back is_so."""
        self.count += 1
        if not is_so:
            self.failed += 1
        print(f"{'ok' if is_so else 'not ok'} {self.count} - {name}", file=self.out, flush=True)
        if not is_so and otherwise:
            self.note(otherwise)
        return bool(is_so)

    def equal(self, got, expected, name):
        return self.ok(got == expected, name, f"     got: {got!r}\nexpected: {expected!r}")

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}", file=self.out, flush=True)
