"""What arrived upstream, whichever broker was there: one interface over the log and the MQTT client."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import durable_broker  # noqa: E402
import independent_receiver as receiver  # noqa: E402
from mosquitto import Mosquitto, free_port, wait_for_port  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


class DurableUpstream:
    """The broker of our own, which may be killed at any moment."""
    name = "durable broker"

    def __init__(self, folder, seed=0, drop_chance=0.0):
        self.log = pathlib.Path(folder) / "broker.log"
        self.port = free_port()
        self.arguments = ["--drop-chance", str(drop_chance), "--seed", str(seed)]
        self.process = None
        self.read_to = 0
        self.rule = receiver.Rule()

    def start(self):
        command = [HERE / "durable_broker.py", "--port", str(self.port), "--log", self.log, *self.arguments]
        self.process = subprocess.Popen(command)
        wait_for_port(self.port, self.process)
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def is_up(self):
        return self.process is not None

    def poll(self):
        """Judges what came since the last call; returns the rule."""
        if self.log.exists():
            for topic, payload, self.read_to in durable_broker.read_log(self.log, self.read_to):
                if "/data/" in topic:
                    self.rule.take_message(topic, payload)
        return self.rule

    def close(self):
        self.stop()


class MosquittoUpstream:
    """mosquitto, which is only ever ended by SIGTERM, and a client with a persistent session."""
    name = "mosquitto"

    def __init__(self, folder):
        self.broker = Mosquitto(folder)
        self.port = self.broker.port
        self.client = receiver.Client(self.port)
        self.judged = 0
        self.rule = receiver.Rule()

    def start(self):
        self.broker.start()
        if not self.client.is_alive():
            self.client.start()
            if not self.client.subscribed.wait(10):
                raise RuntimeError("the independent receiver could not subscribe")
        return self

    def stop(self):
        self.broker.stop()

    def is_up(self):
        return self.broker.process is not None

    def poll(self):
        messages = self.client.messages
        while self.judged < len(messages):
            self.rule.take_message(*messages[self.judged])
            self.judged += 1
        return self.rule

    def close(self):
        self.client.stop()
        self.broker.stop()


def arrived(rule, stream_name):
    """How many different events of the stream came."""
    return sum(len(s.events) for key, s in rule.streams.items() if key[1] == stream_name)
