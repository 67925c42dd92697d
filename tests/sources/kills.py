"""Runs an agent without upstream, kills it at random moments, and reads back what its buffer holds."""
import json
import random
import signal
import subprocess
import time

from agent import wait_until


class KilledAgent:
    def __init__(self, binary, folder, connectors, commit_every="50ms"):
        self.binary, self.folder, self.process = binary, folder, None
        self.log = folder.path / "agent.log"
        self.config = folder.config(
            f"agent: {{id: gw}}\nbuffer: {{path: {folder.path}/buffer, max_size: 64MiB, write_budget: off, "
            f"commit: {{every: {commit_every}}}}}\nconnectors:\n{connectors}")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.binary, "run", "-c", self.config], stdout=log, stderr=log)

    def kill(self, after_s):
        time.sleep(after_s)  # a random moment is the test, not a wait for something
        assert self.process.poll() is None, f"the agent ended by itself:\n{self.tail()}"
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def lives(self, count, seed, longest_s=0.6):
        """Starts and kills it so often; then lets it live."""
        moments = random.Random(seed)
        for _ in range(count):
            self.start()
            self.kill(moments.random() * longest_s)
        self.start()

    def events(self, stream):
        """What the buffer holds of a stream, in order; the agent may run."""
        done = subprocess.run([self.binary, "buffer", "export", "--stream", stream, "-c", self.config],
                              capture_output=True, text=True, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []

    def wait_for_log(self, text, seconds=60):
        assert wait_until(lambda: text in self.tail(), seconds), f"{text} is not in:\n{self.tail()}"

    def tail(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]

    def final_events(self, stream, count, seconds=120):
        """Waits until so many events of the stream are stored (the agent lives), stops it, and gives all."""
        assert wait_until(lambda: len(self.events(stream)) >= count, seconds, every=0.2), \
            f"{len(self.events(stream))} of {count} events of {stream}:\n{self.tail()}"
        self.stop()
        return self.events(stream)
