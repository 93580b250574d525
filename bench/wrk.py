"""wrk against our server, for the benches of HTTP: one run, and what it says."""
import re
import shutil
import subprocess
import sys

from measure import seconds_of


def wanted(name):
    if not shutil.which("wrk"):
        sys.exit(f"{name}: wrk is not here (Debian package wrk; tools/setup bench)")


DONE = r"""
local bad = 0
function response(status) if status ~= %(status)d then bad = bad + 1; if bad < 4 then print("status " .. status) end end end
function done(summary, latency)
    print(string.format("RESULT %%d %%d %%d %%d", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""


class Run:
    """One run of wrk with one thread: requests, rate (a second), cost (us CPU of the server each), p50 and p99 (ms), wrong (what was not `status`)."""

    def __init__(self, place, where, pid, script, status, connections, seconds):
        path = place.write("wrk.lua", script + DONE % {"status": status})
        before = seconds_of(pid)
        said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", path, f"http://{where}"], capture_output=True, text=True, check=True).stdout
        self.requests, micros, p50, p99 = map(int, re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", said).groups())
        self.rate = self.requests / micros * 1e6
        self.cost = (seconds_of(pid) - before) / self.requests * 1e6
        self.p50, self.p99 = p50 / 1000, p99 / 1000
        wanted = "Non-2xx.*|" if 200 <= status < 300 else "" # wrk counts 3xx among them
        self.wrong = re.findall(rf"^\s*(?:{wanted}Socket errors.*|status \d+)", said, re.M)
