#!/usr/bin/python3
"""Each fault of the gate is one: seen at the ends of a connection through it."""
import os
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import DOWN, UP, Gate, Line  # noqa: E402

PATIENCE_S = 60


class Server:
    """Takes connections and keeps them; what arrives on them is the test's business."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def accept(self):
        self.listener.settimeout(PATIENCE_S)
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE_S)
        return connection


class Faults(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.listener.close)
        self.gate = Gate(self.server.port, seed=7)
        self.addCleanup(self.gate.close)

    def pair(self):
        near = socket.create_connection(("127.0.0.1", self.gate.port), timeout=PATIENCE_S)
        far = self.server.accept()
        for end in (near, far):
            self.addCleanup(end.close)
        while not self.gate.pairs:  # the server hears of a connection before the gate has noted it
            time.sleep(0.01)
        return near, far

    def read(self, end, size):
        got = b""
        while len(got) < size:
            more = end.recv(size - len(got))
            self.assertTrue(more, "ended early")
            got += more
        return got

    def test_passes_both_ways(self):
        near, far = self.pair()
        sent = os.urandom(3_000_000)
        threading.Thread(target=near.sendall, args=(sent,)).start()
        self.assertEqual(self.read(far, len(sent)), sent)
        far.sendall(b"back")
        self.assertEqual(self.read(near, 4), b"back")
        near.close()
        self.assertEqual(far.recv(1), b"")

    def test_closed_refuses_and_cuts(self):
        near, far = self.pair()
        self.assertEqual(self.gate.shut(), 1)
        self.assertEqual((near.recv(1), far.recv(1)), (b"", b""))
        with socket.create_connection(("127.0.0.1", self.gate.port), timeout=PATIENCE_S) as refused:
            self.assertEqual(refused.recv(1), b"")
        self.gate.open()
        self.pair()
        self.assertEqual(self.gate.accepted, 3)

    def test_reset(self):
        near, _ = self.pair()
        self.gate.cut(with_reset=True)
        with self.assertRaises(ConnectionResetError):
            near.recv(1)

    def test_delay_rate_and_loss(self):
        self.gate.line = Line(delay_s=0.2)
        near, far = self.pair()
        began = time.monotonic()
        near.sendall(b"x")
        self.read(far, 1)
        self.assertGreaterEqual(time.monotonic() - began, 0.2)
        self.gate.line = Line(bytes_per_s=100_000, loss=0.5, resend_s=0.01)
        sent = os.urandom(30_000)
        began = time.monotonic()
        near.sendall(sent)
        self.assertEqual(self.read(far, len(sent)), sent)
        self.assertGreaterEqual(time.monotonic() - began, 0.25)
        self.assertGreater(self.gate.lost, 0)

    def test_what_comes_behind_a_hole_is_swallowed_too(self):
        near, far = self.pair()
        near.sendall(b"before")
        self.read(far, 6)
        self.gate.line = Line(swallows=[UP])
        near.sendall(b"inside")
        while self.gate.swallowed < 6:
            time.sleep(0.01)
        self.gate.line = Line()
        near.sendall(b"behind")
        while self.gate.swallowed < 12:
            time.sleep(0.01)
        far.sendall(b"back")
        self.assertEqual(self.read(near, 4), b"back")

    def test_half_close(self):
        near, far = self.pair()
        self.gate.half_close(DOWN)
        self.assertEqual(near.recv(1), b"")
        near.sendall(b"still")
        self.assertEqual(self.read(far, 5), b"still")

    def test_flip(self):
        near, far = self.pair()
        self.gate.flip(UP, 3)
        near.sendall(b"\0" * 8)
        changed = [(at, bin(byte).count("1")) for at, byte in enumerate(self.read(far, 8)) if byte]
        self.assertEqual(changed, [(3, 1)])
        self.assertEqual(self.gate.flipped, 1)

    def test_replay(self):
        near, far = self.pair()
        near.sendall(b"said once")
        self.read(far, 9)
        self.gate.cut()
        far.recv(1)
        while not self.gate.last_sent:
            time.sleep(0.01)
        self.gate.replay()
        with self.server.accept() as again:
            self.assertEqual(self.read(again, 9), b"said once")


if __name__ == "__main__":
    unittest.main()
