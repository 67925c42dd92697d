"""The program from outside: what its tests share."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PENSTOCK = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/dev/penstock").resolve()
PATIENCE_S = 60
NOBODY = 65534

LINES = """
agent: {{id: gw-7}}
buffer: {{path: {path}, max_size: {max_size}, preallocate: false, commit: {{every: 50ms}}, write_budget: off}}
connectors:
  app: {{type: file, paths: ["{folder}/log/app.log"], start: beginning}}
{more}"""


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="penstock-cli-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
        self.environment.update(HOME=str(self.dir), XDG_CONFIG_HOME=str(self.dir / "xdg-config"),
                                XDG_STATE_HOME=str(self.dir / "xdg-state"))
        for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NO_COLOR", "JOURNAL_STREAM"):
            self.environment.pop(name, None)

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def call(self, *arguments, **more):
        more.setdefault("env", self.environment)
        return subprocess.run([PENSTOCK, *map(str, arguments)], capture_output=True, text=True, check=False,
                              timeout=PATIENCE_S, stdin=subprocess.DEVNULL, **more)

    def ends(self, code, *arguments, says=None, **more):
        """Exit code; one clear complaint on stderr that holds `says`; nothing like a trace."""
        done = self.call(*arguments, **more)
        shown = f"\n$ penstock {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
        self.assertEqual(code, done.returncode, shown)
        if says is not None:
            self.assertIn(says, done.stderr, shown)
        self.assertNotIn("terminate", done.stderr)
        self.assertNotIn("what():", done.stderr)
        return done

    def start(self, *arguments, **more):
        process = subprocess.Popen([PENSTOCK, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=more.pop("env", self.environment), **more)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def until(self, what, condition):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.02)
        raise AssertionError(f"not in time: {what}")

    def running(self, config, *more):
        """An agent that has stored something."""
        process = self.start("run", "-c", config, *more)

        def has_events():
            if process.poll() is not None:
                raise AssertionError(f"the agent ended with {process.returncode}: {process.stderr.read()}")
            done = self.call("status", "-c", config, "--json", *more)
            return done.returncode in (0, 1, 2) and json.loads(done.stdout)["intake"]["events"] > 5
        self.until("first events", has_events)
        return process

    def stopped(self, process, how=signal.SIGTERM):
        process.send_signal(how)
        _, log = process.communicate(timeout=PATIENCE_S)
        return process.returncode, log

    def collected(self, count, path=None, more="", max_size="16MiB"):
        """A configuration whose buffer holds this many lines, `line 1` and so on, of a stopped agent."""
        config = self.lines_config(path, more, max_size)
        self.append_lines(1, count)
        process = self.start("run", "-c", config)
        self.until("all lines stored", lambda: self.stored_lines(config) == count)
        self.assertEqual(0, self.stopped(process)[0])
        return config

    def lines_config(self, path=None, more="", max_size="16MiB"):
        (self.dir / "log").mkdir(exist_ok=True)
        text = LINES.format(path=path or self.dir / "buffer", folder=self.dir, more=more, max_size=max_size)
        return self.write("lines.yaml", text)

    def append_lines(self, first, last):
        with open(self.dir / "log/app.log", "a", encoding="utf-8") as log:
            log.writelines(f"line {n}\n" for n in range(first, last + 1))

    def stored_lines(self, config):
        """How many numbers of the stream are taken."""
        done = self.call("buffer", "list", "--json", "-c", config)
        streams = [json.loads(line) for line in done.stdout.splitlines()]
        return next((s["next_seq"] for s in streams if s["stream"].startswith("app")), 0)

    def stream(self, config):
        """The name of the stream of the lines."""
        done = self.ends(0, "buffer", "list", "--json", "-c", config)
        return next(s["stream"] for s in map(json.loads, done.stdout.splitlines()) if s["stream"].startswith("app"))

    def json_lines(self, code, *arguments, **more):
        return [json.loads(line) for line in self.ends(code, *arguments, **more).stdout.splitlines()]


def damage_batches(file):
    """Flips a byte in every stored zstd frame of the buffer's file; returns how many."""
    content = bytearray(file.read_bytes())
    magic, found = b"\x28\xb5\x2f\xfd", 0
    at = content.find(magic)
    while at >= 0:
        content[at + 12] ^= 0xFF
        found += 1
        at = content.find(magic, at + 4)
    file.write_bytes(content)
    return found


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
