"""peers: the job of j1 by what Debian has: rsyslog and syslog-ng to a TCP receiver, and mosquitto_pub through a bridge.

Neither TCP peer speaks MQTT, and none of them syncs before it acknowledges, except mosquitto when it saves.
"""
import contextlib
import os
import socket
import subprocess
import threading
import time

import bench
import subscriber
from brokers import NotHere, fetch
from jobs.throughput import run_agent
from mosquitto import Mosquitto

PATIENCE_S = 8  # of nothing at all
BRIDGED_LINES_MAX = 50_000  # mosquitto_pub loses lines above 65,535 that are not yet acknowledged

RSYSLOG = """\
global(workDirectory="{state}")
module(load="imfile" mode="inotify")
template(name="raw" type="string" string="%msg%\\n")
input(type="imfile" File="{lines}" Tag="t" ruleset="out")
ruleset(name="out") {{
  action(type="omfwd" Target="127.0.0.1" Port="{port}" Protocol="tcp" Template="raw" queue.type="LinkedList" queue.filename="q"
         queue.size="100000" queue.saveOnShutdown="on" action.resumeRetryCount="-1")
}}
"""
SYSLOG_NG = """\
@version: 3.38
source s {{ file("{lines}" follow-freq(0.1) flags(no-parse) log-iw-size(10000)); }};
destination d {{
  network("127.0.0.1" port({port}) transport(tcp) template("$MSG\\n")
          disk-buffer(reliable(yes) disk-buf-size(600000000) mem-buf-size(16000000) dir("{state}")));
}};
log {{ source(s); destination(d); flags(flow-control); }};
"""
BRIDGE = """\
autosave_on_changes true
autosave_interval 1000
connection central
address 127.0.0.1:{port}
topic # out 1
cleansession false
try_private false
"""


class Receiver(threading.Thread):
    """Counts the lines of one TCP connection."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.lines, self.last = self.listener.getsockname()[1], 0, 0.0
        self.start()

    def run(self):
        connection, _ = self.listener.accept()
        with connection, self.listener:
            while data := connection.recv(1 << 18):
                self.lines, self.last = self.lines + data.count(b"\n"), time.monotonic()


def programs(root):
    """Folders of their modules, and the environment that finds their libraries."""
    libraries, own = root / f"usr/lib/{os.uname().machine}-linux-gnu", root / "usr/lib/syslog-ng"
    modules = {"rsyslog": libraries / "rsyslog", "syslog-ng": next(own.glob("[0-9]*"), own)}
    return modules, dict(os.environ, LD_LIBRARY_PATH=f"{libraries}:{own}")


def command_of(name, root, modules, config, place):
    if name == "rsyslog":
        return [root / "usr/sbin/rsyslogd", "-n", "-f", config, "-i", place / "pid", "-M", modules[name]]
    return [root / "usr/sbin/syslog-ng", "-F", "-f", config, "--persist-file", place / "persist", "--pidfile", place / "pid",
            "--control", place / "control", "--module-path", modules[name]]


@contextlib.contextmanager
def running(command, log, environment):
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def run_tcp(setting, name, package, text):
    root = fetch(package)
    modules, environment = programs(root)
    with setting.place() as place, bench.counted_disk(place) as (state, written):
        receiver = Receiver()
        config = place / "conf"
        config.write_text(text.format(state=state, lines=setting.lines_file(), port=receiver.port), encoding="utf-8")
        before, began = written(), time.monotonic()
        with running(command_of(name, root, modules, config, place), place / "log", environment) as process:
            memory = bench.PeakMemory(process.pid)
            settle(receiver, setting.lines)
            if receiver.lines == 0:
                raise bench.Failed(f"{name} sent nothing: {(place / 'log').read_text()[-1000:]}")
            cpu = bench.cpu_s(process.pid)
        return figures(receiver, setting.lines, cpu, began, memory, (before, written()))


def settle(receiver, lines):
    """Until all have come, or nothing comes any more: some peers lose lines."""
    def is_settled():
        return receiver.lines >= lines or time.monotonic() - max(receiver.last, began) > PATIENCE_S
    began = time.monotonic()
    bench.wait_until(is_settled, bench.PATIENCE_S)


def figures(receiver, lines, cpu, began, memory, device):
    return {"us": cpu / receiver.lines * 1e6, "rate": receiver.lines / (receiver.last - began), "anon": memory.anon,
            "lost": lines - receiver.lines,
            "device": None if device[0] is None else (device[1] - device[0]) / receiver.lines}


def run_bridge(setting):
    with setting.place() as place, bench.counted_disk(place) as (state, written), bench.broker(place) as central:
        counting = subscriber.Subscriber(central.port, "lines", b"line ")
        with Mosquitto(state, BRIDGE.format(port=central.port)) as bridge:
            memory = bench.PeakMemory(bridge.process.pid)
            before, began = written(), time.monotonic()
            with open(setting.lines_file(), "rb") as lines:
                publisher = subprocess.Popen(["mosquitto_pub", "-p", str(bridge.port), "-q", "1", "-t", "lines", "-l"], stdin=lines)
            _, code, usage = os.wait4(publisher.pid, 0)
            publisher.returncode = code
            settle(counting, setting.lines)
            cpu = bench.cpu_s(bridge.process.pid) + usage.ru_utime + usage.ru_stime
        counting.close()
        return figures(counting, setting.lines, cpu, began, memory, (before, written()))


def ours(setting):
    with setting.place() as place, bench.counted_disk(place) as (state, written):
        return {**run_agent(setting, "zstd", state / "buffer", written), "lost": 0}  # it fails if one is


def compared(name, setting, call):
    found = bench.interleaved(setting.runs, ours=lambda: ours(setting), peer=lambda: call(setting))
    mine, other = found["ours"], found["peer"]
    yield bench.Row("peers", f"CPU, {name}", "us/line", mine["us"], other["us"], name, rss_anon_mib=mine["anon"])
    yield bench.Row("peers", f"rate, {name}", "lines/s", mine["rate"], other["rate"], name)
    yield bench.Row("peers", f"lost, {name}", f"of {setting.lines}", mine["lost"], other["lost"], name)
    yield bench.Row("peers", f"RssAnon, {name}", "MiB", mine["anon"], other["anon"], name)
    if mine["device"] is not None:
        yield bench.Row("peers", f"device, {name}", "bytes/line", mine["device"], other["device"], name)


def peers(setting):
    try:
        yield from compared("rsyslog", setting, lambda s: run_tcp(s, "rsyslog", "rsyslog", RSYSLOG))
        yield from compared("syslog-ng", setting, lambda s: run_tcp(s, "syslog-ng", "syslog-ng-core", SYSLOG_NG))
    except NotHere as missing:
        raise bench.NotHere(str(missing)) from missing
    few = bench.dataclasses.replace(setting, lines=min(setting.lines, BRIDGED_LINES_MAX), folder=setting.folder / "few")
    few.folder.mkdir()
    yield from compared("mosquitto bridge", few, run_bridge)


JOBS = {"peers": peers}
