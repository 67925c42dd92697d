"""j2: a stored backlog is drained. j2b: the broker is away, or is killed, in mid-stream; every line is accounted for."""
import re
import time

import bench
import subscriber
from arrivals import DurableUpstream, MosquittoUpstream, arrived

EVENTS_PER_S_MIN = 800_000
MEMORY_MIB_MAX = 16
AWAY_S = 3


def drain(setting, compression):
    with setting.place() as place:
        with bench.broker(place) as broker:
            pass  # its port is known, and it is away
        agent = bench.Agent(setting, place, broker.port, bench.file_connector(setting.lines_file()),
                            upstream=f"compression: {compression}")
        with agent:
            storing = bench.PeakMemory(agent.process.pid)
            agent.wait_until_stored(setting.lines)
        with broker:  # the agent was killed
            counting = subscriber.subscriber_of(broker.port, compression)
            with agent:
                sending = bench.PeakMemory(agent.process.pid)
                count = counting.wait(setting.lines, bench.PATIENCE_S)
                cpu = agent.cpu_s()
                agent.stop()
            counting.close()
        if count != setting.lines:
            raise bench.Failed(f"{count} of {setting.lines} events were drained\n{agent.log_tail()}")
        return {"rate": setting.lines / (counting.last - counting.first), "us": cpu / setting.lines * 1e6,
                "anon": max(storing.anon, sending.anon)}


def j2(setting):
    for compression in ("none", "zstd"):
        ours = bench.medians([drain(setting, compression) for _ in range(setting.runs)])
        yield bench.Row("j2", f"rate, {compression}", "events/s", ours["rate"]).at_least(EVENTS_PER_S_MIN)
        yield bench.Row("j2", f"CPU, {compression}", "us/event", ours["us"])
        yield bench.Row("j2", f"RssAnon, {compression}", "MiB", ours["anon"]).at_most(MEMORY_MIB_MAX)


def account(rule, lines):
    """Lines lost, late, and twice, after the receiver's rule."""
    seen = [int(re.match(r"line (\d+) ", event["message"]).group(1))
            for key, stream in rule.streams.items() if key[1] == "app" for event in stream.events]
    late = sum(1 for before, after in zip(seen, seen[1:]) if after < before)
    return {"lost": lines - len(set(seen)), "late": late, "twice": len(seen) - len(set(seen)), "conflicts": len(rule.wrong)}


def cut(setting, kind):
    """The broker goes when a third has come, and is back after a while."""
    with setting.place() as place:
        upstream = kind(place)
        agent = bench.Agent(setting, place, upstream.port, bench.file_connector(setting.lines_file()))
        try:
            upstream.start()
            agent.start()
            bench.wait_until(lambda: arrived(upstream.poll(), "app") >= setting.lines // 3, bench.PATIENCE_S)
            upstream.stop()
            time.sleep(0.3 if setting.is_small else AWAY_S)
            upstream.start()
            bench.wait_until(lambda: arrived(upstream.poll(), "app") >= setting.lines, bench.PATIENCE_S)
            agent.stop()
            rule = upstream.poll()
            return {**account(rule, setting.lines), "removed": rule.repeats}
        finally:
            agent.kill()
            upstream.close()


def j2b(setting):
    fewer = bench.dataclasses.replace(setting, lines=min(setting.lines, 200_000), folder=setting.folder / "j2b")
    fewer.folder.mkdir(exist_ok=True)
    for name, kind in (("mosquitto stopped", MosquittoUpstream), ("broker killed", DurableUpstream)):
        found = cut(fewer, kind)
        for what in ("lost", "late", "twice", "conflicts"):
            yield bench.Row("j2b", f"{name}: {what}", f"of {fewer.lines}", found[what]).at_most(0)
        yield bench.Row("j2b", f"{name}: repeats removed", f"of {fewer.lines}", found["removed"])


JOBS = {"j2": j2, "j2b": j2b}
