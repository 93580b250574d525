"""What the benches that load a server by wrk share: a network of their own, a server's CPU, wrk and what it says."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))


def alone(name):
    """Go on inside a network namespace that has loopback only, where we may; stop without wrk."""
    if not shutil.which("wrk"):
        sys.exit(f"{name}: wrk is not here (Debian package wrk; tools/setup bench)")
    if os.geteuid() == 0 and not os.environ.get("TODOKE_BENCH_NET"): # loopback addresses of our own
        os.environ["TODOKE_BENCH_NET"] = "1"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, *sys.argv])


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
        before = cpu_seconds(pid)
        said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", path, f"http://{where}"], capture_output=True, text=True, check=True).stdout
        self.requests, micros, p50, p99 = map(int, re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", said).groups())
        self.rate = self.requests / micros * 1e6
        self.cost = (cpu_seconds(pid) - before) / self.requests * 1e6
        self.p50, self.p99 = p50 / 1000, p99 / 1000
        wanted = "Non-2xx.*|" if 200 <= status < 300 else "" # wrk counts 3xx among them
        self.wrong = re.findall(rf"^\s*(?:{wanted}Socket errors.*|status \d+)", said, re.M)
