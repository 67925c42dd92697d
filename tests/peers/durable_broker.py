#!/usr/bin/python3
"""A small MQTT server that writes each PUBLISH to its log and syncs it before the PUBACK.

It may be killed at any moment and started again on the same port and log: what it acknowledged is in the log,
each message at least once, in the order of arrival. It hands nothing on: tests read the log (read_log).
"""
import argparse
import asyncio
import os
import random
import struct
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mqtt_codec as mqtt  # noqa: E402

HEAD = struct.Struct(">III")  # sizes of topic and payload, CRC-32 of both


def read_log(path, start=0):
    """Yields (topic, payload, end) for each whole record from byte `start` on; stops at a torn one."""
    with open(path, "rb") as log:
        log.seek(start)
        while True:
            head = log.read(HEAD.size)
            if len(head) < HEAD.size:
                return
            topic_size, payload_size, crc = HEAD.unpack(head)
            both = log.read(topic_size + payload_size)
            if len(both) < topic_size + payload_size or zlib.crc32(both) != crc:
                return
            yield both[:topic_size].decode(), both[topic_size:], log.tell()


class Broker:
    def __init__(self, path, only=None, drop_chance=0.0, seed=0):
        end = 0
        if os.path.exists(path):
            for _, _, end in read_log(path):
                pass
        self.log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self.log, end)  # a record that was not whole was not acknowledged
        os.lseek(self.log, end, os.SEEK_SET)
        os.fsync(self.log)
        self.only = only
        self.drop_chance = drop_chance
        self.random = random.Random(seed)

    def store(self, publishes):
        out = bytearray()
        for found in publishes:
            topic = found["topic"].encode()
            both = topic + found["payload"]
            out += HEAD.pack(len(topic), len(found["payload"]), zlib.crc32(both)) + both
        view = memoryview(out)
        while view:
            view = view[os.write(self.log, view):]
        os.fdatasync(self.log)

    async def serve(self, reader, writer):
        try:
            await self.converse(reader, writer)
        except (ConnectionError, mqtt.Malformed, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def converse(self, reader, writer):
        splitter = mqtt.Splitter()
        version = None
        while True:
            received = await reader.read(1 << 18)
            if not received:
                return
            publishes, replies = [], bytearray()
            for kind, flags, body in splitter.feed(received):
                if version is None:
                    if kind != mqtt.CONNECT:
                        return
                    version = mqtt.read_connect(body)["version"]
                    if version not in (4, 5) or self.only not in (None, version):
                        writer.write(mqtt.connack(4, code=1))  # 3.1.1, 3.2.2.3: unacceptable version
                        await writer.drain()
                        return
                    replies += mqtt.connack(version)
                elif kind == mqtt.PUBLISH:
                    found = mqtt.read_publish(flags, body, version)
                    publishes.append(found)
                    if found["qos"]:
                        replies += mqtt.puback(found["packet_id"], version)
                elif kind == mqtt.SUBSCRIBE:
                    packet_id, filters = mqtt.read_subscribe(body, version)
                    replies += mqtt.suback(packet_id, [qos for _, qos in filters], version)
                elif kind == mqtt.PINGREQ:
                    replies += mqtt.packet(mqtt.PINGRESP, 0, b"")
                elif kind == mqtt.DISCONNECT:
                    self.store(publishes)
                    return
            if publishes:
                self.store(publishes)
                if self.random.random() < self.drop_chance:
                    return  # stored, but the sender will not know
            writer.write(bytes(replies))
            await writer.drain()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--only", choices=("3.1.1", "5"), help="refuse the other version")
    parser.add_argument("--drop-chance", type=float, default=0.0,
                        help="how often a connection ends between storing and PUBACK")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    only = {None: None, "3.1.1": 4, "5": 5}[arguments.only]
    broker = Broker(arguments.log, only, arguments.drop_chance, arguments.seed)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", arguments.port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
