"""wear: bytes at the block device over a simulated day; tests/scale/wear measures it."""
import json
import subprocess

import bench

TRICKLE_MB_MAX = 500


def wear(setting):
    done = subprocess.run([bench.ROOT / "tests/scale/wear", "--build", setting.build, "--json"], capture_output=True,
                          text=True, check=False)
    if done.returncode == 77:
        raise bench.NotHere("counting at a device of its own needs root")
    for found in json.loads(done.stdout):
        share = found["device_bytes"] / found["payload_bytes"]
        row = bench.Row("wear", f"{found['profile']}, {found['text']}", "MB/day", found["mb_a_day"],
                        device_bytes=found["device_bytes"] / found["events"])
        if found["profile"].startswith("trickle"):
            row.at_most(TRICKLE_MB_MAX)
        yield row
        yield bench.Row("wear", f"{found['profile']}, {found['text']}", "device/payload", share)


JOBS = {"wear": wear}
