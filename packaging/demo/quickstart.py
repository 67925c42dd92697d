#!/usr/bin/python3
"""The show of packaging/quickstart: broker, agent, log writer and verifying receiver, all on loopback."""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
BROKER_DOWN_S = 4.0
PATIENCE_S = 60  # for what a loaded machine does late
CONNECTORS = ("app", "host", "signals")


def seconds(text):
    match = re.fullmatch(r"(\d+)(s|m|h)?", text)
    if not match:
        raise argparse.ArgumentTypeError("write 20s, 5m or 1h")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[match[2]]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Screen:
    """Whole lines from several threads."""

    def __init__(self, use_color):
        self.lock = threading.Lock()
        self.use_color = use_color
        self.width = shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 160

    def line(self, text, color=""):
        text = text[: self.width]
        with self.lock:
            print(f"\033[{color}m{text}\033[0m" if color and self.use_color else text, flush=True)

    def note(self, text):
        self.line(f"-- {text}", "1;36")


class LogWriter(threading.Thread):
    """An application that logs: about 20 lines a second, its file rotated now and then."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.done = threading.Event()
        self.lines = 0

    def run(self):
        paths = ["/", "/orders", "/orders/17", "/login", "/static/app.js"]
        out = open(self.path, "a", encoding="utf-8")
        while not self.done.wait(0.05):
            self.lines += 1
            out.write(f"GET {paths[self.lines * 7 % 5]} 200 {self.lines * 37 % 180 + 3} ms request={self.lines}\n")
            out.flush()
            if self.lines % 200 == 0:
                out.close()
                os.replace(self.path, f"{self.path}.1")
                out = open(self.path, "a", encoding="utf-8")
        out.close()


class Show:
    def __init__(self, arguments):
        self.arguments = arguments
        self.screen = Screen(not arguments.no_color and "NO_COLOR" not in os.environ and sys.stdout.isatty())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="penstock-quickstart-"))
        self.port = free_port()
        self.broker = self.agent = self.receiver = self.writer = None
        self.streams = {}
        self.shown = {}  # stream -> the second in which a line of it was shown last
        self.stopping = threading.Event()
        self.receiving = threading.Event()

    def start_broker(self):
        config = self.dir / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
                          f"persistence_location {self.dir}/\nautosave_interval 1\nautosave_on_changes true\n"
                          "max_queued_messages 0\nlog_type none\n", encoding="utf-8")
        binary = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        # Run by root, mosquitto gives up its rights: its data must be its own then.
        if os.getuid() == 0:
            os.chmod(self.dir, 0o755)
            config.write_text(config.read_text(encoding="utf-8") + "user root\n", encoding="utf-8")
        self.broker = subprocess.Popen([binary, "-c", config], start_new_session=True)
        for _ in range(PATIENCE_S * 20):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit("the broker did not start")

    def start(self):
        environment = dict(os.environ, PENSTOCK_DEMO_DIR=str(self.dir), PENSTOCK_DEMO_PORT=str(self.port))
        self.start_broker()
        self.screen.note(f"broker: a private mosquitto on 127.0.0.1:{self.port}")
        self.writer = LogWriter(str(self.dir / "app.log"))
        self.writer.start()
        config = HERE / "quickstart.yaml"
        self.receiver = subprocess.Popen(
            [self.arguments.agent, "receive", "--broker", f"mqtt://127.0.0.1:{self.port}", "--from-start",
             "--client-id", "quickstart-receiver", "--summary-every", "5s"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        threading.Thread(target=self.show_events, daemon=True).start()
        threading.Thread(target=self.show_lines, args=(self.receiver.stderr, "receive", "1;32"), daemon=True).start()
        # The broker keeps nothing for a receiver that it does not know yet.
        if not self.receiving.wait(PATIENCE_S):
            raise SystemExit("the receiver does not connect")
        self.agent = subprocess.Popen([self.arguments.agent, "run", "-c", config], env=environment,
                                      stderr=subprocess.PIPE, text=True, start_new_session=True)
        threading.Thread(target=self.show_lines, args=(self.agent.stderr, "agent", "2"), daemon=True).start()
        self.screen.note(f"agent: {self.arguments.agent} run -c {config.relative_to(pathlib.Path.cwd())}")
        self.screen.note("reading this machine's metrics, a growing log file and a demo signal; Ctrl-C ends all")

    def show_lines(self, pipe, who, color):
        for line in pipe:
            self.screen.line(f"{who:8} {line.rstrip()}", color)
            if who == "receive" and line.startswith("connected:"):
                self.receiving.set()

    def show_events(self):
        for line in self.receiver.stdout:
            event = json.loads(line)
            stream = event["stream"]
            self.streams[stream] = self.streams.get(stream, 0) + 1
            # One line of each stream a second is as much as one can follow.
            now = int(time.monotonic())
            if self.shown.get(stream) != now:
                self.shown[stream] = now
                head = ("time", "device", "stream", "epoch", "seq", "site")
                rest = " ".join(f"{k}={v}" for k, v in event.items() if k not in head)
                self.screen.line(f"{event['time'][11:23]} {stream:16} seq {event['seq']:<6} {rest}")

    def run(self):
        self.start()
        began = time.monotonic()
        down_at = min(8.0, (self.arguments.time or 60) / 3)
        down = up = False
        while not self.stopping.wait(0.1):
            elapsed = time.monotonic() - began
            for process, name in ((self.agent, "agent"), (self.receiver, "receiver")):
                if process.poll() is not None:
                    self.screen.note(f"the {name} has ended by itself with code {process.returncode}")
                    return 1
            if not down and elapsed >= down_at:
                down = True
                self.screen.note("stopping the broker: the agent goes on collecting")
                self.end(self.broker, signal.SIGTERM)
            if down and not up and elapsed >= down_at + BROKER_DOWN_S:
                up = True
                self.start_broker()
                self.screen.note("the broker is back: watch the catch-up")
            if self.arguments.time and elapsed >= self.arguments.time and up:
                if not self.missing() or elapsed >= self.arguments.time + PATIENCE_S:
                    break
        if down and not up:
            self.start_broker()
        return self.finish()

    def missing(self):
        """Connectors of which nothing has arrived yet."""
        streams = list(self.streams)  # grows in another thread
        return [name for name in CONNECTORS
                if not any(stream == name or stream.startswith(name + "/") for stream in streams)]

    def finish(self):
        self.screen.note("ending: the agent commits and sends what is left, then the receiver sums up")
        self.writer.done.set()
        self.writer.join()
        self.end(self.agent, signal.SIGTERM, PATIENCE_S)
        time.sleep(1)  # what the broker still has to hand over
        code = self.end(self.receiver, signal.SIGINT, PATIENCE_S)
        wanted = self.missing()
        total = sum(self.streams.values())
        if wanted:
            self.screen.note(f"nothing arrived from: {', '.join(wanted)}")
            return 1
        if code == 0:
            self.screen.note(f"{total} events in {len(self.streams)} streams, each once and in order: verified")
        else:
            self.screen.note(f"the receiver found something wrong (exit code {code})")
        return code

    def end(self, process, how, patience_s=10):
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return 1
        return process.returncode

    def clean_up(self):
        for process in (self.agent, self.receiver, self.broker):
            self.end(process, signal.SIGTERM)
        if self.writer:
            self.writer.done.set()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="packaging/quickstart")
    parser.add_argument("--for", dest="time", type=seconds, default=0, metavar="20s", help="end by itself")
    parser.add_argument("--agent", default="build/release/penstock", help=argparse.SUPPRESS)
    parser.add_argument("--no-color", action="store_true")
    show = Show(parser.parse_args())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: show.stopping.set())
    try:
        return show.run()
    finally:
        show.clean_up()


if __name__ == "__main__":
    sys.exit(main())
