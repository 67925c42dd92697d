"""An agent that reads logs and sends their lines to some broker, and the account of what arrived."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
from agent import wait_until  # noqa: E402
from independent_receiver import Rule, line_findings  # noqa: E402

PATIENCE_S = 120


def wait(condition, what):
    assert wait_until(condition, PATIENCE_S), f"{what}: not within {PATIENCE_S} s"


class Bench:
    def __init__(self, folder, agent):
        self.folder, self.agent = pathlib.Path(folder), agent
        self.lines = {}  # connector -> how many were written to its log
        self.rule, self.judged = Rule(), 0

    def messages(self):
        """(topic, payload) of all that came, in order."""
        raise NotImplementedError

    def replace(self, old, new):
        text = self.agent.config.read_text(encoding="utf-8")
        assert old in text, f"{old} is not in the configuration"
        self.agent.config.write_text(text.replace(old, new), encoding="utf-8")

    def configure(self, upstream):
        self.replace("upstream: {", f"upstream: {{{upstream}")

    def append(self, count, size=100, name="app"):
        first = self.lines.get(name, 0) + 1
        self.lines[name] = first + count - 1
        with open(self.folder / "log" / f"{name}.log", "a", encoding="utf-8") as log:
            log.writelines(f"line {n} {'x' * size}\n" for n in range(first, first + count))

    def poll(self):
        messages = self.messages()
        while self.judged < len(messages):
            topic, payload = messages[self.judged]
            if "/data/" in topic:
                self.rule.take_message(topic, payload)
            self.judged += 1
        return self.rule

    def arrived(self, name="app"):
        return sum(len(s.events) for key, s in self.poll().streams.items() if key[1] == name)

    def wait_for_lines(self, *names):
        for name in names or self.lines:
            assert wait_until(lambda: self.arrived(name) >= self.lines[name], PATIENCE_S), \
                f"{self.arrived(name)} of {self.lines[name]} lines of {name}\n{self.agent.log_tail()}"  # noqa: B023

    def judge(self):
        self.wait_for_lines()
        found = self.poll().findings()
        for name, count in self.lines.items():
            found += line_findings(self.rule, name, count)
        assert not found, "\n".join(found[:10])

    def log(self):
        return self.agent.log.read_text(encoding="utf-8", errors="replace")
