"""The real agent on a small disk, a file and a UDP port that feed it, and a broker of our own that judges what comes out."""
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
from agent import Agent, wait_until  # noqa: E402
from arrivals import DurableUpstream  # noqa: E402
from independent_receiver import line_findings  # noqa: E402
from mosquitto import free_port  # noqa: E402

CONFIG = """\
agent: {{id: disk}}
buffer: {{path: {disk}/penstock/buffer, max_size: {max_size}, preallocate: {preallocate}, keep_free: {keep_free},
         write_budget: off, commit: {{every: 20ms}}}}
upstream: {{brokers: ["mqtt://127.0.0.1:{port}"]}}
connectors:
  app: {{type: file, paths: ["{folder}/log/app.log"], start: beginning}}
  net: {{type: socket, listen: ["udp://127.0.0.1:{udp}"]}}
"""
PATIENCE_S = 120
STOP_S = 30      # far above what it takes, far below "hangs"


class Failed(Exception):
    pass


def lines_of(count, first, seed):
    rng = random.Random(f"{seed} {first}")
    return [f"line {n} {rng.getrandbits(1600):0400x}\n".encode() for n in range(first, first + count)]


class Scene:
    """What every case needs. `disk` is where the buffer is; all else is elsewhere."""

    def __init__(self, binary, folder, disk, max_size="64MiB", preallocate=False, keep_free="0", environment=None):
        self.folder = pathlib.Path(folder)
        self.disk = pathlib.Path(disk)
        self.upstream = DurableUpstream(folder)
        self.udp = free_port()
        self.agent = Agent(binary, folder, self.upstream.port)
        self.agent.environment = dict(os.environ, **environment) if environment else None
        self.agent.config.write_text(CONFIG.format(
            folder=folder, disk=disk, port=self.upstream.port, udp=self.udp, max_size=max_size, keep_free=keep_free,
            preallocate="true" if preallocate else "false"), encoding="utf-8")
        self.log_lines = 0  # written to the file
        self.sent = 0       # datagrams, in all lives
        self.sent_before = 0
        self.unsure = 0     # datagrams that a life may have taken with it: they were not yet durable
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.log_mark = 0
        self.findings = []

    # -- feeding

    def write_lines(self, count):
        with open(self.folder / "log" / "app.log", "ab", buffering=0) as out:
            for line in lines_of(count, self.log_lines + 1, "app"):
                out.write(line)
        self.log_lines += count

    def send(self, count):
        for line in lines_of(count, self.sent + 1, "net"):
            self.sender.sendto(line, ("127.0.0.1", self.udp))
            self.sent += 1
            if self.sent % 20 == 0:
                time.sleep(0.001)  # lets the receiver run; what the kernel drops is told all the same

    # -- the agent

    def start(self, is_waited_for=True):
        self.sent_before = self.sent
        self.agent.start()
        if is_waited_for:
            self.wait(lambda: self.status() is not None, "the agent does not answer")

    def status(self):
        found = self.agent.status()
        if found is None and self.agent.ended() is not None:
            raise Failed(f"the agent ended with {self.agent.ended()}")
        return found

    def connector(self, name):
        found = self.status()
        return next((c for c in found["connectors"] if c["name"] == name), {}) if found else {}

    def intake(self):
        found = self.status()
        return found["intake"] if found else {}

    def wait(self, condition, complaint, patience=PATIENCE_S):
        if not wait_until(condition, patience, every=0.1):
            raise Failed(f"{complaint}: {self.agent.status()}")

    def has_stored(self, name, events):
        """So many events of the connector are in the file."""
        done = subprocess.run([self.agent.binary, "buffer", "list", "--json", "-c", self.agent.config], capture_output=True, text=True, check=False)
        streams = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
        return any(s["stream"].split("/")[0] == name and s["next_seq"] >= events for s in streams)

    def has_taken_all(self):
        """Every datagram of this life is an event or told as lost; the kernel tells what it dropped with the next one."""
        net = self.connector("net")
        if net.get("events", 0) + net.get("lost", 0) == self.sent - self.sent_before:
            return True
        if net.get("queued_bytes", 1) == 0:
            self.send(1)
        return False

    def is_waiting_at(self, name):
        return bool(self.connector(name).get("is_held_back"))

    def in_log(self, *words):
        """How many lines since the last mark have all of these words."""
        text = self.agent.log.read_text(encoding="utf-8", errors="replace")[self.log_mark:]
        return sum(all(word in line for word in words) for line in text.splitlines())

    def mark_log(self):
        self.log_mark = len(self.agent.log.read_text(encoding="utf-8", errors="replace")) if self.agent.log.exists() else 0

    def says_once(self, *words):
        self.wait(lambda: self.in_log(*words) > 0, f"the log does not say {words}")
        self.check(self.in_log(*words) == 1, f"{words} stands {self.in_log(*words)} times in the log")

    def check(self, is_true, complaint):
        if not is_true:
            self.findings.append(complaint)

    def stop(self, codes=(0,)):
        """SIGTERM, which must be prompt."""
        began = time.monotonic()
        code = self.agent.stop(STOP_S)
        self.check(code in codes, f"SIGTERM: it ended with {code}, not {codes}, after {time.monotonic() - began:.1f} s")
        return time.monotonic() - began

    # -- the end

    def is_drained(self):
        self.upstream.poll()
        found = self.status()
        if not found or found["buffer"]["rows"]:
            return False
        return self.count("app") >= self.log_lines

    def count(self, name):
        streams = [s for key, s in self.upstream.poll().streams.items() if key[1] == name]
        return sum(len(s.content) for s in streams)

    def told(self, name):
        """The `_agent` events of this name, as they arrived."""
        streams = [s for key, s in self.upstream.poll().streams.items() if key[1] == "_agent"]
        return [event for s in streams for event in s.events if event.get("event") == name]

    def finish(self):
        """All comes out, with nothing in the way; the receiver's account adds up."""
        if not self.upstream.is_up():
            self.upstream.start()
        self.wait(self.has_taken_all, "the datagrams are not all taken or told as lost")
        self.wait(self.is_drained, "the agent does not drain")
        self.stop()
        rule = self.upstream.poll()
        self.findings += rule.findings()
        self.findings += line_findings(rule, "app", self.log_lines)
        (net,) = [s for key, s in rule.streams.items() if key[1] == "net"] or [None]
        taken, lost = (len(net.content), len(net.lost)) if net else (0, 0)
        missing = self.sent - taken - lost
        self.check(0 <= missing <= self.unsure, f"{taken} datagrams taken + {lost} lost are not {self.sent} ({self.unsure} unsure)")
        return f"{self.log_lines} lines, {taken} datagrams and {lost} lost in {rule.loss_records} records"

    def close(self):
        self.agent.kill()
        self.upstream.close()
        self.sender.close()
