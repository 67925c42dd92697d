#!/usr/bin/python3
"""The command of tests/bench at tiny sizes: every job that needs no package gives its rows, and no line is lost. Never a speed."""
import argparse
import json
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build/release"
JOBS = ("j1", "j2", "j2b", "memory", "idle", "latency", "growth", "startup", "size")


class Command(unittest.TestCase):
    def run_command(self, *words):
        return subprocess.run([HERE / "run", "--build", BUILD, *words], capture_output=True, text=True, check=False)

    def test_every_job_gives_its_rows_and_nothing_is_lost(self):
        done = self.run_command("--small", "--json", *JOBS)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual([text for text in found["troubles"] if "failed" in text], [])
        self.assertEqual({row["job"] for row in found["rows"]}, set(JOBS))
        for row in found["rows"]:
            self.assertTrue(row["case"] and row["unit"], row)
            self.assertGreaterEqual(row["ours"], 0, row)
            self.assertEqual(row["ratio"] is None, not row["peer"], row)
            if row["job"] == "j2b" and "removed" not in row["case"]:
                self.assertEqual(row["ours"], 0, row)
        beside = {(row["job"], row["peer_name"]) for row in found["rows"]}
        self.assertLessEqual({("j1", "bare Paho"), ("latency", "LMDB commit")}, beside)

    def test_the_table_has_a_line_for_each_row(self):
        done = self.run_command("--small", "size")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertTrue(lines[0].startswith("job"))
        self.assertIn("stripped binary", lines[1])

    def test_libraries_of_one_connector_are_not_linked(self):
        listed = subprocess.run(["ldd", BUILD / "penstock"], capture_output=True, text=True, check=True).stdout
        self.assertIn("liblmdb", listed)
        for name in ("libmicrohttpd", "libgnutls", "libsystemd"):
            self.assertNotIn(name, listed)

    def test_an_unknown_job_is_told(self):
        done = self.run_command("nonsense")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no job 'nonsense'; there are: j1", done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    known, rest = parser.parse_known_args()
    BUILD = known.build.resolve()
    unittest.main(argv=[sys.argv[0], *rest])
