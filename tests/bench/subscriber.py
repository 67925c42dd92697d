"""Subscribers that cost the broker as little as can be (QoS 0) and count what comes."""
import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
import mqtt_codec as mqtt  # noqa: E402


class Subscriber(threading.Thread):
    """Counts lines by a mark that each has. `first` and `last`: when they came, by the monotonic clock."""
    VERSION = 4

    def __init__(self, port, topic, mark=b'"message":'):
        super().__init__(daemon=True)
        self.mark, self.lines, self.payload_bytes, self.first, self.last = mark, 0, 0, 0.0, 0.0
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(mqtt.connect("bench", self.VERSION, keep_alive=0))
        self.packet()
        self.socket.sendall(mqtt.subscribe(1, [topic], self.VERSION, qos=0))
        self.packet()
        self.start()

    def exactly(self, size):
        parts = bytearray(size)
        view = memoryview(parts)
        while view:
            got = self.socket.recv_into(view)
            if not got:
                raise EOFError
            view = view[got:]
        return parts

    def packet(self):
        kind = self.exactly(1)[0]
        size = shift = 0
        while True:
            byte = self.exactly(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return kind, self.exactly(size)

    def run(self):
        try:
            while True:
                kind, body = self.packet()
                if kind >> 4 == 3:
                    self.last = time.monotonic()
                    self.first = self.first or self.last
                    start = 2 + struct.unpack_from(">H", body)[0]
                    self.payload_bytes += len(body) - start
                    self.take(body, start)
        except (EOFError, OSError):
            pass

    def take(self, body, start):
        self.lines += body.count(self.mark, start)

    def wait(self, lines, timeout_s):
        deadline = time.monotonic() + timeout_s
        while self.lines < lines and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.lines

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self.socket.close()


class ZstdSubscriber(Subscriber):
    """Counts compressed lines by the property `count` of MQTT 5: unpacking would measure itself."""
    VERSION = 5
    COUNT = b"\x26\0\5count"

    def take(self, body, start):
        at = body.index(self.COUNT, start) + len(self.COUNT)
        size = struct.unpack_from(">H", body, at)[0]
        self.lines += int(body[at + 2: at + 2 + size])


def subscriber_of(port, compression, stream="app"):
    """One stream only, so that the agent's own events do not count."""
    if compression == "zstd":
        return ZstdSubscriber(port, f"penstock/+/zstd/{stream}")
    return Subscriber(port, f"penstock/+/data/{stream}")
