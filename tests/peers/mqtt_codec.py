"""MQTT 3.1.1 and 5.0 packets as bytes, as far as the test peers need them. Shares nothing with the product."""
import struct

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

# MQTT 5.0, 2.2.2.2: identifier -> kind of value
PROPERTY_KINDS = {
    0x01: "byte", 0x02: "four", 0x03: "text", 0x08: "text", 0x09: "data", 0x0B: "varint", 0x11: "four",
    0x12: "text", 0x13: "two", 0x15: "text", 0x16: "data", 0x17: "byte", 0x18: "four", 0x19: "byte",
    0x1A: "text", 0x1C: "text", 0x1F: "text", 0x21: "two", 0x22: "two", 0x23: "two", 0x24: "byte",
    0x25: "byte", 0x26: "pair", 0x27: "four", 0x28: "byte", 0x29: "byte", 0x2A: "byte",
}
CONTENT_TYPE, USER_PROPERTY = 0x03, 0x26
RECEIVE_MAXIMUM, MAXIMUM_PACKET_SIZE, SESSION_EXPIRY = 0x21, 0x27, 0x11
ASSIGNED_CLIENT_ID, SERVER_KEEP_ALIVE, SERVER_REFERENCE = 0x12, 0x13, 0x1C
REASON_STRING, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS = 0x1F, 0x22, 0x23


class Malformed(Exception):
    pass


def varint(value):
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def data(value):
    return struct.pack(">H", len(value)) + value


def text(value):
    return data(value.encode())


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


class Body:
    """Reads the parts of one packet in turn."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, size):
        if self.at + size > len(self.raw):
            raise Malformed("packet too short")
        self.at += size
        return self.raw[self.at - size:self.at]

    def byte(self):
        return self.take(1)[0]

    def two(self):
        return struct.unpack(">H", self.take(2))[0]

    def four(self):
        return struct.unpack(">I", self.take(4))[0]

    def varint(self):
        value = shift = 0
        for _ in range(4):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise Malformed("variable length of more than 4 bytes")

    def data(self):
        return self.take(self.two())

    def text(self):
        return self.data().decode()

    def pair(self):
        return self.text(), self.text()

    def properties(self):
        end = self.varint()
        end += self.at
        found = []
        while self.at < end:
            identifier = self.varint()
            if identifier not in PROPERTY_KINDS:
                raise Malformed(f"property {identifier}")
            found.append((identifier, getattr(self, PROPERTY_KINDS[identifier])()))
        if self.at != end:
            raise Malformed("properties of another length")
        return found

    def rest(self):
        return self.take(len(self.raw) - self.at)


def properties(pairs=()):
    out = bytearray()
    for identifier, value in pairs:
        kind = PROPERTY_KINDS[identifier]
        out += varint(identifier)
        out += {"byte": lambda v: bytes([v]), "two": lambda v: struct.pack(">H", v),
                "four": lambda v: struct.pack(">I", v), "varint": varint, "text": text, "data": data,
                "pair": lambda v: text(v[0]) + text(v[1])}[kind](value)
    return varint(len(out)) + bytes(out)


class Splitter:
    """Cuts a byte stream into packets: feed() yields (kind, flags, body)."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, received):
        self.buffer += received
        while True:
            size = shift = 0
            for index in range(1, 5):
                if index >= len(self.buffer):
                    return
                size |= (self.buffer[index] & 0x7F) << shift
                shift += 7
                if self.buffer[index] < 0x80:
                    break
            else:
                raise Malformed("remaining length")
            start = index + 1
            if len(self.buffer) < start + size:
                return
            first = self.buffer[0]
            body = bytes(self.buffer[start:start + size])
            del self.buffer[:start + size]
            yield first >> 4, first & 0x0F, body


def connect(client_id, version=4, clean=True, keep_alive=60, props=(), login=None):
    """login: (user, password)."""
    flags = (0x02 if clean else 0) | (0xC0 if login else 0)
    body = text("MQTT") + bytes([version, flags]) + struct.pack(">H", keep_alive)
    if version == 5:
        body += properties(props)
    return packet(CONNECT, 0, body + text(client_id) + b"".join(text(part) for part in login or ()))


def read_connect(raw):
    body = Body(raw)
    name, version, flags, keep_alive = body.text(), body.byte(), body.byte(), body.two()
    props = body.properties() if version == 5 else []
    return {"protocol": name, "version": version, "clean": bool(flags & 2), "keep_alive": keep_alive,
            "has_will": bool(flags & 4), "properties": props, "client_id": body.text()}


def connack(version, session_present=False, code=0, props=()):
    body = bytes([1 if session_present else 0, code])
    return packet(CONNACK, 0, body + (properties(props) if version == 5 else b""))


def publish(topic, payload, packet_id=None, version=4, dup=False, retain=False, props=()):
    """QoS 1 with a packet id, QoS 0 without."""
    flags = (8 if dup else 0) | (2 if packet_id else 0) | (1 if retain else 0)
    body = text(topic) + (struct.pack(">H", packet_id) if packet_id else b"")
    return packet(PUBLISH, flags, body + (properties(props) if version == 5 else b"") + payload)


def read_publish(flags, raw, version):
    body = Body(raw)
    qos = flags >> 1 & 3
    found = {"topic": body.text(), "qos": qos, "dup": bool(flags & 8), "retain": bool(flags & 1),
             "packet_id": body.two() if qos else None}
    found["properties"] = body.properties() if version == 5 else []
    found["payload"] = body.rest()
    return found


def puback(packet_id, version=4, code=0):
    body = struct.pack(">H", packet_id)
    return packet(PUBACK, 0, body + bytes([code]) if version == 5 and code else body)


def read_puback(raw):
    body = Body(raw)
    packet_id = body.two()
    return packet_id, body.byte() if len(raw) > 2 else 0


def subscribe(packet_id, filters, version=4, qos=1):
    body = struct.pack(">H", packet_id) + (properties() if version == 5 else b"")
    return packet(SUBSCRIBE, 2, body + b"".join(text(f) + bytes([qos]) for f in filters))


def read_subscribe(raw, version):
    body = Body(raw)
    packet_id = body.two()
    if version == 5:
        body.properties()
    filters = []
    while body.at < len(raw):
        filters.append((body.text(), body.byte() & 3))
    return packet_id, filters


def suback(packet_id, codes, version=4):
    return packet(SUBACK, 0, struct.pack(">H", packet_id) + (properties() if version == 5 else b"") + bytes(codes))


def disconnect(version=4):
    return packet(DISCONNECT, 0, b"")
