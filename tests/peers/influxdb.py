"""InfluxDB 1.6 of Debian, from its package, by path, on free loopback ports."""
import json
import pathlib
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

from mosquitto import free_port, wait_for_port

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
PATIENCE_S = 60


class InfluxDb:
    """Has a database "edge" while it is entered; without the package the test ends as not run."""

    def __init__(self, folder):
        fetched = subprocess.run([HERE / "fetch", "influxdb"], capture_output=True, text=True)
        if fetched.returncode != 0:
            print(f"not run: {fetched.stderr}")
            sys.exit(SKIPPED)
        self.port = free_port()
        config = pathlib.Path(folder) / "influxdb.conf"
        config.write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
            f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
            f'[monitor]\nstore-enabled = false\n[http]\nbind-address = "127.0.0.1:{self.port}"\nlog-enabled = false\n',
            encoding="utf-8")
        self.command = [f"{fetched.stdout.strip()}/usr/bin/influxd", "-config", config]
        self.log = pathlib.Path(folder) / "influxd.log"
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_for_port(self.port, self.process, PATIENCE_S)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def __enter__(self):
        self.query("CREATE DATABASE edge")
        return self

    def __exit__(self, *_):
        self.stop()

    def write(self, payload):
        url = f"http://127.0.0.1:{self.port}/write?db=edge&precision=ns"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, payload), timeout=PATIENCE_S) as answer:
                assert answer.status == 204, answer.status
        except urllib.error.HTTPError as error:
            raise AssertionError(f"InfluxDB refuses a batch: {error.read().decode()}") from error

    def query(self, text):
        body = urllib.parse.urlencode({"q": text, "db": "edge", "epoch": "ns"}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/query", body, timeout=PATIENCE_S) as answer:
            (result,) = json.load(answer)["results"]
        assert "error" not in result, result
        return result.get("series", [])
