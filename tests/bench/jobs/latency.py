"""latency: from the append to a file until a subscriber has the line, beside a bare LMDB commit."""
import json
import re
import statistics
import subprocess
import threading
import time

import bench
import subscriber

RATIO_MAX = 3
PAUSE_S = 0.01


class Arrivals(subscriber.Subscriber):
    """When each line came, by its number."""

    def __init__(self, port):
        self.times, self.news = {}, threading.Condition()
        super().__init__(port, "penstock/+/data/app")

    def take(self, body, start):
        with self.news:
            for number in re.findall(rb'"message":"line (\d+) ', body[start:]):
                self.times.setdefault(int(number), self.last)
            self.news.notify()

    def wait_for(self, number):
        with self.news:
            if not self.news.wait_for(lambda: number in self.times, bench.PATIENCE_S):
                raise bench.Failed(f"line {number} did not arrive")
            return self.times[number]


def append_lines(setting, every, count, pause_s):
    """Milliseconds from each append to its arrival; a line is written when the one before has come."""
    with setting.place() as place, bench.broker(place) as broker:
        arrivals = Arrivals(broker.port)
        log = place / "app.log"
        agent = bench.Agent(setting, place, broker.port, bench.file_connector(log),
                            buffer=f"write_budget: off, max_size: 64MiB, commit: {{every: {every}}}")
        with agent, open(log, "ab", buffering=0) as out:
            found = []
            for number in range(1, count + 2):
                text = f"line {number} ".ljust(bench.LINE_BYTES - 1, "x") + "\n"
                began = time.monotonic()
                out.write(text.encode())
                arrived = arrivals.wait_for(number)
                if number > 1:  # the first waits for the start
                    found.append((arrived - began) * 1e3)
                time.sleep(pause_s)
            agent.stop()
        arrivals.close()
    return found


def bare_commits(setting, count):
    with setting.place() as place:
        done = subprocess.run([setting.build / "tests/bare_commit", place / "bare.mdb", str(count), str(int(PAUSE_S * 1e6))],
                              capture_output=True, text=True, check=True)
        return [us / 1e3 for us in json.loads(done.stdout)["us"]]


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def latency(setting):
    count = 20 if setting.is_small else 500
    ours, bare = [], []
    for _ in range(setting.runs):
        bare += bare_commits(setting, count)
        ours += append_lines(setting, "0", count, PAUSE_S)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        yield bench.Row("latency", f"commit.every 0, {name} of {len(ours)}", "ms", percentile(ours, share),
                        percentile(bare, share), "LMDB commit").ratio_at_most(RATIO_MAX)
    after_pause = append_lines(setting, "1s", 1 if setting.is_small else 5, 2.0)
    yield bench.Row("latency", "commit.every 1 s, first after a pause", "ms", statistics.median(after_pause)).at_most(100)


JOBS = {"latency": latency}
