#!/usr/bin/python3
"""The test peers must be right before they may judge: each check of theirs is shown to find its fault."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import durable_broker  # noqa: E402
import independent_receiver as receiver  # noqa: E402
import mqtt_codec as mqtt  # noqa: E402
from mosquitto import Mosquitto, free_port, wait_for_port  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def event(seq, message=None, **more):
    head = {"time": "2026-11-23T21:39:15.276123Z", "device": "gw", "stream": "app", "epoch": "e1", "seq": seq}
    message = f"line {seq + 1} abc" if message is None else message
    return {**head, **more} if "lost" in more else {**head, "message": message, **more}


def batch(*events):
    return json.dumps(events, separators=(",", ":")).encode()


def judged(*batches):
    rule = receiver.Rule()
    for payload in batches:
        rule.take_message("penstock/gw/data/app", payload)
    return rule


class Codec(unittest.TestCase):
    def test_packets_survive_any_cut(self):
        props = [(mqtt.CONTENT_TYPE, "application/json"), (mqtt.USER_PROPERTY, ("v", "1"))]
        stream = (mqtt.connect("me", 5, props=[(mqtt.SESSION_EXPIRY, 7)])
                  + mqtt.publish("a/b", b"x" * 300, 9, 5, props=props) + mqtt.puback(9, 5, 0x87))
        for size in (1, 2, 3, 7, 1000):
            splitter, found = mqtt.Splitter(), []
            for at in range(0, len(stream), size):
                found += splitter.feed(stream[at:at + size])
            self.assertEqual([kind for kind, _, _ in found], [mqtt.CONNECT, mqtt.PUBLISH, mqtt.PUBACK])
            self.assertEqual(mqtt.read_connect(found[0][2])["properties"], [(mqtt.SESSION_EXPIRY, 7)])
            published = mqtt.read_publish(found[1][1], found[1][2], 5)
            self.assertEqual((published["topic"], published["packet_id"], published["payload"]), ("a/b", 9, b"x" * 300))
            self.assertEqual(published["properties"], props)
            self.assertEqual(mqtt.read_puback(found[2][2]), (9, 0x87))

    def test_malformed_bytes_are_refused(self):
        with self.assertRaises(mqtt.Malformed):
            list(mqtt.Splitter().feed(b"\x30\xff\xff\xff\xff\x01"))
        with self.assertRaises(mqtt.Malformed):
            mqtt.read_publish(2, b"\x00\x09abc", 4)


class Judge(unittest.TestCase):
    def test_good_traffic_with_repeats_is_clean(self):
        first = batch(event(0), event(1))
        rule = judged(first, first, batch(event(2)), batch(event(2)), batch(event(3)))
        self.assertEqual(rule.findings(), [])
        self.assertEqual(rule.repeats, 3)
        self.assertEqual(receiver.line_findings(rule, "app", 4), [])

    def test_each_fault_is_found(self):
        faults = {
            "hole": judged(batch(event(0)), batch(event(2))),
            "conflict": judged(batch(event(0)), batch(event(0, "line 1 other"))),
            "late": judged(batch(event(0)), batch(event(2)), batch(event(1))),
            "in one batch": judged(batch(event(0), event(2)), batch(event(1))),
            "carries an event of": judged(batch({**event(0), "stream": "other"})),
        }
        for word, rule in faults.items():
            self.assertIn(word, "\n".join(rule.findings()))

    def test_each_fault_of_lines_is_found(self):
        faults = {
            "has two numbers": judged(batch(event(0), event(1), event(2, "line 2 abc"))),
            "was due": judged(batch(event(0), event(1, "line 3 abc"), event(2, "line 2 abc"))),
            "never came": judged(batch(event(0), event(1))),
            "is no line": judged(batch(event(0, "garbage"))),
            "epochs or devices": judged(batch(event(0)), batch({**event(1), "epoch": "e2"})),
        }
        for word, rule in faults.items():
            self.assertIn(word, "\n".join(receiver.line_findings(rule, "app", 3)))

    def test_loss_records_cover_numbers(self):
        rule = judged(batch(event(0)), batch(event(1, lost=3, reason="buffer_full")), batch(event(4)))
        self.assertEqual(rule.findings(), [])
        self.assertEqual(rule.loss_records, 1)


class Brokers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="penstock-peers-")
        self.addCleanup(self.folder.cleanup)

    def publish(self, port, numbers, version):
        """Publishes one at a time; returns those acknowledged before the connection ended."""
        acknowledged = []
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(mqtt.connect("writer", version))
            splitter, waiting = mqtt.Splitter(), list(numbers)
            while True:
                received = connection.recv(65536)
                if not received:
                    return acknowledged
                for kind, _, body in splitter.feed(received):
                    if kind == mqtt.PUBACK:
                        acknowledged.append(mqtt.read_puback(body)[0] - 1)
                    if not waiting:
                        return acknowledged
                    number = waiting.pop(0)
                    connection.sendall(mqtt.publish("penstock/gw/data/app", batch(event(number)), number + 1, version))

    def test_durable_broker_keeps_what_it_acknowledged(self):
        log, port = os.path.join(self.folder.name, "log"), free_port()
        for version, numbers in ((4, range(0, 20)), (5, range(20, 40))):
            process = subprocess.Popen([HERE / "durable_broker.py", "--port", str(port), "--log", log])
            wait_for_port(port, process)
            self.assertGreaterEqual(len(self.publish(port, numbers, version)), 19)
            process.send_signal(signal.SIGKILL)
            process.wait()
            with open(log, "ab") as torn:
                torn.write(b"\0\0\0\x05torn")
        rule = receiver.Rule()
        for topic, payload, _ in durable_broker.read_log(log):
            rule.take_message(topic, payload)
        self.assertEqual(rule.findings(), [])
        self.assertEqual(receiver.line_findings(rule, "app", 40), [])

    def test_durable_broker_can_refuse_version_5_and_lose_connections(self):
        log, port = os.path.join(self.folder.name, "log"), free_port()
        process = subprocess.Popen([HERE / "durable_broker.py", "--port", str(port), "--log", log,
                                    "--only", "3.1.1", "--drop-chance", "1"])
        try:
            wait_for_port(port, process)
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(mqtt.connect("new", 5))
                self.assertEqual(connection.recv(100), b"\x20\x02\x00\x01")
            self.assertEqual(self.publish(port, range(3), 4), [])
            self.assertEqual(len(list(durable_broker.read_log(log))), 1)
        finally:
            process.kill()
            process.wait()

    def test_the_client_misses_nothing_while_away_or_while_the_broker_restarts(self):
        for version in (4, 5):
            with self.subTest(version=version), Mosquitto(self.folder.name) as broker:
                name = f"independent{version}"
                away = receiver.Client(broker.port, name, version=version)
                away.start()
                self.assertTrue(away.subscribed.wait(10))
                self.publish(broker.port, range(0, 10), 4)
                away.stop()
                self.publish(broker.port, range(10, 20), 4)
                back = receiver.Client(broker.port, name, version=version)
                back.start()
                broker.stop()
                broker.start()
                self.publish(broker.port, range(20, 30), 4)
                end = time.monotonic() + 10
                rule = receiver.Rule()
                while time.monotonic() < end and len(away.messages) + len(back.messages) < 30:
                    time.sleep(0.02)
                back.stop()
                for topic, payload in away.messages + back.messages:
                    rule.take_message(topic, payload)
                self.assertEqual(rule.findings(), [])
                self.assertEqual(receiver.line_findings(rule, "app", 30), [])


if __name__ == "__main__":
    unittest.main()
