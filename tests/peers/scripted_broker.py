"""An MQTT server in the test's own process that misbehaves as its script says, and remembers what it took.

A script is a Script with some of its methods replaced; broker.script may be exchanged at any time and holds for all
connections. `taken` has each PUBLISH that a receiver would get, in the order of arrival: (topic, payload).
"""
import contextlib
import os
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mqtt_codec as mqtt  # noqa: E402


class Ended(Exception):
    """The script ends the connection."""


class Script:
    """What a good broker does."""

    def accepted(self, connection):
        """Before anything is read."""

    def connect(self, connection, asked):
        connection.send(mqtt.connack(connection.version, props=self.connack_properties(asked)))

    def connack_properties(self, asked):
        return ()

    def publish(self, connection, found):
        connection.take(found)

    def is_data(self, found):
        return not found["topic"].endswith("/status")

    def subscribe(self, connection):
        """Before a SUBSCRIBE is answered."""

    def ping(self, connection):
        connection.send(mqtt.packet(mqtt.PINGRESP, 0, b""))

    def ended(self, connection):
        """The client has ended the connection: what is sent now comes too late."""


class Connection:
    def __init__(self, broker, number, sock):
        self.broker, self.number, self.socket = broker, number, sock
        self.version = 5
        self.asked = None
        self.publishes = 0  # data only
        self.pings = 0
        self.kept = []      # by scripts
        self.lock = threading.RLock()  # guards: kept, and one packet is sent at a time

    def send(self, packet):
        with self.lock:
            self.socket.sendall(packet)

    def later(self, seconds, action, *arguments):
        """On a thread of its own; whether the connection is there still does not matter."""
        def act():
            with contextlib.suppress(OSError):
                action(*arguments)
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()

    def take(self, found, code=0):
        """Success: remembered, and answered."""
        self.broker.remember(found)
        self.answer(found, code)

    def answer(self, found, code=0):
        if found["qos"]:
            self.send(mqtt.puback(found["packet_id"], self.version, code))

    def disconnect(self, code, props=()):
        """MQTT 5: a DISCONNECT with its reason, then the end."""
        self.send(mqtt.packet(mqtt.DISCONNECT, 0, bytes([code]) + mqtt.properties(props)))
        raise Ended

    def serve(self):
        try:
            with contextlib.suppress(OSError):  # the client's way to end it
                self.converse()
            with contextlib.suppress(OSError):
                self.broker.script.ended(self)
        except Ended:
            pass
        except mqtt.Malformed as what:
            self.broker.malformed.append(str(what))
        finally:
            self.socket.close()

    def converse(self):
        splitter = mqtt.Splitter()
        if self.broker.tls:
            self.socket = self.broker.tls.wrap_socket(self.socket, server_side=True)
        self.broker.script.accepted(self)
        while received := self.socket.recv(1 << 18):
            for kind, flags, body in splitter.feed(received):
                if kind == mqtt.CONNECT:
                    self.asked = mqtt.read_connect(body)
                    self.version = self.asked["version"]
                    self.broker.connects.append((self.number, self.asked))
                    self.broker.script.connect(self, self.asked)
                elif kind == mqtt.PUBLISH:
                    found = mqtt.read_publish(flags, body, self.version)
                    found["packet_bytes"] = len(mqtt.packet(kind, flags, body))
                    self.broker.seen += 1
                    if not self.broker.script.is_data(found):
                        self.answer(found)
                        continue
                    self.publishes += 1
                    self.broker.script.publish(self, found)
                elif kind == mqtt.SUBSCRIBE:
                    self.broker.script.subscribe(self)
                    packet_id, filters = mqtt.read_subscribe(body, self.version)
                    self.send(mqtt.suback(packet_id, [qos for _, qos in filters], self.version))
                elif kind == mqtt.PINGREQ:
                    self.pings += 1
                    self.broker.script.ping(self)
                elif kind == mqtt.DISCONNECT:
                    return


class ScriptedBroker:
    def __init__(self, script=None, receive_buffer=None, certificate=None):
        """receive_buffer: bytes that the kernel takes while the script does not read.
        certificate: files of certificate and key, for TLS."""
        self.script = script or Script()
        self.connects, self.taken = [], []
        self.connections, self.accepted_at = [], []
        self.tls = None
        if certificate:
            self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.tls.load_cert_chain(*certificate)
        self.malformed = []  # what was wrong with packets that came
        self.seen = 0
        self.lock = threading.Lock()  # guards: taken
        self.listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted_at.append(time.monotonic())
            connection = Connection(self, len(self.connections) + 1, sock)
            self.connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    @property
    def accepts(self):
        return len(self.accepted_at)

    def remember(self, found):
        with self.lock:
            self.taken.append((found["topic"], found["payload"]))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
