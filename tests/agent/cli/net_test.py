#!/usr/bin/python3
"""Ways to a broker that other tests do not go, by all who go them: the agent, `send`, `check --net` and `receive`.

tests/agent/cli/net_test.py PENSTOCK [-k PATTERN]
"""
import http.server
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "peers"))
import mqtt_codec as mqtt  # noqa: E402
from certificate import make_certificate  # noqa: E402
from gate import Gate, Line  # noqa: E402
from mosquitto import Mosquitto, free_port, wait_for_port  # noqa: E402
from program import PATIENCE_S, PENSTOCK, Case, main  # noqa: E402
from scripted_broker import Ended, Script, ScriptedBroker  # noqa: E402


class NetCase(Case):
    def upstream(self, url, more=""):
        ca = f", tls: {{ca: {self.ca}}}" if url.startswith(("mqtts", "wss")) else ""
        return self.lines_config(more=f"upstream: {{brokers: ['{url}']{ca}{more}}}\n")

    def mosquitto(self, text):
        """With more lines of configuration; ended with the test."""
        user = "user root\n" if os.getuid() == 0 else ""
        config = self.write("mosquitto.conf", f"{user}log_type none\n{text}")
        process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def every_listener(self):
        """Of one mosquitto: scheme to port."""
        (self.dir / "tls").mkdir()
        self.ca, certificate, key = make_certificate(self.dir / "tls")
        ports, text = {}, "allow_anonymous true\n"
        for scheme in ("mqtt", "mqtts", "ws", "wss"):
            ports[scheme] = free_port()
            text += f"listener {ports[scheme]} 127.0.0.1\n"
            text += "protocol websockets\n" if scheme.startswith("ws") else ""
            text += f"certfile {certificate}\nkeyfile {key}\n" if scheme.endswith("s") and scheme != "ws" else ""
        process = self.mosquitto(text)
        for port in ports.values():
            wait_for_port(port, process, PATIENCE_S)
        return ports


class Proxies(NetCase):
    """A proxy of the environment is for others: nobody has configured it for the agent."""

    def test_it_is_not_used(self):
        nobody = f"127.0.0.1:{free_port()}"
        self.environment.update(http_proxy=f"http://{nobody}", https_proxy=f"https://{nobody}")
        for index, (scheme, port) in enumerate(self.every_listener().items()):
            with self.subTest(scheme):
                url = f"{scheme}://127.0.0.1:{port}"
                config = self.upstream(url, f", prefix: {scheme}")
                self.ends(0, "check", "--net", config)
                self.ends(0, "send", "-c", config)
                ca = ("--ca", self.ca) if scheme in ("mqtts", "wss") else ()
                receiver = self.start("receive", "--broker", url, "--prefix", scheme, "--expect", "20", *map(str, ca),
                                      "--topic", f"{scheme}/+/data/app/#")
                for line in receiver.stderr:
                    if "connected: " in line:
                        break
                agent = self.start("run", "-c", config)
                self.append_lines(20 * index + 1, 20 * index + 20)
                out, told = receiver.communicate(timeout=PATIENCE_S)
                self.assertEqual(0, receiver.returncode, out + told)
                self.assertEqual(0, self.stopped(agent)[0])


class NoWebSocket(NetCase):
    """What answers is no WebSocket: each command says what it does instead, in the same words, and so does the agent."""

    def answering(self, answer, scheme="ws"):
        """A server that answers every request so, and with TLS for wss; returns its URL."""
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer(self)

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if scheme == "wss":
            (self.dir / "tls").mkdir()
            self.ca, certificate, key = make_certificate(self.dir / "tls")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return f"{scheme}://127.0.0.1:{server.server_port}"

    def tells(self, code, url, text):
        config = self.upstream(url)
        self.assertRegex(self.ends(code, "send", "-c", config).stdout, f"ok +connect .*\n(.*\n)*.*fail +websocket .*{text}")
        self.assertRegex(self.ends(code, "check", "--net", config).stdout, f"fail .* websocket: .*{text}")

    def is_told_by_all(self, url, text):
        self.tells(69, url, text)
        ca = ("--ca", self.ca) if url.startswith("wss") else ()
        self.assertRegex(self.ends(69, "receive", "--broker", url, "--for", "1s", *ca).stderr, text)
        agent = self.start("run", "-c", self.dir / "lines.yaml")
        for line in agent.stderr:
            if "event=connection_failed" in line:
                self.assertRegex(line, text.replace('"', r'\\"'))
                break
        else:
            self.fail("the agent has not told it")
        self.assertEqual(0, self.stopped(agent)[0])

    def test_a_page_that_is_not_there(self):
        for scheme in ("ws", "wss"):
            with self.subTest(scheme):
                self.is_told_by_all(self.answering(lambda server: server.send_error(404), scheme),
                                    r'the server opens no WebSocket: HTTP \\*"404 Not Found\\*"; are port and path right\?')

    def test_hangs_up(self):
        self.tells(69, self.answering(lambda server: None), "closed without an answer to the WebSocket request.*a port for WebSocket")

    def test_is_silent(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        config = self.upstream(f"ws://127.0.0.1:{listener.getsockname()[1]}")
        self.assertRegex(self.ends(75, "send", "--timeout", "1s", "-c", config).stdout,
                         r"fail +websocket .*no answer to the WebSocket request within 1 s; is it a port for WebSocket\?")


class LongLines(NetCase):
    """A line on which every answer takes 3.4 s: what the agent takes in its stride, the commands do too."""

    def test_every_command(self):
        gates, ports = {}, self.every_listener()
        for scheme in ("mqtts", "wss"):
            gates[scheme] = Gate(ports[scheme])
            self.addCleanup(gates[scheme].close)
            gates[scheme].line = Line(delay_s=1.7)
        config = self.upstream(f"mqtts://127.0.0.1:{gates['mqtts'].port}")
        receiver = self.start("receive", "--broker", f"wss://127.0.0.1:{gates['wss'].port}", "--ca", str(self.ca))
        trials = [self.start(*arguments, "-c", config) for arguments in (("check", "--net"), ("send", "--timeout", "30s"))]
        self.assertRegex(self.ends(75, "send", "--timeout", "2s", "-c", config).stdout,
                         "fail +tls .*no answer to the TLS handshake within 2 s")
        for trial in trials:
            out, told = trial.communicate(timeout=PATIENCE_S)
            self.assertEqual(0, trial.returncode, out + told)
        for line in receiver.stderr:
            self.assertNotIn("not connected", line)
            if "connected: " in line:
                break
        self.assertEqual(0, self.stopped(receiver)[0])


class OneId(Script):
    """Knows the agent's client id alone; `how` it refuses others."""

    def __init__(self, how):
        self.how = how

    def connect(self, connection, asked):
        self.id = asked["client_id"]
        if self.id == "penstock-gw-7" or self.how == "publish":
            return super().connect(connection, asked)
        if self.how != "silence":
            connection.send(mqtt.connack(connection.version, code=self.how))
        raise Ended

    def publish(self, connection, found):
        if self.id != "penstock-gw-7":
            return connection.answer(found, 0x87)
        return super().publish(connection, found)


class Identity(NetCase):
    """A broker that knows the agent by its client id: the commands say under which one they come, and take another."""

    def test_another_id_is_refused(self):
        broker = ScriptedBroker()
        self.addCleanup(broker.close)
        config = self.upstream(f"mqtt://127.0.0.1:{broker.port}")
        hint = "this command connects as {}, the agent as penstock-gw-7.*--client-id"
        for how, code, step in ((0x85, 76, "login"), (0x86, 76, "login"), (0x87, 76, "login"), ("silence", 69, "login"),
                                ("publish", 76, "publish")):
            broker.script = OneId(how)
            with self.subTest(how):
                self.assertRegex(self.ends(code, "send", "-c", config).stdout, f"fail +{step} .*" + hint.format("penstock-gw-7-send"))
                if step == "login":
                    self.assertRegex(self.ends(code, "check", "--net", config).stdout,
                                     "fail .*login: .*" + hint.format("penstock-gw-7-check"))
        (told,) = self.json_lines(76, "send", "--json", "-c", config)
        self.assertEqual("penstock-gw-7-send", told["client_id"])

    def test_the_id_is_told_and_taken(self):
        broker = ScriptedBroker()
        self.addCleanup(broker.close)
        config = self.upstream(f"mqtt://127.0.0.1:{broker.port}")
        self.assertRegex(self.ends(0, "send", "-c", config).stdout, "ok +login .*MQTT 5, client id penstock-gw-7-send")
        self.assertIn("logged in with MQTT 5 as penstock-gw-7-check:", self.ends(0, "check", "--net", config).stdout)
        broker.script = OneId(0x87)
        self.ends(0, "send", "--client-id", "penstock-gw-7", "-c", config)
        self.ends(0, "check", "--net", "--client-id", "penstock-gw-7", config)
        broker.script = OneId("publish")
        self.assertIn("as other,", self.ends(76, "send", "--client-id", "other", "-c", config).stdout)
        self.ends(64, "send", "--client-id", "", "-c", config, says="--client-id")
        self.ends(64, "check", "--client-id", "other", config, says="--net")


class LongAnswers(NetCase):
    """A message of 80 MB where a receiver's word is to be: by MQTT 5 it never comes, by 3.1.1 it is told, once."""

    def agent_with(self, protocol, *flags):
        """It has read what stood on the topics of two receivers, a long one on the first, and has got a long one more by now.

        The agent, and how to read its log.
        """
        broker = Mosquitto(self.dir)
        self.addCleanup(broker.stop)
        broker.start()
        (self.dir / "long").write_bytes(b"x" * (80 << 20))
        (self.dir / "short").write_bytes(b"x")

        def publish(receiver, file, *flags):
            subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t", f"penstock/gw-7/ack/{receiver}", "-q", "1", "-f",
                            self.dir / file, *flags], check=True, timeout=PATIENCE_S)
        if "-r" in flags:
            publish("erp", "long", "-r")
        publish("mes", "short", "-r")
        config = self.upstream(f"mqtt://127.0.0.1:{broker.port}",
                               f", protocol: '{protocol}', ack: receiver, receivers: [erp, mes, end]")
        with open(self.dir / "agent.log", "w", encoding="utf-8") as log:
            agent = subprocess.Popen([PENSTOCK, "run", "-c", config], stderr=log, env=self.environment)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)

        def told():
            return (self.dir / "agent.log").read_text(encoding="utf-8")
        self.until("what a receiver says", lambda: "receiver=mes reason=unreadable" in told())
        publish("erp", "long", *flags)
        publish("end", "short", "-r")
        self.until("what another receiver says", lambda: "receiver=end reason=unreadable" in told())
        return agent, told

    @staticmethod
    def has_little_memory(agent):
        status = pathlib.Path(f"/proc/{agent.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) <= 16 << 10

    def test_by_mqtt_5_it_does_not_come(self):
        agent, told = self.agent_with("5", "-r")
        self.assertNotIn("receiver_ignored receiver=erp", told())
        self.assertTrue(self.has_little_memory(agent))

    def test_by_mqtt_3_1_1_it_is_told_once(self):
        _, told = self.agent_with("3.1.1", "-r")
        self.until("what is ignored", lambda: "receiver_ignored receiver=erp" in told())
        self.assertEqual(1, told().count("event=receiver_ignored receiver=erp reason=too_long"), told())
        self.assertIn(f'text="{80 << 20} bytes"', told())
        self.assertEqual(1, told().count("took memory"), told())

    def test_by_mqtt_3_1_1_the_memory_is_given_back(self):
        agent, told = self.agent_with("3.1.1")
        self.until("what is ignored", lambda: "receiver_ignored receiver=erp" in told())
        self.until("the memory", lambda: self.has_little_memory(agent))


class TakenOver(Script):
    """Lets a client in, and ends the connection `when`, as for another one with its id."""

    def __init__(self, when):
        self.when = when

    def connect(self, connection, asked):
        if self.when == "at once":
            connection.send(mqtt.connack(5) + mqtt.packet(mqtt.DISCONNECT, 0, b"\x8e\x00"))
            raise Ended
        super().connect(connection, asked)

    def subscribe(self, connection):
        connection.disconnect(0x8E)


class Refused(NetCase):
    """Why a connection is refused or ended, as far as it can be known."""

    def test_a_receiver_that_is_taken_over(self):
        broker = ScriptedBroker()
        self.addCleanup(broker.close)
        for when in ("at once", "while subscribing"):
            broker.script = TakenOver(when)
            for _ in range(5):
                with self.subTest(when):
                    receiver = self.start("receive", "--broker", f"mqtt://127.0.0.1:{broker.port}")
                    said = next(line for line in receiver.stderr if "connected:" in line or "lost" in line)
                    self.assertIn("session taken over by another client with the same id", said)
                    self.stopped(receiver)

    def test_a_wrong_password(self):
        class Knows(Script):
            def connect(self, connection, asked):
                connection.send(mqtt.connack(connection.version, code=self.code))
                raise Ended
        broker = ScriptedBroker(Knows())
        self.addCleanup(broker.close)
        password = self.write("password", "wrong\n")
        password.chmod(0o600)
        for code in (0x86, 0x87):
            broker.script.code = code
            for more, text in ((f", user: gw, password: {{file: {password}}}", "is the password right"),
                               (", user: gw", "no password is given"), ("", "no user name is given")):
                with self.subTest((code, more)):
                    config = self.upstream(f"mqtt://127.0.0.1:{broker.port}", more)
                    self.assertRegex(self.ends(76, "check", "--net", config).stdout, f"fail .*login: .*0x{code:x}.*; {text}")


if __name__ == "__main__":
    main()
