#!/usr/bin/python3
"""Batches with `upstream.format: influx` from MQTT into InfluxDB, as they are.

    to_influxdb.py MQTT_HOST[:PORT] http://HOST:8086/write?db=NAME      needs Debian's python3-paho-mqtt

The MQTT client acknowledges a batch when on_message has returned: what InfluxDB did not take comes again. A batch that comes
twice overwrites itself, since time and tags are the same.
"""
import sys
import urllib.error
import urllib.request

import paho.mqtt.client as mqtt


def on_message(client, userdata, message):
    try:
        urllib.request.urlopen(urllib.request.Request(sys.argv[2] + "&precision=ns", message.payload), timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code != 400:
            raise
        # No other try would do better; the usual reason is a field that had another type before.
        print("refused:", message.topic, error.read().decode(), file=sys.stderr, flush=True)


host, _, port = sys.argv[1].partition(":")
client = mqtt.Client("to-influxdb", clean_session=False)  # the broker keeps what comes while we are away
client.on_connect = lambda c, *_: c.subscribe("penstock/+/data/#", qos=1)
client.on_message = on_message
client.connect(host, int(port or 1883))
client.loop_forever()  # ends with an error while InfluxDB is away: let systemd start it again
