#!/usr/bin/python3
"""`penstock send`: what arrives, what each way to fail looks like, and that a running agent does not notice.

tests/agent/cli/send_test.py PENSTOCK [-k PATTERN]
"""
import json
import os
import pathlib
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "peers"))
import mqtt_codec as mqtt  # noqa: E402
from certificate import make_certificate  # noqa: E402
from independent_receiver import Rule, line_findings  # noqa: E402
from mosquitto import free_port, wait_for_port  # noqa: E402
from program import PATIENCE_S, PENSTOCK, Case, main  # noqa: E402
from scripted_broker import Ended, Script, ScriptedBroker  # noqa: E402


class Refuses(Script):
    def __init__(self, code):
        self.code = code

    def connect(self, connection, asked):
        connection.send(mqtt.connack(connection.version, code=self.code))
        raise Ended


class Answers(Script):
    """Each PUBLISH with a code; None: never."""

    def __init__(self, code, properties=()):
        self.code, self.properties = code, properties

    def connack_properties(self, asked):
        return self.properties

    def publish(self, connection, found):
        if self.code is not None:
            connection.answer(found, self.code)


class Silent(Script):
    def connect(self, connection, asked):
        pass


class WrongPort(Case):
    """Ports that are there and speak something else, or nothing: `send` and `check --net` end alike and say what may help."""

    def fails(self, code, url, step, text):
        config = self.write("a.yaml", f"upstream: {{brokers: [{json.dumps(url)}]}}\nconnectors: {{}}\n")
        self.assertRegex(self.ends(code, "send", "-c", config).stdout, f"fail +{step} .*{text}")
        self.assertRegex(self.ends(code, "check", "--net", config).stdout, f"fail .* {step}: {text}")

    def listener(self, backlog=8):
        listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.addCleanup(listener.close)
        return listener, listener.getsockname()[1]

    def test_nobody(self):
        self.fails(69, f"mqtt://127.0.0.1:{free_port()}", "connect", "127.0.0.1: Connection refused")

    def test_tls_to_a_plain_port(self):
        broker = ScriptedBroker()
        self.addCleanup(broker.close)
        self.fails(69, f"mqtts://127.0.0.1:{broker.port}", "tls", r"TLS handshake failed.*without TLS \(mqtt://")

    def test_tls_to_a_port_with_other_words(self):
        class Greets(Script):
            def accepted(self, connection):
                connection.send(b"220 mail.example ESMTP\r\n")
        broker = ScriptedBroker(Greets())
        self.addCleanup(broker.close)
        self.fails(69, f"mqtts://127.0.0.1:{broker.port}", "tls", r"TLS handshake failed: wrong version number.*without TLS \(mqtt://")

    def test_tls_to_a_silent_port(self):
        _, port = self.listener()
        self.fails(75, f"mqtts://127.0.0.1:{port}", "tls", r"no answer to the TLS handshake within 10 s.*without TLS \(mqtt://")
        done = self.ends(75, "send", "--timeout", "1s", "-c", self.dir / "a.yaml")
        self.assertRegex(done.stdout, "fail +tls .*no answer to the TLS handshake within 1 s; is it a port without TLS \\(mqtt://")

    def test_a_port_that_takes_nobody(self):
        listener, port = self.listener(backlog=0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            self.addCleanup(client.close)
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        self.fails(75, f"mqtt://127.0.0.1:{port}", "connect", "no connection within 10 s")
        done = self.ends(75, "send", "--timeout", "1s", "-c", self.dir / "a.yaml")
        self.assertRegex(done.stdout, "fail +connect .*no connection within 1 s")

    def test_a_silent_port(self):
        _, port = self.listener()
        config = self.write("a.yaml", f"upstream: {{brokers: ['mqtt://127.0.0.1:{port}']}}\nconnectors: {{}}\n")
        self.assertRegex(self.ends(75, "check", "--net", config).stdout, "fail .* login: no answer to CONNECT within 10 s; is an MQTT broker there\\?")

    def test_plain_to_a_tls_port(self):
        """Of mosquitto, which hangs up, and of openssl's server, which sends an alert first."""
        (self.dir / "tls").mkdir()
        _, certificate, key = make_certificate(self.dir / "tls")
        user = "user root\n" if os.getuid() == 0 else ""
        ports = free_port(), free_port()
        config = self.write("mosquitto.conf", f"{user}listener {ports[0]} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"
                                              "allow_anonymous true\nlog_type none\n")
        servers = (["/usr/sbin/mosquitto", "-c", config],
                   ["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{ports[1]}", "-cert", certificate, "-key", key])
        for port, command in zip(ports, servers):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            wait_for_port(port, process, PATIENCE_S)
            self.fails(69, f"mqtt://127.0.0.1:{port}", "login", r"the connection was closed.*mqtts://")


class Send(Case):
    def setUp(self):
        super().setUp()
        self.broker = ScriptedBroker()
        self.addCleanup(self.broker.close)

    def config(self, *urls, more=""):
        urls = urls or [f"mqtt://127.0.0.1:{self.broker.port}"]
        return self.write("a.yaml", "agent: {id: gw-7, tags: {site: plant-7}}\n"
                                    f"upstream: {{brokers: {json.dumps(urls)}{more}}}\nconnectors: {{}}\n")

    def events(self):
        return [event for _, payload in self.broker.taken for event in json.loads(payload) if event["stream"] != "_agent"]

    def test_it_arrives(self):
        done = self.ends(0, "send", "-c", self.config(), "hello")
        self.assertRegex(done.stdout, r"(?s)ok +resolve .*ok +connect .*ok +login .*MQTT 5.*ok +publish .*"
                                      "Acknowledged: 1 event of stream _test")
        ((topic, _),) = self.broker.taken
        (event,) = self.events()
        self.assertEqual("penstock/gw-7/data/_test", topic)
        self.assertEqual(["time", "device", "stream", "epoch", "seq", "site", "message"], list(event))
        self.assertEqual(("gw-7", "_test", 0, "plant-7", "hello"),
                         tuple(event[name] for name in ("device", "stream", "seq", "site", "message")))
        self.assertEqual("penstock-gw-7-send", self.broker.connects[0][1]["client_id"])
        self.assertFalse(self.broker.connects[0][1]["has_will"])

    def test_json(self):
        (told,) = self.json_lines(0, "send", "--json", "--stream", "line/3", "-c", self.config())
        self.assertEqual(["resolve", "connect", "login", "publish"], [step["step"] for step in told["steps"]])
        self.assertTrue(all(step["ok"] and step["ms"] >= 0 for step in told["steps"]))
        self.assertEqual((True, "5", "line/3", 1), (told["ok"], told["protocol"], told["stream"], told["events"]))
        self.assertEqual(told["epoch"], self.events()[0]["epoch"])
        self.assertEqual("penstock/gw-7/data/line/3", self.broker.taken[0][0])

    def test_lines_of_standard_input(self):
        config = self.config(more=", batch: {events: 100}")
        done = subprocess.run([PENSTOCK, "send", "-", "-c", config], input="".join(f"line {n} \n" for n in range(1, 251)),
                              text=True, capture_output=True, check=False, timeout=PATIENCE_S, env=self.environment)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertEqual(3, len(self.broker.taken))
        rule = Rule()
        for topic, payload in self.broker.taken:
            rule.take_message(topic, payload)
        self.assertEqual([], rule.findings() + line_findings(rule, "_test", 250))
        self.ends(64, "send", "-", "-c", config, says="standard input")

    def test_next_broker(self):
        nobody = f"mqtt://127.0.0.1:{free_port()}"
        first, second = self.json_lines(0, "send", "--json", "-c",
                                        self.config(nobody, f"mqtt://127.0.0.1:{self.broker.port}"))
        self.assertEqual((False, "connect"), (first["ok"], first["steps"][-1]["step"]))
        self.assertTrue(second["ok"])

    def test_not_there(self):
        done = self.ends(69, "send", "-c", self.config(f"mqtt://127.0.0.1:{free_port()}"))
        self.assertRegex(done.stdout, "fail +connect .*refused")
        self.assertNotIn("Acknowledged", done.stdout)
        self.assertRegex(self.ends(69, "send", "-c", self.config("mqtt://no-such-host.invalid")).stdout,
                         "fail +resolve .*cannot resolve")

    def test_refused(self):
        for code, text in ((0x86, "bad user name or password"), (0x9D, "server moved"), (0x97, "quota exceeded")):
            self.broker.script = Refuses(code)
            (told,) = self.json_lines(76, "send", "--json", "-c", self.config())
            self.assertEqual(("login", code), (told["steps"][-1]["step"], told["code"]))
            self.assertIn(text, told["error"])
        self.broker.script = Answers(0x87)
        self.assertRegex(self.ends(76, "send", "-c", self.config()).stdout, "fail +publish .*not authorised")

    def test_no_answer(self):
        self.broker.script = Answers(None)
        self.assertRegex(self.ends(75, "send", "--timeout", "1s", "-c", self.config()).stdout, "fail +publish .*no PUBACK within 1 s")
        self.broker.script = Silent()
        self.assertRegex(self.ends(75, "send", "--timeout", "1s", "-c", self.config()).stdout, "fail +login .*no answer to CONNECT")

    def test_too_large(self):
        self.broker.script = Answers(0, [(mqtt.MAXIMUM_PACKET_SIZE, 200)])
        (told,) = self.json_lines(65, "send", "--json", "x" * 300, "-c", self.config())
        self.assertFalse(told["ok"])
        self.assertIn("200 bytes", told["error"])
        self.assertEqual(0, told["events"])

    def test_wrong_lines(self):
        self.ends(64, "send", "--stream", "a/b/c", "-c", self.config(), says="no name of a stream")
        self.ends(64, "send", "--timeout", "soon", "-c", self.config(), says="--timeout")
        self.ends(78, "send", "-c", self.write("b.yaml", "connectors: {}\n"), says="no upstream")

    def test_a_running_agent_does_not_notice(self):
        config = self.lines_config(more=f"upstream: {{brokers: ['mqtt://127.0.0.1:{self.broker.port}']}}\n")
        process = self.start("run", "-c", config)
        for call in range(4):
            self.append_lines(call * 50 + 1, call * 50 + 50)
            self.ends(0, "send", "-c", config)
            self.ends(0, "send", "--stream", "app", "-c", config)
        self.until("all lines sent", lambda: sum(event["message"].startswith("line ") for event in self.events()) == 200)
        self.assertEqual(0, self.stopped(process)[0])
        rule = Rule()
        for topic, payload in self.broker.taken:
            rule.take_message(topic, payload)
        self.assertEqual([], rule.findings())
        lines = [stream.events for stream in rule.streams.values() if len(stream.events) > 1 and stream.events[0]["stream"] != "_agent"]
        self.assertEqual([[f"line {n}" for n in range(1, 201)]], [[event["message"] for event in events] for events in lines])
        agents = [asked["client_id"] for _, asked in self.broker.connects if not asked["client_id"].endswith("-send")]
        self.assertEqual(["penstock-gw-7"], agents)


if __name__ == "__main__":
    main()
