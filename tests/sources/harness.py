"""What the tests of connectors against real peers share: a shipped example as configuration, probes, peers."""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "peers"))
AGENT = ROOT / "build" / "release" / "penstock"
NOT_RUN = 77


def agent_from_arguments():
    """Takes `--agent PATH` out of the command line, which unittest reads afterwards."""
    if "--agent" in sys.argv:
        at = sys.argv.index("--agent")
        path = pathlib.Path(sys.argv[at + 1]).resolve()
        del sys.argv[at:at + 2]
        return path
    return AGENT


def fetch(*packages):
    """The folder that holds the packages' files. Ends the test as not run where they cannot be had."""
    done = subprocess.run([ROOT / "tests" / "peers" / "fetch", *packages], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"not run: {done.stderr.strip()}")
        sys.exit(NOT_RUN)
    return pathlib.Path(done.stdout.strip())


class Folder:
    """A temporary folder with configurations in it."""

    def __init__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="penstock-source-")
        self.path = pathlib.Path(self.holder.name)

    def example(self, connector, replacements):
        """connectors/<connector>/example.yaml with other places in it; each has to occur."""
        text = (ROOT / "connectors" / connector / "example.yaml").read_text(encoding="utf-8")
        for old, new in {"/var/lib/penstock/buffer": f"{self.path}/buffer", **replacements}.items():
            assert old in text, f"{old} is not in the example"
            text = text.replace(old, str(new))
        return self.config(text)

    def config(self, text):
        file = self.path / "penstock.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    def cleanup(self):
        self.holder.cleanup()


def probe(agent, config, name, count, seconds=60, env=None):
    """The lines that `penstock probe` prints, without their times. Fails if fewer than `count` came."""
    done = subprocess.run([agent, "probe", name, "-n", str(count), "--for", f"{seconds}s", "-c", config],
                          capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    lines = [line.split("  ", 1)[1] for line in done.stdout.splitlines() if line]
    assert done.returncode == 0, f"probe {name} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return lines
