"""A private mosquitto on a free loopback port, with persistence and unlimited queues."""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time


def free_port():
    """Below those that the kernel gives to connections and to whoever asks for any: a broker may take its time to start."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as ephemeral:
        first_ephemeral = int(ephemeral.read().split()[0])
    while True:
        with socket.socket() as probe:
            try:
                port = random.SystemRandom().randrange(10_240, max(first_ephemeral, 20_000))
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_for_port(port, process, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise RuntimeError(f"the broker on port {port} ended with {process.returncode}")
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


class Mosquitto:
    """start() and stop() as often as wanted: port and data stay. stop() is SIGTERM: the data is saved."""

    def __init__(self, folder, extra=""):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.process = None
        self.config = self.folder / "mosquitto.conf"
        # Run by root, mosquitto would give up its rights and could not write its data.
        user = "user root\n" if os.getuid() == 0 else ""
        self.config.write_text(
            f"{user}listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nmax_queued_messages 0\nmax_queued_bytes 0\n"
            f"log_type none\n{extra}", encoding="utf-8")

    def start(self):
        binary = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise RuntimeError("mosquitto is not installed")
        with open(self.folder / "mosquitto.log", "ab") as log:
            self.process = subprocess.Popen([binary, "-c", self.config], stdout=log, stderr=log)
        wait_for_port(self.port, self.process)
        return self

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
