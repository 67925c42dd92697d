"""A receiver that shares no code with the product: a raw MQTT client, and the receiver's rule of docs/wire-format.md.

The rule is written plainly, with a set of all numbers, because a test needs to be right rather than small.
"""
import json
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mqtt_codec as mqtt  # noqa: E402

DECODER = json.JSONDecoder()


class Wrong(AssertionError):
    """What was received breaks the contract."""


def split_batch(payload):
    """The events of one batch as (dict, text exactly as it came)."""
    text = payload.decode("utf-8")
    if not text.startswith("[") or not text.endswith("]"):
        raise Wrong(f"not a JSON array: {text[:80]!r}")
    events, at = [], 1
    while True:
        event, end = DECODER.raw_decode(text, at)
        if not isinstance(event, dict) or list(event)[:5] != ["time", "device", "stream", "epoch", "seq"]:
            raise Wrong(f"an event without its opening members: {text[at:at + 120]!r}")
        events.append((event, text[at:end]))
        if text[end] == "]" and end == len(text) - 1:
            return events
        if text[end] != ",":
            raise Wrong(f"neither ',' nor ']' at {end}")
        at = end + 1


class Stream:
    def __init__(self):
        self.content = {}   # number -> text of the event
        self.lost = set()   # numbers told as lost
        self.highest = -1
        self.events = []    # new ones, in the order of arrival
        self.whole_to = 0   # all numbers below it are covered

    def covers(self, seq):
        return seq in self.content or seq in self.lost

    def ranges(self):
        """Begin and end of each run of covered numbers, rising; cheap while there are few holes."""
        while self.covers(self.whole_to):
            self.whole_to += 1
        bounds = [0, self.whole_to] if self.whole_to else []
        if self.whole_to <= self.highest:
            above = [n for n in range(self.whole_to + 1, self.highest + 1) if self.covers(n)]
            begins = [n for n in above if not self.covers(n - 1)]
            ends = [n + 1 for n in above if not self.covers(n + 1)]
            bounds += [bound for pair in zip(begins, ends) for bound in pair]
        return bounds


class Rule:
    """Takes messages; keeps new events apart from repeats; remembers what is wrong."""

    def __init__(self):
        self.streams = {}  # (device, stream, epoch) -> Stream
        self.repeats = self.late = self.loss_records = 0
        self.wrong = []

    def take_message(self, topic, payload):
        self.take_batch(topic, *topic_names(topic), split_batch(payload))

    def take_batch(self, topic, device, stream, batch):
        """batch: (event, its text) of each event of a message that has to be of this stream."""
        previous = None
        for event, text in batch:
            if (percent(event["device"]), event["stream"]) != (percent(device), stream):
                self.wrong.append(f"topic {topic} carries an event of {event['device']} {event['stream']}")
            if previous is not None and event["seq"] != previous:
                self.wrong.append(f"{topic}: {event['seq']} follows {previous - 1} in one batch")
            previous = event["seq"] + max(1, event.get("lost", 0))
            self.take(event, text)

    def take(self, event, text):
        key = event["device"], event["stream"], event["epoch"]
        stream = self.streams.setdefault(key, Stream())
        seq, lost = event["seq"], event.get("lost", 0)
        numbers = range(seq, seq + max(1, lost))
        fresh = [n for n in numbers if not stream.covers(n)]
        if not fresh:
            self.repeats += 1
            if not lost and stream.content.get(seq, text) != text:
                self.wrong.append(f"conflict: {key} {seq}\n  first {stream.content[seq]}\n  then  {text}")
            return
        if numbers[-1] <= stream.highest:
            self.late += 1
        stream.highest = max(stream.highest, numbers[-1])
        if "lost" in event:
            self.loss_records += 1
            stream.lost.update(fresh)
        else:
            stream.content[seq] = text
            stream.events.append(event)

    def holes(self):
        """(key, number) of what is missing from 0 to the highest, at most 100."""
        found = []
        for key, stream in self.streams.items():
            missing = (n for n in range(stream.highest + 1) if not stream.covers(n))
            found += [(key, n) for n, _ in zip(missing, range(100))]
        return found

    def findings(self, late_allowed=False):
        found = list(self.wrong)
        found += [f"hole: {key} {number}" for key, number in self.holes()]
        if self.late and not late_allowed:
            found.append(f"{self.late} late events from one broker")
        return found


def percent(name):
    return re.sub(r"[^A-Za-z0-9_-]", "?", name)


def topic_names(topic):
    """(device, stream) of {prefix}/{device}/data/{stream}."""
    parts = topic.split("/")
    return parts[1], "/".join(parts[3:])


def line_findings(rule, stream_name, count, field="message", pattern=r"line (\d+) "):
    """Each of the lines 1 … count once, in order, under one number, in one epoch."""
    found = []
    streams = {key: s for key, s in rule.streams.items() if key[1] == stream_name}
    if len(streams) != 1:
        return [f"{len(streams)} epochs or devices for {stream_name}: {sorted(streams)}"]
    (stream,) = streams.values()
    expected, places = 1, {}
    for event in stream.events:
        match = re.match(pattern, event.get(field, ""))
        if not match:
            found.append(f"seq {event['seq']} is no line of the writer: {event}")
            continue
        number = int(match.group(1))
        if number in places:
            found.append(f"line {number} has two numbers: {places[number]} and {event['seq']}")
        elif number != expected:
            found.append(f"line {number} (seq {event['seq']}) where line {expected} was due")
        places.setdefault(number, event["seq"])
        expected = number + 1
    missing = [n for n in range(1, count + 1) if n not in places]
    if missing:
        found.append(f"{len(missing)} of {count} lines never came: {missing[:10]} …")
    return found


class Client(threading.Thread):
    """Subscribes with a persistent session, keeps every message, comes back after each loss of the connection.

    port: one, or those of the nodes of a cluster, which are tried in turn."""

    def __init__(self, port, client_id="independent", filters=("penstock/+/data/#",), version=4,
                 login=None):
        super().__init__(daemon=True)
        self.ports = list(port) if isinstance(port, (list, tuple)) else [port]
        self.client_id, self.filters, self.version = client_id, filters, version
        self.login = login
        self.messages = []
        self.subscribed = threading.Event()
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.ports[0]), timeout=5) as connection:
                    self.converse(connection)
            except OSError:
                pass
            self.ports.append(self.ports.pop(0))
            self.stopping.wait(0.05)

    def converse(self, connection):
        props = [(mqtt.SESSION_EXPIRY, 0xFFFFFFFF)] if self.version == 5 else ()
        connection.sendall(mqtt.connect(self.client_id, self.version, clean=False, keep_alive=10, props=props,
                                        login=self.login))
        connection.settimeout(0.2)
        splitter, pinged = mqtt.Splitter(), time.monotonic()
        while not self.stopping.is_set():
            if time.monotonic() - pinged > 4:
                connection.sendall(mqtt.packet(mqtt.PINGREQ, 0, b""))
                pinged = time.monotonic()
            replies = bytearray()
            try:
                received = connection.recv(1 << 18)
                if not received:
                    return
            except socket.timeout:
                received = b""
            for kind, flags, body in splitter.feed(received):
                if kind == mqtt.CONNACK:
                    self.connected(bool(body[0] & 1))
                    replies += mqtt.subscribe(1, self.filters, self.version)
                elif kind == mqtt.SUBACK:
                    self.subscribed.set()
                elif kind == mqtt.PUBLISH:
                    found = mqtt.read_publish(flags, body, self.version)
                    self.messages.append((found["topic"], found["payload"]))
                    if found["qos"]:
                        replies += mqtt.puback(found["packet_id"], self.version)
            replies += self.tell()
            if replies:
                connection.sendall(replies)

    def connected(self, session_present):
        pass

    def tell(self):
        """Packets to send after what has come."""
        return b""

    def stop(self):
        self.stopping.set()
        self.join(10)


class Account:
    """What came from all brokers that share it, in memory."""

    def __init__(self):
        self.lock = threading.Lock()  # guards all of it while clients run
        self.rule, self.epochs, self.news = Rule(), {}, {}  # news: device -> how many messages came

    def take(self, topic, payload):
        device = topic.split("/")[1]
        if topic.endswith("/status"):
            self.epochs[device] = json.loads(payload)["epoch"]
        else:
            self.rule.take_message(topic, payload)
        self.news[device] = self.news.get(device, 0) + 1

    def statement(self, device, run_id):
        streams = {}
        for (owner, name, epoch), stream in self.rule.streams.items():
            if (owner, epoch) != (device, self.epochs[device]):
                continue
            streams[name] = stream.ranges()[:128]
        return json.dumps({"epoch": self.epochs[device], "run": run_id, "streams": streams})


class AckingClient(Client):
    """Tells agents with `ack: receiver` what the account has, as docs/wire-format.md asks, on its own broker."""

    def __init__(self, port, name, login=None, account=None):
        super().__init__(port, client_id=name, filters=("penstock/+/data/#", "penstock/+/status"), login=login)
        self.name, self.account, self.run_id, self.taken, self.told = name, account or Account(), "", 0, {}

    @property
    def rule(self):
        return self.account.rule

    def connected(self, session_present):
        if not session_present or not self.run_id:
            self.run_id = os.urandom(8).hex()
        self.told = {}

    def tell(self):
        if not self.run_id:
            return b""
        with self.account.lock:
            for message in self.messages[self.taken:]:
                self.account.take(*message)
            self.taken = len(self.messages)
            due = [device for device, count in self.account.news.items()
                   if device in self.account.epochs and self.told.get(device) != count]
            self.told.update({device: self.account.news[device] for device in due})
            return b"".join(mqtt.publish(f"penstock/{device}/ack/{self.name}", self.account.statement(device, self.run_id).encode(),
                                         packet_id=7, retain=True) for device in due)
