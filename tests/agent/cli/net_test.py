#!/usr/bin/python3
"""Ways to a broker that other tests do not go, by all who go them: the agent, `send`, `check --net` and `receive`.

tests/agent/cli/net_test.py PENSTOCK [-k PATTERN]
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "peers"))
from certificate import make_certificate  # noqa: E402
from mosquitto import free_port, wait_for_port  # noqa: E402
from program import PATIENCE_S, Case, main  # noqa: E402


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


if __name__ == "__main__":
    main()
