#!/usr/bin/python3
"""The program from outside: what every command prints, and the exit code of everything that can go wrong.

tests/agent/cli/cli_test.py PENSTOCK [-k PATTERN]
"""
import ctypes
import json
import os
import pathlib
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "peers"))
from mosquitto import free_port, wait_for_port  # noqa: E402
from program import NOBODY, PATIENCE_S, PENSTOCK, Case, damage_batches, main  # noqa: E402

DEMO = """
agent: {{id: gw-7}}
buffer: {{path: {path}, max_size: 16MiB, preallocate: false, commit: {{every: 100ms}}, write_budget: off}}
connectors:
  signals: {{type: demo, every: 100ms}}
"""
HOST = """
agent: {id: gw-7}
connectors:
  host: {type: host, every: 1s, collect: [load, memory]}
  signals: {type: demo, every: 50ms}
"""


class CommandLine(Case):
    def test_alone_it_says_what_it_is(self):
        done = self.ends(0)
        self.assertIn("penstock run -c FILE", done.stdout)

    def test_help_of_every_command_has_an_example(self):
        listed = self.ends(0, "--help").stdout
        for command in ("run check show list describe probe schema send status buffer receive version").split():
            self.assertIn(command, listed)
            self.assertIn("xample", self.ends(0, command, "--help").stdout, command)

    def test_wrong_lines(self):
        self.ends(64, "chek", says='unknown command "chek"; did you mean "check"?')
        self.ends(64, "check", "--strikt", says='unknown option "--strikt"; did you mean "--strict"?')
        self.ends(64, "list", "more", says='unknown argument "more"')
        self.ends(64, "--json", says="no command is given")
        self.ends(64, "describe", says="TYPE")
        self.ends(64, "buffer", says="subcommand")
        self.ends(64, "run", "--for", "soon", says='--for "soon" is no duration')
        self.ends(64, "list", "--color", "pink", says="pink")
        self.ends(64, "probe", "x", "-n", "0", says="--count")

    def test_closed_standard_files_become_no_other_file(self):
        config = self.write("demo.yaml", DEMO.format(path=self.dir / "buffer"))
        process = self.running(config)
        self.stopped(process)

        def with_closed(closed, *arguments):
            # A shell closes them for good: subprocess would open pipes in their place.
            line = 'exec "$0" "$@" ' + " ".join(closed)
            return subprocess.run(["sh", "-c", line, PENSTOCK, *map(str, arguments)], capture_output=True, text=True,
                                  env=self.environment, timeout=PATIENCE_S, check=False)
        done = with_closed(["<&-", ">&-", "2>&-"], "run", "-c", config, "--for", "1s")
        self.assertEqual(done.returncode, 0)
        for name in ("LOCK", "buffer.mdb"):
            self.assertNotIn(b"event=configuration", (self.dir / "buffer" / name).read_bytes(), name)
        self.ends(0, "buffer", "verify", "-c", config)
        self.assertEqual(with_closed([">&-"], "list").returncode, 74)
        self.assertEqual(with_closed(["2>&-"], "nonsense").returncode, 64)
        self.assertEqual(with_closed(["<&-"], "version").returncode, 0)

    def test_version(self):
        self.assertRegex(self.ends(0, "version").stdout, r"penstock \d+\.\d+\.\d+\n")
        self.assertRegex(self.ends(0, "--version").stdout, r"penstock \d+\.\d+\.\d+\n")
        libraries = json.loads(self.ends(0, "version", "--json").stdout)["libraries"]
        for name in ("liblmdb", "libpaho-mqtt3as", "libzstd"):
            self.assertIn(name, libraries)

    def test_full_disk_is_told(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([PENSTOCK, "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                                  env=self.environment)
        self.assertEqual(74, done.returncode)
        self.assertIn("standard output", done.stderr)


class Types(Case):
    def test_list(self):
        self.assertIn("demo", self.ends(0, "list").stdout)
        types = {json.loads(line)["type"]: json.loads(line) for line in self.ends(0, "list", "--json").stdout.splitlines()}
        self.assertTrue(types["file"]["rereadable"])
        self.assertFalse(types["host"]["rereadable"])

    def test_describe_in_every_format(self):
        self.assertIn("paths", self.ends(0, "describe", "file").stdout)
        self.assertIn("|", self.ends(0, "describe", "file", "--format", "md").stdout)
        json.loads(self.ends(0, "describe", "file", "--format", "json").stdout)
        self.assertIn("type: file", self.ends(0, "describe", "file", "--format", "yaml").stdout)
        self.assertIn("max_size", self.ends(0, "describe", "buffer").stdout)
        self.ends(64, "describe", "fil", says='did you mean "file"?')
        self.ends(64, "describe", "file", "--format", "xml", says="xml")

    def test_schema(self):
        self.assertIn("properties", json.loads(self.ends(0, "schema").stdout))


class Network(Case):
    """check --net against a real broker with a password."""

    def broker(self):
        user = "user root\n" if os.getuid() == 0 else ""
        passwords = self.write("passwords", "gw:right\n")
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, capture_output=True)
        port = free_port()
        config = self.write("mosquitto.conf", f"{user}listener {port} 127.0.0.1\nallow_anonymous false\n"
                                              f"password_file {passwords}\nlog_type none\n")
        process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", config], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for_port(port, process, PATIENCE_S)
        return port

    def config(self, brokers, password="right", more=""):
        self.write("secret", password).chmod(0o600)
        return self.write("a.yaml", f"agent: {{id: gw-7}}\nupstream:\n  brokers: [{brokers}]\n  user: gw\n"
                                    f"  password: {{file: {self.dir}/secret}}\n{more}connectors: {{}}\n")

    def test_each_broker_is_told(self):
        port = self.broker()
        good, nobody, no_name = f"mqtt://127.0.0.1:{port}", f"mqtt://127.0.0.1:{free_port()}", "mqtt://no-such-host.invalid"
        self.assertIn("logged in with MQTT 5", self.ends(0, "check", "--net", self.config(good)).stdout)
        only_3 = self.config(good, more='  protocol: "3.1.1"\n')
        self.assertIn("logged in with MQTT 3.1.1", self.ends(0, "check", "--net", only_3).stdout)
        several = self.ends(69, "check", "--net", self.config(f"{good}, {nobody}, '{no_name}'")).stdout
        self.assertRegex(several, f"ok +{good} ")
        self.assertRegex(several, f"fail +{nobody} +connect: .*refused")
        self.assertRegex(several, f"fail +{no_name} +resolve: cannot resolve")
        told = self.json_lines(69, "check", "--net", "--json", self.config(f"{good}, {nobody}"))[1:]
        self.assertEqual([True, False], [one["ok"] for one in told])
        self.assertEqual(["resolve", "connect", "login"], [step["step"] for step in told[0]["steps"]])
        self.assertEqual("127.0.0.1", told[0]["steps"][1]["address"])
        self.assertIn("refused", told[1]["error"])
        refused = self.ends(76, "check", "--net", self.config(good, "wrong-canary"))
        self.assertRegex(refused.stdout, "login: .*(not authorised|bad user name)")
        self.assertNotIn("canary", refused.stdout + refused.stderr)

    def test_without_an_upstream(self):
        self.ends(78, "check", "--net", self.write("b.yaml", HOST), says="no upstream")


class Configuration(Case):
    def test_check_and_show(self):
        config = self.write("a.yaml", HOST)
        self.assertIn("Configuration is valid", self.ends(0, "check", config).stdout)
        self.assertIn("Configuration is valid", self.ends(0, "check", "-c", config).stdout)
        self.assertEqual([], json.loads(self.ends(0, "check", config, "--json").stdout))
        self.assertIn("gw-7", self.ends(0, "show", "-c", config).stdout)
        self.assertIn("a.yaml:2", self.ends(0, "show", "--origin", "-c", config).stdout)
        self.assertEqual("gw-7", json.loads(self.ends(0, "show", "--json", "-c", config).stdout)["agent"]["id"])
        self.environment["PENSTOCK_CONFIG"] = str(config)
        self.ends(0, "check")

    def test_ten_broken_ones(self):
        rows = {
            "unknown key": ("agent: {id: a}\nbufer: {}\n", "bufer"),
            "unknown option": ("connectors:\n  x: {type: demo, evry: 1s}\n", "evry"),
            "duplicate key": ("agent: {id: a}\nagent: {id: b}\n", "agent"),
            "no unit": ("connectors:\n  x: {type: demo, every: 5}\n", "every"),
            "wrong type": ("agent: [a]\n", "agent"),
            "out of bounds": ("upstream: {brokers: [mqtt://h], in_flight: 1000}\n", "in_flight"),
            "missing key": ("connectors:\n  x: {every: 5s}\n", "type"),
            "unknown type": ("connectors:\n  x: {type: modbusx}\n", "modbusx"),
            "bad option of a connector": ("connectors:\n  x: {type: file}\n", "paths"),
            "no YAML": ("agent: {id: [\n", "a.yaml"),
            "unset variable": ("agent: {id: '${PENSTOCK_TEST_NOT_SET}'}\n", "PENSTOCK_TEST_NOT_SET"),
            "bad broker": ("upstream: {brokers: [http://h]}\n", "http"),
        }
        for name, (text, says) in rows.items():
            with self.subTest(name):
                config = self.write("a.yaml", text)
                done = self.ends(78, "check", config, says=says)
                self.assertIn("a.yaml:", done.stderr)
                found = json.loads(self.ends(78, "check", config, "--json").stdout)
                self.assertGreater(found[0]["line"], 0)
                self.ends(78, "run", "-c", config, says=says)
                self.assertFalse((self.dir / "xdg-state").exists(), "a broken configuration touched the disk")

    def test_all_errors_come_together(self):
        config = self.write("a.yaml", "bufer: {}\nconnectors:\n  x: {type: file, evry: 1s}\n")
        found = json.loads(self.ends(78, "check", config, "--json").stdout)
        self.assertGreaterEqual(len(found), 2, found)

    def test_advice(self):
        upstream = "upstream:\n  brokers: [mqtts://h]\n  tls: {ca: %s}\n"
        missing = self.write("a.yaml", HOST + upstream % "./no-such.pem")
        done = self.ends(0, "check", missing, says="No such file or directory")
        self.assertRegex(done.stderr, r"warning\[W003\]: tls.ca .*\n +--> .*a.yaml:\d+:\d+")
        self.assertIn("(1 warning)", done.stdout)
        self.ends(1, "check", "--strict", missing)
        self.write("no.pem", "not a certificate")
        self.ends(0, "check", self.write("b.yaml", HOST + upstream % (self.dir / "no.pem")), says="tls.ca cannot be used")
        without = self.write("c.yaml", HOST + "upstream: {brokers: [mqtt://h]}\n")
        self.assertNotIn("W003", self.ends(0, "check", without).stderr)
        self.ends(0, "check", self.write("d.yaml", "agent: {id: a}\n"), says="nothing will be collected")

    def test_no_file(self):
        self.ends(78, "check", self.dir / "nowhere.yaml", says="nowhere.yaml")
        if os.getuid() != 0:
            done = self.ends(78, "run", says="there is no configuration at")
            self.assertIn("penstock run -c FILE", done.stderr)

    @unittest.skipIf(os.getuid() != 0, "needs root")
    def test_as_an_ordinary_user(self):
        self.dir.chmod(0o755)
        secret = self.write("secret.yaml", HOST)
        secret.chmod(0o600)
        self.ends(77, "check", secret, user=NOBODY, says="may not be read")
        if not pathlib.Path("/etc/penstock/penstock.yaml").exists():
            done = self.ends(78, "run", user=NOBODY, says="there is no configuration at")
            self.assertIn("penstock run -c FILE", done.stderr)
        home = self.dir / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        self.environment.update(HOME=str(home), XDG_STATE_HOME=str(home / "state"))
        config = self.write("demo.yaml", "agent: {id: gw-7}\nconnectors:\n  x: {type: demo, every: 50ms}\n")
        config.chmod(0o644)
        self.ends(0, "run", "-c", config, "--for", "300ms", user=NOBODY, says="collecting and keeping")
        self.assertTrue((home / "state/penstock/buffer/buffer.mdb").exists())
        elsewhere = self.dir / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        config = self.write("other.yaml", DEMO.format(path=elsewhere))
        config.chmod(0o644)
        self.ends(77, "run", "-c", config, user=NOBODY, says="ermission denied")
        self.ends(77, "buffer", "stat", "-c", config, user=NOBODY, says="ermission denied")


class Probe(Case):
    def test_shows_events(self):
        config = self.write("a.yaml", HOST)
        done = self.ends(0, "probe", "signals", "-n", "3", "-c", config)
        self.assertEqual(3, len(done.stdout.splitlines()))
        events = [json.loads(line) for line in
                  self.ends(0, "probe", "host", "-n", "2", "--json", "-c", config).stdout.splitlines()]
        self.assertTrue(all("time" in event for event in events))
        self.assertFalse((self.dir / "xdg-state").exists(), "probe touched the buffer")

    def test_what_can_go_wrong(self):
        config = self.write("a.yaml", HOST + f'  quiet: {{type: file, paths: ["{self.dir}/*.log"]}}\n')
        self.ends(64, "probe", "hst", "-c", config, says='did you mean "host"?')
        self.ends(75, "probe", "quiet", "--for", "200ms", "-c", config, says="0 of 10 events within 200ms")

    def test_stops_on_ctrl_c(self):
        config = self.write("a.yaml", HOST)
        process = self.start("probe", "signals", "-n", "100000", "-c", config)
        process.stdout.readline()
        self.assertEqual(0, self.stopped(process, signal.SIGINT)[0])


class Running(Case):
    def setUp(self):
        super().setUp()
        self.buffer = self.dir / "buffer"
        self.config = self.write("demo.yaml", DEMO.format(path=self.buffer))

    def test_life(self):
        process = self.running(self.config)
        done = self.ends(0, "status", "-c", self.config)
        for part in ("gw-7", "signals", "demo", "collecting and keeping", "epoch"):
            self.assertIn(part, done.stdout)
        status = json.loads(self.ends(0, "status", "--json", "-c", self.config).stdout)
        self.assertEqual("ok", status["state"])
        self.assertEqual(process.pid, status["pid"])
        self.assertIsNone(status["upstream"])
        self.assertEqual(status["intake"]["written_bytes"], status["intake"]["written_bytes_day"])
        self.assertEqual(0, status["intake"]["write_budget_bytes_day"])
        self.assertLess(status["process"]["rss_anon_kib"], 16 * 1024)
        names = {pathlib.Path(f"/proc/{process.pid}/task/{task}/comm").read_text(encoding="utf-8").strip()
                 for task in os.listdir(f"/proc/{process.pid}/task")}
        self.assertEqual({"penstock", "c:signals", "intake", "status"}, names)
        self.assertEqual(0o600, (self.buffer / "control.sock").stat().st_mode & 0o777)
        self.assertEqual(0o700, self.buffer.stat().st_mode & 0o777)
        code, log = self.stopped(process)
        self.assertEqual(0, code, log)
        for part in ("event=configuration", "event=buffer", "collecting and keeping", "event=new_epoch", "event=stop"):
            self.assertIn(part, log)
        self.assertFalse((self.buffer / "control.sock").exists())
        self.ends(69, "status", "-c", self.config, says="no agent answers")

    def test_buffer_commands_in_use_and_closed(self):
        process = self.running(self.config)
        self.buffer_commands(True)
        self.assertEqual(0, self.stopped(process, signal.SIGINT)[0])
        self.buffer_commands(False)
        events = [json.loads(line) for line in self.ends(0, "buffer", "export", "-c", self.config).stdout.splitlines()]
        own = [e["event"] for e in events if e["stream"] == "_agent"]
        self.assertEqual(["epoch_started", "start"], own[:2])
        self.assertEqual("stop", own[-1])

    def buffer_commands(self, in_use):
        stat = json.loads(self.ends(0, "buffer", "stat", "--json", "-c", self.config).stdout)
        self.assertEqual(in_use, stat["in_use"])
        self.assertGreater(stat["events"], 0)
        self.assertIn("backlog", self.ends(0, "buffer", "stat", "-c", self.config).stdout)
        streams = [json.loads(x) for x in self.ends(0, "buffer", "list", "--json", "-c", self.config).stdout.splitlines()]
        self.assertIn("_agent", [s["stream"] for s in streams])
        self.assertIn("signals", self.ends(0, "buffer", "list", "-c", self.config).stdout)
        positions = self.ends(0, "buffer", "list", "--positions", "--json", "-c", self.config).stdout
        self.assertEqual("demo", json.loads(positions.splitlines()[0])["type"])
        self.assertIn("signals", self.ends(0, "buffer", "list", "--positions", "-c", self.config).stdout)
        events = [json.loads(x) for x in self.ends(0, "buffer", "export", "-c", self.config).stdout.splitlines()]
        numbers = {}
        for event in events:
            self.assertEqual(numbers.get(event["stream"], 0), event["seq"])
            numbers[event["stream"]] = event["seq"] + 1
            self.assertEqual("gw-7", event["device"])
        part = self.ends(0, "buffer", "export", "--stream", "signals", "--from", "1", "-n", "2", "-c", self.config)
        self.assertEqual([1, 2], [json.loads(x)["seq"] for x in part.stdout.splitlines()])
        self.assertIn("0 damaged", self.ends(0, "buffer", "verify", "-c", self.config).stdout)
        self.assertEqual(0, json.loads(self.ends(0, "buffer", "verify", "--json", "-c", self.config).stdout)["damaged_rows"])

    def test_two_agents_on_one_buffer(self):
        process = self.running(self.config)
        self.ends(75, "run", "-c", self.config, says=str(self.buffer))
        self.ends(0, "status", "-c", self.config)
        self.assertEqual(0, self.stopped(process)[0])

    def test_socket_elsewhere(self):
        runtime = self.dir / "runtime"
        runtime.mkdir()
        self.environment["RUNTIME_DIRECTORY"] = str(runtime)
        process = self.running(self.config)
        self.assertTrue((runtime / "control.sock").is_socket())
        del self.environment["RUNTIME_DIRECTORY"]
        self.ends(0, "status", "-c", self.config)
        self.assertEqual(0, self.stopped(process)[0])
        process = self.running(self.config, "--socket", self.dir / "mine.sock")
        self.ends(0, "status", "--socket", self.dir / "mine.sock")
        self.ends(0, "buffer", "stat", "--socket", self.dir / "mine.sock")
        self.assertEqual(0, self.stopped(process)[0])

    def test_after_kill_9_it_goes_on(self):
        process = self.running(self.config)
        process.kill()
        process.communicate()
        self.assertTrue((self.buffer / "control.sock").exists())
        self.ends(69, "status", "-c", self.config, says="no agent answers")
        before = json.loads(self.ends(0, "buffer", "stat", "--json", "-c", self.config).stdout)
        process = self.running(self.config)
        after = json.loads(self.ends(0, "buffer", "stat", "--json", "-c", self.config).stdout)
        self.assertEqual(before["epoch"], after["epoch"])
        self.assertGreater(after["events"], before["events"])
        self.assertEqual(0, self.stopped(process)[0])

    def test_for_and_hangup(self):
        self.ends(0, "run", "-c", self.config, "--for", "200ms", says="event=stop")
        process = self.running(self.config)
        process.send_signal(signal.SIGHUP)
        self.ends(0, "status", "-c", self.config)
        code, log = self.stopped(process)
        self.assertEqual(0, code)
        self.assertIn("event=hangup", log)

    def test_changed_id_begins_a_new_epoch(self):
        self.ends(0, "run", "-c", self.config, "--for", "300ms")
        other = self.write("other.yaml", DEMO.format(path=self.buffer).replace("gw-7", "gw-8"))
        done = self.ends(0, "run", "-c", other, "--for", "300ms", says="event=new_epoch")
        self.assertIn("device_changed", done.stderr)

    def test_newer_format(self):
        self.ends(0, "run", "-c", self.config, "--for", "300ms")
        epoch = json.loads(self.ends(0, "buffer", "stat", "--json", "-c", self.config).stdout)["epoch"]
        self.assertTrue(patch_format_version(self.buffer / "buffer.mdb", epoch))
        self.ends(65, "run", "-c", self.config, says="newer")
        self.ends(65, "buffer", "stat", "-c", self.config, says="newer")

    def test_no_buffer(self):
        self.ends(69, "buffer", "stat", "-c", self.config, says="there is no buffer at")
        self.ends(69, "buffer", "verify", "--socket", self.dir / "none.sock", says="none.sock")
        self.ends(69, "status", "--socket", self.dir / "none.sock", says="no agent answers")

    def test_a_configuration_that_is_wrong_elsewhere_still_names_the_buffer(self):
        self.ends(0, "run", "-c", self.config, "--for", "300ms")
        text = self.config.read_text(encoding="utf-8") + "  other: {type: demoo}\n"
        wrong = self.write("wrong.yaml", text + "upstream: {brokers: [127.0.0.1], password: {file: /none}}\n")
        self.ends(78, "check", wrong, says="demoo")
        done = self.ends(0, "buffer", "stat", "-c", wrong)
        self.assertEqual("", done.stderr)
        self.assertIn(str(self.buffer), self.ends(69, "status", "-c", wrong).stderr)

    def test_a_configuration_that_does_not_tell_the_buffer(self):
        for name, text in (("section.yaml", "buffer: {paths: /tmp}\n"), ("typo.yaml", "bufer: {path: /tmp}\n"),
                           ("broken.yaml", "buffer: {path: [\n")):
            wrong = self.write(name, text)
            for command in (("buffer", "stat"), ("buffer", "salvage", "--out", self.dir / "out"), ("status",)):
                done = self.ends(78, *command, "-c", wrong, says=f"{wrong}:")
                self.assertIn("error[C", done.stderr)
            self.ends(69, "buffer", "stat", "-c", wrong, "--dir", self.dir / "none", says=f"{self.dir}/none")
        self.ends(78, "buffer", "stat", "-c", self.dir / "none.yaml", says="none.yaml")
        self.environment["STATE_DIRECTORY"] = str(self.dir)
        self.ends(69, "buffer", "stat", says=f"no buffer at \"{self.dir}/buffer")

    def test_check_looks_at_the_buffer(self):
        self.assertIn("  ok   buffer", self.ends(0, "check", self.config).stdout)
        text = self.config.read_text(encoding="utf-8")
        for path, size, says in ((self.write("file", ""), "16MiB", "is not a directory"),
                                 (self.dir / "new", "15TiB", "more than the")):
            changed = text.replace(str(self.buffer), str(path)).replace("max_size: 16MiB", f"max_size: {size}")
            self.assertNotEqual(text, changed)
            done = self.ends(0, "check", self.write("odd.yaml", changed), says=says)
            self.assertIn("  !    buffer", done.stdout)
            self.assertIn("warning[W003]", done.stderr)

    @unittest.skipIf(os.getuid() != 0, "needs root to be kept from writing as another user")
    def test_check_as_one_who_may_not_write_the_buffer(self):
        self.dir.chmod(0o755)
        self.config.chmod(0o644)
        self.ends(0, "check", self.config, user=NOBODY, says="may not be written by this user")

    def test_damage_is_found(self):
        self.ends(0, "run", "-c", self.config, "--for", "1s")
        self.assertGreater(damage_batches(self.buffer / "buffer.mdb"), 0)
        done = self.ends(65, "buffer", "verify", "-c", self.config, says="damaged")
        self.assertNotIn(" 0 damaged", done.stdout)
        exported = self.ends(65, "buffer", "export", "-c", self.config, says="corrupt").stdout
        self.assertIn("corrupt", [json.loads(line).get("reason") for line in exported.splitlines()])

    def test_progress_bar_on_a_terminal_only(self):
        self.ends(0, "run", "-c", self.config, "--for", "300ms")
        self.assertEqual("", self.ends(0, "buffer", "verify", "-c", self.config).stderr)
        controller, terminal = pty.openpty()
        process = subprocess.Popen([PENSTOCK, "buffer", "verify", "-c", self.config], stderr=terminal,
                                   stdout=subprocess.DEVNULL, env=self.environment)
        os.close(terminal)
        self.assertEqual(0, process.wait(PATIENCE_S))
        shown = b""
        while select.select([controller], [], [], 0.1)[0]:
            try:
                shown += os.read(controller, 4096)
            except OSError:
                break
        os.close(controller)
        self.assertIn(b"%", shown)

    def test_second_signal_ends_at_once(self):
        # A reader of a pipe that nobody writes to does not matter: the broker is what takes time.
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            text = DEMO.format(path=self.buffer) + f'upstream: {{brokers: ["mqtt://127.0.0.1:{silent.getsockname()[1]}"]}}\n'
            process = self.running(self.write("up.yaml", text))
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            code = process.wait(PATIENCE_S)
            self.assertIn(code, (0, 130, 143))
        self.ends(0, "buffer", "verify", "-c", self.config)


class Upstream(Case):
    def test_a_port_that_is_no_broker(self):
        with socket.socket() as port:
            port.bind(("127.0.0.1", 0))  # bound, not listening: refused
            config = self.write("up.yaml", DEMO.format(path=self.dir / "buffer") +
                                f'upstream: {{brokers: ["mqtt://127.0.0.1:{port.getsockname()[1]}"]}}\n')
            process = self.running(config)
            self.until("a failed connection", lambda: json.loads(
                self.call("status", "--json", "-c", config).stdout)["upstream"]["error"])
            self.assertIn("refused", self.ends(1, "status", "-c", config).stdout.lower())
            status = json.loads(self.ends(1, "status", "--json", "-c", config).stdout)
            self.assertEqual("degraded", status["state"])
            self.assertIn("the upstream is not connected", status["problems"])
            code, log = self.stopped(process)
        self.assertEqual(0, code, log)
        self.assertIn("refused", log.lower())

    @unittest.skipIf(os.getuid() != 0, "needs root to be kept from reading as another user")
    def test_an_unreadable_log_file(self):
        logs = self.dir / "logs"
        logs.mkdir()
        secret = logs / "a.log"
        secret.write_text("secret\n", encoding="utf-8")
        secret.chmod(0o600)
        self.dir.chmod(0o755)
        state = self.dir / "state"
        state.mkdir()
        os.chown(state, NOBODY, NOBODY)
        config = self.write("a.yaml", f"agent: {{id: gw-7}}\nbuffer: {{path: {state}/buffer, max_size: 16MiB, preallocate: false}}\n"
                                      f'connectors:\n  app: {{type: file, paths: ["{logs}/*.log"], start: beginning}}\n')
        config.chmod(0o644)
        done = self.ends(0, "run", "-c", config, "--for", "1s", user=NOBODY, says="a.log")
        self.assertEqual(1, done.stderr.count("a.log"), done.stderr)


def identity_checksum(epoch, body):
    """As docs/buffer-format.md has it: seeded with the record's place, the epoch and the key "i" of the table 0."""
    xxh = ctypes.CDLL("libxxhash.so.0")
    xxh.XXH3_64bits.restype = xxh.XXH3_64bits_withSeed.restype = ctypes.c_uint64
    place = struct.pack("<IB", epoch, 0) + b"i"
    seed = xxh.XXH3_64bits(place, ctypes.c_size_t(len(place)))
    return struct.pack("<Q", xxh.XXH3_64bits_withSeed(body, ctypes.c_size_t(len(body)), ctypes.c_uint64(seed)))


def patch_format_version(file, epoch):
    """Raises the format version in the identity record, and seals it again, as a newer penstock would have written it."""
    content = file.read_bytes()
    number = int(epoch, 16)
    old, new = (struct.pack("<II", version, number) for version in (2, 3))
    found = 0
    at = content.find(old)
    while at >= 0:
        for end in range(at + len(old), at + 256):  # its texts make its length
            body = content[at:end]
            if content[end:end + 8] == identity_checksum(number, body):
                body = new + body[len(old):]
                content = content[:at] + body + identity_checksum(number, body) + content[end + 8:]
                found += 1
                break
        at = content.find(old, at + 1)
    file.write_bytes(content)
    return found > 0


if __name__ == "__main__":
    main()
