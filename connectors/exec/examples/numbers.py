#!/usr/bin/python3
"""A source that can be read again, for the cursor protocol: the numbers from 0 on."""
import json
import sys

position = json.loads(sys.stdin.readline())["position"]
number = int(position or 0)
while True:
    events = [{"number": number + i} for i in range(10)]
    number += len(events)
    print(json.dumps({"events": events, "position": str(number)}), flush=True)
    # Going on only when that is durable keeps this example slow; a faster one need not wait.
    if not sys.stdin.readline():
        break
