"""What the jobs of tests/bench share: the setting of a run, rows of the table, the agent, and what it costs."""
import contextlib
import dataclasses
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "peers"), str(ROOT / "tests" / "fault")]
import agent as agent_peer  # noqa: E402
import disks  # noqa: E402
from agent import cpu_s, wait_until  # noqa: E402
from mosquitto import Mosquitto  # noqa: E402

LINE_BYTES = 128
PATIENCE_S = 300


class NotHere(RuntimeError):
    """What the job needs is not on this machine: it is told, not failed."""


class Failed(RuntimeError):
    """The job ran and what it needs to be true was not."""


@dataclasses.dataclass
class Row:
    """One line of the table. `peer` is what was measured beside it; `mark` is the aim, as text."""
    job: str
    case: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    mark: str = ""
    reached: bool | None = None
    rss_anon_mib: float | None = None
    device_bytes: float | None = None  # for each event

    def at_most(self, limit):
        return self._judge("at most", limit, self.ours <= limit)

    def at_least(self, limit):
        return self._judge("at least", limit, self.ours >= limit)

    def ratio_at_most(self, limit):
        return self._judge("ratio at most", limit, self.ratio() <= limit)

    def _judge(self, words, limit, reached):
        self.mark, self.reached = f"{words} {limit:,}", bool(reached)
        return self

    def ratio(self):
        return self.ours / self.peer if self.peer else None


@dataclasses.dataclass
class Setting:
    """What the command line asks for."""
    build: pathlib.Path
    folder: pathlib.Path
    lines: int = 1_000_000
    runs: int = 3
    seconds: float = 30.0      # of the jobs that watch something idle
    backlog_bytes: int = 1 << 30
    streams: int = 2000
    is_small: bool = False     # sizes of a test: no mark is judged

    @property
    def penstock(self):
        return self.build / "penstock"

    @contextlib.contextmanager
    def place(self):
        """A folder for one run of something."""
        path = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def lines_file(self):
        path = self.folder / "app.log"
        if not path.exists():
            make_lines(path, self.lines)
        return path


def make_lines(path, count):
    """Log-like lines of 128 bytes with their number in front; the same for every run."""
    rng = random.Random(1)
    words = "accepted closed connection error from host info kernel lease link request session timeout user worker".split()
    tails = [" ".join(rng.choice(words) for _ in range(30)) for _ in range(997)]
    with open(path, "w", encoding="ascii") as out:
        for i in range(1, count + 1):
            head = f"line {i} 2026-11-24T10:{i // 60 % 60:02}:{i % 60:02}.{i % 1000:03} "
            out.write((head + tails[i * 31 % 997])[: LINE_BYTES - 1].ljust(LINE_BYTES - 1) + "\n")


def broker(folder):
    return Mosquitto(folder, "max_inflight_messages 0\n")


class Agent(agent_peer.Agent):
    """The agent under test, with connectors as YAML. `mqtt_port` 0: it has no upstream."""

    def __init__(self, setting, folder, mqtt_port, connectors, buffer="preallocate: false, write_budget: off",
                 upstream="compression: none", device="bench", buffer_path=None):
        super().__init__(setting.penstock, folder, mqtt_port)
        brokers = f'upstream: {{brokers: ["mqtt://127.0.0.1:{mqtt_port}"], {upstream}}}\n' if mqtt_port else ""
        self.config.write_text(
            f"agent: {{id: {device}}}\nbuffer: {{path: {buffer_path or self.folder / 'buffer'}, {buffer}}}\n{brokers}"
            f"connectors:\n{connectors}", encoding="utf-8")

    def wait_until_stored(self, events):
        """Until so many events were committed in this life."""
        def is_stored():
            status = self.status()
            return status is not None and status["intake"]["events"] >= events
        if not wait_until(is_stored, PATIENCE_S):
            raise Failed(f"{events} events were not stored\n{self.log_tail()}")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()


def file_connector(path):
    return f'  app: {{type: file, paths: ["{path}"], start: beginning}}\n'


def memory_mib(pid):
    """(RssAnon, VmRSS); None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = dict(re.findall(r"(RssAnon|VmRSS):\s+(\d+)", text))
    return (int(found["RssAnon"]) / 1024, int(found["VmRSS"]) / 1024) if len(found) == 2 else None


class PeakMemory(threading.Thread):
    """The most RssAnon and VmRSS of a process, MiB, sampled every 10 ms until it is gone."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.anon, self.rss = pid, 0.0, 0.0
        self.start()

    def run(self):
        while (now := memory_mib(self.pid)) is not None:
            self.anon, self.rss = max(self.anon, now[0]), max(self.rss, now[1])
            time.sleep(0.01)


@contextlib.contextmanager
def counted_disk(folder, size_mib=1024):
    """An ext4 of its own over a loop device in memory; yields its folder and a function that tells the bytes written to
    it so far. Without root: a plain folder, and a function that returns None."""
    if os.geteuid() != 0 or not os.environ.get(disks.MARK):
        yield pathlib.Path(folder), lambda: None
        return
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir="/dev/shm") as base:
        with disks.Disk(base, "ext4", size_mib) as disk:
            device = os.stat(disk.path).st_dev
            stat = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
            handle = os.open(disk.path, os.O_RDONLY)

            def written():
                subprocess.run(["sync", "-f", disk.path], check=True)
                return int(stat.read_text(encoding="ascii").split()[6]) * 512
            try:
                yield disk.path, written
            finally:
                os.close(handle)


def medians(results):
    """The median of each figure over runs; None where it could not be measured."""
    return {key: None if results[0][key] is None else statistics.median(r[key] for r in results) for key in results[0]}


def interleaved(runs, **calls):
    """Calls each function once a run, in turn, so that all see the same machine; medians by name."""
    results = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            results[name].append(call())
    return {name: medians(found) for name, found in results.items()}
