"""Starts, watches, kills the agent under test: only its command line and its files are known here."""
import json
import pathlib
import signal
import subprocess
import time

CONFIG = """\
agent: {{id: {device}}}
buffer: {{path: {folder}/buffer, max_size: {max_size}, write_budget: off, commit: {{every: {commit_every}}}}}
upstream: {{brokers: ["mqtt://127.0.0.1:{port}"]}}
connectors:
  app: {{type: file, paths: ["{folder}/log/{pattern}"], start: beginning, rotated_wait: 100ms, rescan_every: 1s}}
"""


class Agent:
    def __init__(self, binary, folder, port, device="crash", commit_every="50ms", max_size="64MiB", pattern="app.log"):
        self.binary = binary
        self.folder = pathlib.Path(folder)
        self.config = self.folder / "penstock.yaml"
        self.log = self.folder / "agent.log"
        self.process = None
        self.environment = None  # that of the test
        (self.folder / "log").mkdir(exist_ok=True)
        self.config.write_text(CONFIG.format(folder=self.folder, port=port, device=device,
                                             commit_every=commit_every, max_size=max_size, pattern=pattern), encoding="utf-8")

    def start(self):
        with open(self.log, "ab") as log:
            log.write(b"---- start\n")
            log.flush()
            self.process = subprocess.Popen([self.binary, "run", "-c", self.config], stdout=log, stderr=log,
                                            env=self.environment)
        return self

    def ended(self):
        """The exit code if it has ended by itself."""
        return self.process.poll() if self.process else None

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, patience_s=20):
        """SIGTERM; returns the exit code, or None if it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self.process = None
        return code

    def cpu_s(self):
        return cpu_s(self.process.pid)

    def anonymous_kib(self):
        """RssAnon of /proc/PID/status; None when the process is gone."""
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except (OSError, AttributeError):
            return None
        for line in status.splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        return None

    def status(self):
        """What `penstock status` tells; None while it does not answer."""
        done = subprocess.run([self.binary, "status", "--json", "-c", self.config], capture_output=True, text=True,
                              check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return None

    def receive(self, port, *options, out="receive.out", err="receive.err"):
        """`penstock receive` with its output in files of the folder; subscribed when this returns: the broker keeps nothing for a
        receiver that it does not know yet."""
        command = [self.binary, "receive", "--broker", f"mqtt://127.0.0.1:{port}", *map(str, options)]
        with open(self.folder / out, "wb") as printed, open(self.folder / err, "wb") as told:
            process = subprocess.Popen(command, stdout=printed, stderr=told)
        if not wait_until(lambda: b"connected: broker=" in (self.folder / err).read_bytes(), 60):
            process.kill()
            process.wait()
            raise AssertionError(f"the receiver does not connect: {(self.folder / err).read_text(encoding='utf-8')}")
        return process

    def log_tail(self, lines=40):
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def cpu_s(pid):
    """CPU time of all threads of a process, also of those that have ended, in ns resolution."""
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) returns


def wait_until(condition, seconds, every=0.05):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(every)
    return bool(condition())
