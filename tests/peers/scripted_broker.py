"""An MQTT server in the test's own process that misbehaves as its script says, and remembers what it took.

A script is a Script with some of its methods replaced; broker.script may be exchanged at any time and holds for all
connections. `taken` has each PUBLISH that was answered with success, in the order of arrival: (topic, payload).
"""
import os
import socket
import sys
import threading

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


class Connection:
    def __init__(self, broker, number, sock):
        self.broker, self.number, self.socket = broker, number, sock
        self.version = 5
        self.asked = None
        self.publishes = 0  # data only
        self.kept = []      # by scripts

    def send(self, packet):
        self.socket.sendall(packet)

    def take(self, found, code=0):
        """Success: remembered, and answered."""
        self.broker.remember(found)
        self.answer(found, code)

    def answer(self, found, code=0):
        if found["qos"]:
            self.send(mqtt.puback(found["packet_id"], self.version, code))

    def disconnect(self, code):
        """MQTT 5: a DISCONNECT with its reason, then the end."""
        self.send(mqtt.packet(mqtt.DISCONNECT, 0, bytes([code, 0])))
        raise Ended

    def serve(self):
        try:
            self.converse()
        except (OSError, mqtt.Malformed, Ended):
            pass
        finally:
            self.socket.close()

    def converse(self):
        splitter = mqtt.Splitter()
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
                    self.broker.seen += 1
                    if not self.broker.script.is_data(found):
                        self.answer(found)
                        continue
                    self.publishes += 1
                    self.broker.script.publish(self, found)
                elif kind == mqtt.PINGREQ:
                    self.send(mqtt.packet(mqtt.PINGRESP, 0, b""))
                elif kind == mqtt.DISCONNECT:
                    return


class ScriptedBroker:
    def __init__(self, script=None):
        self.script = script or Script()
        self.connects, self.taken = [], []
        self.accepts = self.seen = 0
        self.lock = threading.Lock()  # guards: taken
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepts += 1
            threading.Thread(target=Connection(self, self.accepts, sock).serve, daemon=True).start()

    def remember(self, found):
        with self.lock:
            self.taken.append((found["topic"], found["payload"]))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
