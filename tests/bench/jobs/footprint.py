"""memory: at rest with ten connectors. idle: CPU with `host` every 10 s. size: the binary, and what it pulls in."""
import pathlib
import shutil
import subprocess
import time

import bench
from mosquitto import free_port

ANON_IDLE_MIB_MAX = 3
RSS_IDLE_MIB_MAX = 12
IDLE_PERCENT_MAX = 0.2
BINARY_MB_MAX = 2.5


HTTP = "  api: {{type: http, listen: tcp://127.0.0.1:{port}}}\n"
NO_HTTP = "  api: {{type: socket, listen: udp://127.0.0.1:{port}}}\n"


def ten_connectors(place, api=HTTP):
    one_port = free_port
    return f"""\
  host: {{type: host, every: 1s}}
  app: {{type: file, paths: ["{place}/log/*.log"]}}
  audit: {{type: file, paths: ["{place}/audit.log"]}}
  system: {{type: syslog, listen: udp://127.0.0.1:{one_port()}}}
  devices: {{type: syslog, listen: tcp://127.0.0.1:{one_port()}}}
  sensors: {{type: socket, listen: tcp://127.0.0.1:{one_port()}, format: json}}
  local: {{type: socket, listen: unix-datagram://{place}/local.sock}}
  tool: {{type: exec, command: [/bin/sleep, infinity]}}
  disks: {{type: exec, command: [/bin/true], every: 1h}}
{api.format(port=one_port())}"""


def at_rest(setting, connectors, seconds):
    """Memory and CPU while nothing happens but polls; the start is not counted."""
    with setting.place() as place, bench.broker(place) as broker:
        agent = bench.Agent(setting, place, broker.port, connectors(place), buffer="max_size: 64MiB")
        with agent:
            if not bench.wait_until(lambda: (agent.status() or {}).get("state") == "ok", bench.PATIENCE_S):
                raise bench.Failed(f"the agent is not well: {agent.status()}\n{agent.log_tail()}")
            time.sleep(min(seconds, 3))
            before, began = agent.cpu_s(), time.monotonic()
            time.sleep(seconds)
            cpu, passed = agent.cpu_s() - before, time.monotonic() - began
            anon, rss = bench.memory_mib(agent.process.pid)
            if agent.stop() != 0:
                raise bench.Failed(f"the agent did not stop\n{agent.log_tail()}")
    return {"anon": anon, "rss": rss, "percent": cpu / passed * 100}


def memory(setting):
    found = at_rest(setting, ten_connectors, min(setting.seconds, 10))
    yield bench.Row("memory", "RssAnon, ten connectors", "MiB", found["anon"],
                    rss_anon_mib=found["anon"]).at_most(ANON_IDLE_MIB_MAX)
    yield bench.Row("memory", "VmRSS, ten connectors", "MiB", found["rss"]).at_most(RSS_IDLE_MIB_MAX)
    without = at_rest(setting, lambda place: ten_connectors(place, NO_HTTP), min(setting.seconds, 10))
    yield bench.Row("memory", "VmRSS, ten connectors, none http", "MiB", without["rss"],
                    rss_anon_mib=without["anon"]).at_most(RSS_IDLE_MIB_MAX)
    yield bench.Row("memory", "CPU, ten connectors, host every 1 s", "% of a core", found["percent"])


def idle(setting):
    found = at_rest(setting, lambda _: "  host: {type: host, every: 10s}\n", setting.seconds)
    yield bench.Row("idle", "host every 10 s, connected", "% of a core", found["percent"],
                    rss_anon_mib=found["anon"]).at_most(IDLE_PERCENT_MAX)


def libraries(binary):
    """Packages of what the loader takes, and their installed sizes in KiB."""
    listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    paths = {str(pathlib.Path(word).resolve()) for word in listed.split() if word.startswith("/")}
    packages = set()
    for path in paths:
        # Where /lib is a link, dpkg may know the file without the /usr in front.
        for name in (path, path.removeprefix("/usr")):
            owner = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True, check=False).stdout
            if owner:
                packages.add(owner.rsplit(": ", 1)[0].split(",")[0])
                break
    sizes = subprocess.run(["dpkg-query", "-W", "-f=${binary:Package} ${Installed-Size}\n", *packages],
                           capture_output=True, text=True, check=True).stdout
    return {line.split()[0]: int(line.split()[1]) for line in sizes.splitlines()}


def size(setting):
    with setting.place() as place:
        stripped = place / "penstock"
        subprocess.run(["strip", "-o", stripped, setting.penstock], check=True)
        yield bench.Row("size", "stripped binary", "MB", stripped.stat().st_size / 1e6).at_most(BINARY_MB_MAX)
    if shutil.which("dpkg") is None:
        raise bench.NotHere("installed sizes need dpkg")
    found = libraries(setting.penstock)
    yield bench.Row("size", f"{len(found)} library packages", "MB", sum(found.values()) * 1024 / 1e6)
    base = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libssl3", "libzstd1", "libsystemd0", "liblzma5", "libcap2", "libgcrypt20",
            "liblz4-1", "libgpg-error0", "libgnutls30", "libp11-kit0", "libidn2-0", "libunistring2", "libtasn1-6", "libnettle8",
            "libhogweed6", "libgmp10", "libffi8")
    ours = {name: kib for name, kib in found.items() if name.split(":")[0] not in base}
    yield bench.Row("size", f"{len(ours)} beyond Debian's base and TLS", "MB", sum(ours.values()) * 1024 / 1e6)


JOBS = {"memory": memory, "idle": idle, "size": size}
