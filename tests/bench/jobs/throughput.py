"""j1: lines of a file to the broker, beside a bare Paho publisher. disk: what of it reaches the block device."""
import json
import subprocess
import time

import bench
import subscriber

CPU_RATIO_MAX = 5
LINES_PER_S_MIN = 500_000
MEMORY_MIB_MAX = 16
DEVICE_BYTES_MAX = 45


def run_agent(setting, compression, buffer_path=None, written=lambda: None):
    lines_file = setting.lines_file()
    with setting.place() as place, bench.broker(place) as broker:
        counting = subscriber.subscriber_of(broker.port, compression)
        agent = bench.Agent(setting, place, broker.port, bench.file_connector(lines_file),
                            upstream=f"compression: {compression}", buffer_path=buffer_path)
        before, began = written(), time.monotonic()
        with agent:
            memory = bench.PeakMemory(agent.process.pid)
            arrived = counting.wait(setting.lines, bench.PATIENCE_S)
            cpu = agent.cpu_s()
            agent.stop()
        counting.close()
        if arrived != setting.lines:
            raise bench.Failed(f"{arrived} of {setting.lines} lines arrived\n{agent.log_tail()}")
        after = written()
        return {"us": cpu / setting.lines * 1e6, "rate": setting.lines / (counting.last - began), "anon": memory.anon,
                "rss": memory.rss, "wire": counting.payload_bytes / setting.lines,
                "device": None if before is None else (after - before) / setting.lines}


def run_bare(setting):
    """The limit: the same lines, 500 to a message, 20 in flight, nothing stored."""
    with setting.place() as place, bench.broker(place) as broker:
        counting = subscriber.Subscriber(broker.port, "bare", b"\n")
        began = time.monotonic()
        done = subprocess.run([setting.build / "tests/bare_publisher", f"tcp://127.0.0.1:{broker.port}", "bare",
                               setting.lines_file(), "500", "20"], capture_output=True, text=True, check=True)
        arrived = counting.wait(setting.lines, bench.PATIENCE_S)
        counting.close()
        if arrived != setting.lines:
            raise bench.Failed(f"bare publisher: {arrived} of {setting.lines} lines arrived")
        return {"us": json.loads(done.stdout)["cpu_s"] / setting.lines * 1e6,
                "rate": setting.lines / (counting.last - began)}


def j1(setting):
    for compression in ("none", "zstd"):
        found = bench.interleaved(setting.runs, ours=lambda c=compression: run_agent(setting, c),
                                  bare=lambda: run_bare(setting))
        ours, bare = found["ours"], found["bare"]
        yield bench.Row("j1", f"CPU, {compression}", "us/line", ours["us"], bare["us"], "bare Paho",
                        rss_anon_mib=ours["anon"]).ratio_at_most(CPU_RATIO_MAX)
        yield bench.Row("j1", f"rate, {compression}", "lines/s", ours["rate"], bare["rate"],
                        "bare Paho").at_least(LINES_PER_S_MIN)
        yield bench.Row("j1", f"payload, {compression}", "bytes/line", ours["wire"], float(bench.LINE_BYTES), "bare Paho")
        yield bench.Row("j1", f"VmRSS, {compression}", "MiB", ours["rss"])
        yield bench.Row("j1", f"RssAnon, {compression}", "MiB", ours["anon"]).at_most(MEMORY_MIB_MAX)


def disk(setting):
    for compression in ("none", "zstd"):
        results = []
        for _ in range(setting.runs):
            with setting.place() as place, bench.counted_disk(place) as (state, written):
                results.append(run_agent(setting, compression, state / "buffer", written))
        device = bench.medians(results)["device"]
        if device is None:
            raise bench.NotHere("counting at a device of its own needs root")
        yield bench.Row("disk", compression, "bytes/line", device, float(bench.LINE_BYTES), "the line",
                        device_bytes=device).at_most(DEVICE_BYTES_MAX)


JOBS = {"j1": j1, "disk": disk}
