#!/usr/bin/python3
"""Prints each event once, reports conflicts and gaps: docs/wire-format.md in few lines.

    receiver.py HOST [PORT]      needs Debian's python3-paho-mqtt; Ctrl-C ends it
"""
import json
import sys

import paho.mqtt.client as mqtt

streams, conflicts = {}, []


class Stream:
    def __init__(self, baseline):
        self.baseline = baseline
        self.covered = []  # ranges (first, end) of numbers, sorted, end not included
        self.recent = {}   # number -> text, of the last 4096 events

    def take(self, event):
        first, text = event["seq"], json.dumps(event)
        end = first + max(1, event.get("lost", 0))
        if any(a <= first and end <= b for a, b in self.covered):
            differs = "lost" not in event and self.recent.get(first, text) != text
            return "conflict" if differs else "repeat"
        if "lost" not in event:
            self.recent[first] = text
            if len(self.recent) > 4096:
                del self.recent[min(self.recent)]
        touching = [r for r in self.covered if r[0] <= end and first <= r[1]]
        merged = (min([first] + [a for a, _ in touching]), max([end] + [b for _, b in touching]))
        self.covered = sorted([r for r in self.covered if r not in touching] + [merged])
        return "new"

    def gaps(self):
        pairs = zip(self.covered, self.covered[1:])
        return [(max(end, self.baseline), first) for (_, end), (first, _) in pairs if first > self.baseline]


def on_message(client, userdata, message):
    for event in json.loads(message.payload):
        key = event["device"], event["stream"], event["epoch"]
        verdict = streams.setdefault(key, Stream(event["seq"])).take(event)
        if verdict == "new":
            print(json.dumps(event), flush=True)
        elif verdict == "conflict":
            conflicts.append(key)
            print("conflict:", *key, event["seq"], file=sys.stderr)


client = mqtt.Client("receiver-py", clean_session=False)  # the broker keeps what comes while we are away
client.on_connect = lambda c, *_: c.subscribe("penstock/+/data/#", qos=1)
client.on_message = on_message
client.connect(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1883)
try:
    client.loop_forever()
except KeyboardInterrupt:
    gaps = [(*key, *gap) for key, stream in streams.items() for gap in stream.gaps()]
    for device, stream, epoch, first, end in gaps:
        print(f"gap: {device} {stream} {epoch} {first}..{end - 1}", file=sys.stderr)
    sys.exit(1 if gaps or conflicts else 0)
