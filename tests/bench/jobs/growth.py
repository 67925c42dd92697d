"""growth: what an event costs as streams, backlog and idle connectors grow. startup: with a backlog."""
import json
import subprocess
import time

import bench
from jobs.footprint import at_rest

FLAT_MAX = 1.1  # flat, beside what a shared machine adds
SHORT_ROW = 20  # events; so that every stream has some
IDLE_CONNECTORS = 200
IDLE_MIB_MAX = 5
CLEAN_MS_MAX, UNCLEAN_MS_MAX = 50, 300


def driver(setting, *words):
    done = subprocess.run([setting.build / "tests/scale_driver", *map(str, words)], capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout.splitlines()[-1])


def cost(setting, buffer, streams, row=500):
    """What an event costs on its way into and out of a buffer, in rows of so many, by the real collector and store."""
    return driver(setting, "measure", buffer, streams, setting.lines // 2, row)


def backlog(setting):
    """A buffer with the backlog asked for, filled once for all jobs."""
    path = setting.folder / "backlog"
    if not path.exists():
        driver(setting, "fill", path, setting.backlog_bytes, 1)
    return path


def backlog_text(setting):
    return f"{setting.backlog_bytes / (1 << 30):.3g} GiB backlog"


def both(results):
    found = bench.medians(results)
    return found["append_us"] + found["drain_us"], found["rss_anon_kib"] / 1024


def idle_connectors(place):
    files = "".join(f'  f{i}: {{type: file, paths: ["{place}/none/{i}/*.log"]}}\n' for i in range(IDLE_CONNECTORS // 2))
    sockets = "".join(f"  s{i}: {{type: socket, listen: unix-datagram://{place}/{i}.sock}}\n"
                      for i in range(IDLE_CONNECTORS // 2))
    return "  host: {type: host, every: 10s}\n" + files + sockets


def growth(setting):
    big = backlog(setting)
    with setting.place() as place:
        results = {"one": [], "one_short": [], "many": [], "big": []}
        for _ in range(setting.runs):  # in turn, so that all see the same machine
            results["one"].append(cost(setting, place / "one", 1))
            results["one_short"].append(cost(setting, place / "one_short", 1, SHORT_ROW))
            results["many"].append(cost(setting, place / "many", setting.streams, SHORT_ROW))
            results["big"].append(cost(setting, big, 1))
    found = {name: both(runs) for name, runs in results.items()}
    for case, name, beside, peer in (
            (f"{setting.streams} streams, rows of {SHORT_ROW}", "many", "one_short", f"1 stream, rows of {SHORT_ROW}"),
            (f"1 stream, rows of {SHORT_ROW}", "one_short", "one", "rows of 500"),
            (backlog_text(setting), "big", "one", "empty")):
        row = bench.Row("growth", f"in and out, {case}", "us/event", found[name][0], found[beside][0], peer,
                        rss_anon_mib=found[name][1])
        yield row if name == "one_short" else row.ratio_at_most(FLAT_MAX)
    few = at_rest(setting, lambda _: "  host: {type: host, every: 10s}\n", setting.seconds)
    many = at_rest(setting, idle_connectors, setting.seconds)
    yield bench.Row("growth", f"RssAnon, {IDLE_CONNECTORS} idle connectors", "MiB", many["anon"], few["anon"],
                    "without").at_most(round(few["anon"] + IDLE_MIB_MAX, 1))
    yield bench.Row("growth", f"CPU, {IDLE_CONNECTORS} idle connectors", "% of a core", many["percent"], few["percent"],
                    "without")


def start(agent):
    """Milliseconds from the start of the process until the buffer is open, which it says last before it works."""
    with open(agent.log, "ab+") as log:
        log.seek(0, 2)
        began = time.monotonic()
        agent.start()
        while True:
            line = log.readline()
            if b"event=buffer path=" in line:
                return (time.monotonic() - began) * 1e3
            if not line:
                if agent.ended() is not None or time.monotonic() - began > bench.PATIENCE_S:
                    raise bench.Failed(f"the agent did not start\n{agent.log_tail()}")
                time.sleep(0.0005)


def startup(setting):
    with setting.place() as place:
        agent = bench.Agent(setting, place, 0, "  host: {type: host, every: 10s}\n", device="scale",
                            buffer=f"preallocate: false, max_size: {setting.backlog_bytes * 2 + (64 << 20)}B",
                            buffer_path=backlog(setting))
        found = {"clean": [], "unclean": []}
        try:
            start(agent)
            for _ in range(setting.runs):
                time.sleep(1.5)  # a commit, so that the kill leaves an unclean buffer
                agent.kill()
                found["unclean"].append(start(agent))
                if agent.stop() != 0:
                    raise bench.Failed(f"the agent did not stop\n{agent.log_tail()}")
                found["clean"].append(start(agent))
        finally:
            agent.kill()
    for name, limit in (("clean", CLEAN_MS_MAX), ("unclean", UNCLEAN_MS_MAX)):
        ours = bench.statistics.median(found[name])
        yield bench.Row("startup", f"after {name} stop, {backlog_text(setting)}", "ms", ours).at_most(limit)


JOBS = {"growth": growth, "startup": startup}
