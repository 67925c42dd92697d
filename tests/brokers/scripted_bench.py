"""An agent with two logs at a scripted broker: what the cases of scripted.py have in common."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
from agent import Agent  # noqa: E402
from bench import Bench, wait  # noqa: E402
from certificate import make_certificate  # noqa: E402
from independent_receiver import line_findings  # noqa: E402
from scripted_broker import ScriptedBroker  # noqa: E402

OTHER = '  other: {{type: file, paths: ["{folder}/log/other.log"], start: beginning}}\n'


class ScriptedBench(Bench):
    def __init__(self, folder, binary, protocol, upstream, *, tls=False, **broker):
        if tls:
            ca, *broker["certificate"] = make_certificate(pathlib.Path(folder))
            upstream += f"tls: {{ca: {ca}}}, "
        self.broker, self.protocol = ScriptedBroker(**broker), protocol
        super().__init__(folder, Agent(binary, folder, self.broker.port, device="gw-7"))
        self.configure(f'protocol: "{protocol}", batch: {{events: 10}}, {upstream}')
        if tls:
            self.replace("mqtt://127.0.0.1", "mqtts://localhost")
        with open(self.agent.config, "a", encoding="utf-8") as config:
            config.write(OTHER.format(folder=folder))

    def by_protocol(self, of_5, of_3):
        return of_5 if self.protocol == "5" else of_3

    def play(self, script, count=400, size=100):
        self.broker.script = script
        self.append(count, size)
        self.agent.start()

    def messages(self):
        return self.broker.taken

    def upstream(self):
        status = self.agent.status()
        return status["upstream"] if status else {}

    def is_drained(self):
        status = self.agent.status()
        return bool(status) and status["buffer"]["rows"] == 0

    def losses(self):
        return [event for topic, payload in self.broker.taken if "/data/" in topic
                for event in json.loads(payload) if "lost" in event]

    def told(self, kind, **members):
        """Events of the agent about itself that came."""
        return [event for key, stream in self.poll().streams.items() if key[1] == "_agent" for event in stream.events
                if event["event"] == kind and members.items() <= event.items()]

    def wait_for_log(self, text):
        wait(lambda: text in self.log(), text)

    def judge_late(self, *, lost=0):
        """As judge(), where numbers may come late and `lost` lines become loss records."""
        wait(self.is_drained, "an empty buffer")
        for stream in self.poll().streams.values():
            stream.events.sort(key=lambda event: event["seq"])
        found = self.rule.findings(late_allowed=True)
        missing = self.lines["app"] - self.arrived()
        assert missing == lost == sum(len(stream.lost) for stream in self.rule.streams.values()), (missing, lost)
        if not lost:
            found += line_findings(self.rule, "app", self.lines["app"])
        assert not found, "\n".join(found[:10])

    def run(self, *arguments):
        """Another command of the agent's program."""
        return subprocess.run([self.agent.binary, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)

    def finish(self):
        assert self.agent.stop() == 0, "the agent did not end well"
        assert not self.broker.malformed, self.broker.malformed

    def close(self):
        self.agent.kill()
        self.broker.close()
