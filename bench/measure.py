"""measure - what every bench needs: a network of its own, processor time, medians with their spread, and how busy others kept the machine

    alone()                          # starts this script again in a network namespace that has only loopback
    group = Group("todoke")          # processes whose processor time is counted together
    process = group.start([...])
    with Busy() as busy: ...         # busy.foreign: cores that were kept busy by others than our groups meanwhile
    Group.end_all()                  # nothing stays behind

Processor time comes from a cgroup (v1 cpuacct or v2 cpu.stat), so that children count; where none can be made, from /proc for
the processes that were started here. A shared machine drifts by a third within minutes, rates and processor time alike: every bench
measures in turns (ours, theirs, ours, theirs, ...), compares what was measured side by side, and says the median of those ratios."""
import ctypes
import fcntl
import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
TICK = os.sysconf("SC_CLK_TCK")


def say(*words):
    print(*words, flush=True)


def alone():
    """Only loopback from here on, and no other run's ports. Does not come back the first time."""
    if os.environ.get("TODOKE_BENCH_ALONE") != str(os.getpid()):
        os.environ["TODOKE_BENCH_ALONE"] = str(os.getpid()) # execvp keeps the number
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.execvp("unshare", ["unshare", "--net", *user, sys.executable, *sys.argv])
    with socket.socket() as any_socket: # lo up: SIOCGIFFLAGS, SIOCSIFFLAGS with IFF_UP
        request = struct.pack("16sh14x", b"lo", 0)
        name, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, 0x8913, request))
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", name, flags | 1))


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM) # PR_SET_PDEATHSIG


class Group:
    """Processes, and what they cost together."""
    every = []

    def __init__(self, name):
        self.name, self.processes = name, []
        self.path = self._make(f"todoke-bench-{os.getpid()}-{name}-{len(Group.every)}")
        Group.every.append(self)

    @staticmethod
    def _make(name):
        for base in ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"):
            if os.path.exists(os.path.join(base, "cgroup.procs")):
                try:
                    path = os.path.join(base, name)
                    os.mkdir(path)
                    return path
                except OSError:
                    return None
        return None

    def _enter(self):
        die_with_parent()
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")

    def start(self, command, **options):
        process = subprocess.Popen(command, preexec_fn=self._enter, **options)
        self.processes.append(process)
        return process

    def pids(self):
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), encoding="ascii") as file:
                return [int(line) for line in file]
        return [process.pid for process in self.processes if process.poll() is None]

    def seconds(self):
        """Processor time so far, of those that have ended too."""
        if self.path and os.path.exists(os.path.join(self.path, "cpuacct.usage")):
            with open(os.path.join(self.path, "cpuacct.usage"), encoding="ascii") as file:
                return int(file.read()) / 1e9
        if self.path:
            with open(os.path.join(self.path, "cpu.stat"), encoding="ascii") as file:
                return int(re.search(r"usage_usec (\d+)", file.read()).group(1)) / 1e6
        return sum(seconds_of(pid) for pid in self.pids())

    def memory_mb(self):
        """Resident and not shared with a file: RssAnon of all of them together."""
        return sum(status_mb(pid, "RssAnon") for pid in self.pids())

    def end(self):
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            pids = self.pids()
            for pid in pids:
                try:
                    os.kill(pid, signal_number)
                except ProcessLookupError:
                    pass
            until = time.monotonic() + 10
            while pids and time.monotonic() < until:
                for process in self.processes:
                    process.poll()
                if not self.pids():
                    break
                time.sleep(0.02)
        for process in self.processes:
            process.wait()
        if self.path:
            os.rmdir(self.path)
            self.path = None
        Group.every.remove(self)

    @classmethod
    def end_all(cls):
        for group in list(cls.every):
            group.end()


def seconds_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def status_mb(pid, what):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            found = re.search(rf"^{what}:\s+(\d+) kB", file.read(), re.M)
    except OSError:
        return 0.0
    return int(found.group(1)) / 1024 if found else 0.0


def machine():
    """Seconds that the cores of this machine worked (and were stolen by the host) since it began."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return sum(fields[:3] + fields[5:8]) / TICK


class Busy:
    """How many cores others kept busy while this lasted: everything but our groups and ourselves."""

    def _ours(self):
        return sum(group.seconds() for group in Group.every) + sum(os.times()[:4])

    def __enter__(self):
        self.at, self.all, self.own, self.foreign = time.monotonic(), machine(), self._ours(), 0.0
        return self

    def __exit__(self, *_):
        self.foreign = max(0.0, (machine() - self.all - self._ours() + self.own) / (time.monotonic() - self.at))


def median(values):
    return statistics.median(values)


def spread(values, form="{:.0f}"):
    """"3100 (2900-3300)": the median and what it lies between."""
    if len(values) == 1:
        return form.format(values[0])
    return f"{form.format(median(values))} ({form.format(min(values))}-{form.format(max(values))})"


def ratio(ours, theirs, key):
    """The median of what one was of the other in the same turn."""
    return median([our[key] / their[key] for our, their in zip(ours, theirs)])


def signatures_more(plain, signed, signatures):
    """How many signatures a signed mail costs more than one that is not, in the same turn; 0 where openssl is not there."""
    return median([(more["cpu_ms"] - less["cpu_ms"]) / one if one else 0 for less, more, one in zip(plain, signed, signatures)])


def signature_ms():
    """Milliseconds of a core for one RSA-2048 signature on this machine now, by `openssl speed`; None without openssl. One process for
    each core at once, as the program signs: a core whose neighbour works too is slower (power, caches, threads of one core). Each
    measures its own processor time; with -multi it would be the clock's, and others' work would count as the signature's."""
    command = ["openssl", "speed", "-seconds", "1", "rsa2048"]
    try:
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(os.cpu_count() or 1)]
    except OSError:
        return None
    rates = [re.search(r"^rsa\s+2048 bits\s+\S+\s+\S+\s+([\d.]+)", process.communicate()[0], re.M) for process in running]
    return sum(1000 / float(found.group(1)) for found in rates) / len(rates) if rates and all(rates) else None


def beside_signatures(signatures, turn):
    """What the turn gives, between two looks at what a signature costs: their mean goes into the list (0 without openssl)."""
    before = signature_ms() or 0
    made = turn()
    signatures.append((before + (signature_ms() or 0)) / 2)
    return made


def until(question, seconds, what, every=0.02):
    """Ask until the answer is true, and give it back."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise SystemExit(f"bench: {what}: not within {seconds} s")
        time.sleep(every)
