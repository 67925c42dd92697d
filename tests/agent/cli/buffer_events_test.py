#!/usr/bin/python3
"""`penstock buffer peek` and `export`: readable, complete, by number and time, into files.

tests/agent/cli/buffer_events_test.py PENSTOCK [-k PATTERN]
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import unittest

from program import PATIENCE_S, PENSTOCK, Case, damage_batches, main


class Peek(Case):
    def test_oldest_and_newest(self):
        config = self.collected(1200)
        stream = self.stream(config)
        for arguments, expected in (((), range(1190, 1200)), (("--last", "3"), range(1197, 1200)),
                                    (("--first", "3"), range(0, 3)), (("--last", "5000"), range(0, 1200)),
                                    (("--first", "2", "--from", "700"), range(700, 702)),
                                    (("--last", "2", "--to", "700"), range(699, 701))):
            events = self.json_lines(0, "buffer", "peek", stream, *arguments, "--json", "-c", config)
            self.assertEqual(list(expected), [e["seq"] for e in events], arguments)
        shown = self.ends(0, "buffer", "peek", stream, "--last", "1", "-c", config).stdout
        self.assertRegex(shown, r"^20\d\d-.*Z +app\S* +1199 .*message line 1200")

    def test_a_stream_that_is_not_there(self):
        config = self.collected(10)
        out = self.dir / "none.jsonl"
        for arguments in (("peek", "nothing"), ("export", "--stream", "nothing"),
                          ("export", "--stream", "nothing", "--format", "json"),
                          ("export", "--stream", "nothing", "--out", out),
                          ("purge", "--stream", "nothing"), ("purge", "--stream", "nothing", "--yes")):
            done = self.ends(69, "buffer", *arguments, "-c", config, says='there is no stream "nothing"')
            self.assertEqual("", done.stdout, arguments)
        self.assertEqual([], list(self.dir.glob("none.*")))

    def test_all_streams_come_in_the_order_of_storing(self):
        config = self.collected(10)
        own = [e["event"] for e in self.json_lines(0, "buffer", "peek", "--last", "100", "--json", "-c", config)
               if e["stream"] == "_agent"]
        self.assertEqual("stop", own[-1])
        everything = self.json_lines(0, "buffer", "peek", "--first", "100", "--json", "-c", config)
        self.assertEqual("stop", everything[-1]["event"])

    def test_beside_a_running_agent_it_takes_nothing_out(self):
        config = self.lines_config()
        self.append_lines(1, 50)
        process = self.start("run", "-c", config)
        self.until("all lines stored", lambda: self.stored_lines(config) == 50)
        stream = self.stream(config)
        for _ in range(2):
            events = self.json_lines(0, "buffer", "peek", stream, "--first", "50", "--json", "-c", config)
            self.assertEqual([f"line {n}" for n in range(1, 51)], [e["message"] for e in events])
        self.assertEqual(0, self.stopped(process)[0])

    def test_losses_and_damage_are_readable(self):
        config = self.collected(600)
        self.assertGreater(damage_batches(self.dir / "buffer/buffer.mdb"), 0)
        done = self.ends(65, "buffer", "peek", "--first", "100", "-c", config, says="damaged batches")
        self.assertRegex(done.stdout, r"lost 0 to \d+ \(\d+ events\): corrupt")

    def test_wrong_lines(self):
        config = self.lines_config()
        self.ends(64, "buffer", "peek", "--first", "1", "--last", "1", "-c", config, says="excludes")
        self.ends(64, "buffer", "peek", "--last", "0", "-c", config, says="--last")
        self.ends(64, "buffer", "peek", "--from", "yesterday", "-c", config, says='--from "yesterday" is neither')
        self.ends(69, "buffer", "peek", "-c", config, says="there is no buffer at")


class Stat(Case):
    def test_a_limit_that_nobody_knows_is_not_told(self):
        config = self.collected(10)
        (known,) = self.json_lines(0, "buffer", "stat", "--json", "-c", config)
        self.assertEqual(16 << 20, known["max_size"])
        self.assertIn(" of 16.0 MiB, file", self.ends(0, "buffer", "stat", "-c", config).stdout)
        broken = self.write("broken.yaml", "buffer: [\n")
        stat = ("buffer", "stat", "--dir", self.dir / "buffer", "-c", broken)
        self.assertNotIn("max_size", self.json_lines(0, *stat, "--json")[0])
        shown = self.ends(0, *stat).stdout
        self.assertRegex(shown, "size +[0-9.]+ [KM]iB, file")
        self.assertRegex(shown, "oldest +stored .* of use ago: the time that the buffer was open")


class Export(Case):
    def test_a_signal_leaves_no_part_of_a_file(self):
        with socket.socket(socket.AF_UNIX) as silent:  # an agent that never answers
            silent.bind(str(self.dir / "silent.sock"))
            silent.listen()
            part = self.dir / "all.jsonl.part"
            for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                process = self.start("--socket", self.dir / "silent.sock", "buffer", "export", "--out",
                                     self.dir / "all.jsonl")
                self.until("the file is begun", part.exists)
                process.send_signal(how)
                process.communicate(timeout=PATIENCE_S)
                self.assertEqual(-how, process.returncode)
                self.assertEqual([], list(self.dir.glob("all.*")))

    def test_by_number_and_by_time(self):
        config = self.collected(30)
        stream = self.stream(config)
        export = ("buffer", "export", "--stream", stream, "-c", config)
        self.assertEqual(list(range(10, 21)), [e["seq"] for e in self.json_lines(0, *export, "--from", "10", "--to", "20")])
        self.assertEqual([5, 6], [e["seq"] for e in self.json_lines(0, *export, "--from", "5", "-n", "2")])
        self.assertEqual(30, len(self.json_lines(0, *export, "--from", "1h", "--to", "0s")))
        self.assertEqual(0, len(self.json_lines(0, *export, "--to", "1h")))
        moment = self.json_lines(0, *export)[12]["time"]
        first = min(e["seq"] for e in self.json_lines(0, *export, "--from", moment))
        self.assertLessEqual(first, 12)
        self.assertEqual(30, len(self.json_lines(0, *export, "--from", "2020-01-01")))
        self.ends(64, *export, "--from", "2026-13-01", says="neither a number nor a time")

    def test_one_array(self):
        config = self.collected(30)
        lines = self.json_lines(0, "buffer", "export", "-c", config)
        self.assertEqual(lines, json.loads(self.ends(0, "buffer", "export", "--format", "json", "-c", config).stdout))
        empty = self.ends(0, "buffer", "export", "--format", "json", "--from", "1000000", "-c", config).stdout
        self.assertEqual([], json.loads(empty))
        self.ends(64, "buffer", "export", "--format", "xml", "-c", config, says="xml")

    def test_into_a_file_that_appears_when_complete(self):
        config = self.collected(30)
        out = self.dir / "out.jsonl"
        done = self.ends(0, "buffer", "export", "--out", out, "-c", config, says="events in")
        self.assertEqual("", done.stdout)
        self.assertEqual(self.ends(0, "buffer", "export", "-c", config).stdout, out.read_text(encoding="utf-8"))
        self.ends(73, "buffer", "export", "--out", self.dir / "none/out", "-c", config, says="cannot write")
        self.ends(69, "buffer", "export", "--out", self.dir / "other", "--dir", self.dir / "none", says="no buffer")
        self.assertFalse((self.dir / "other").exists())
        self.assertEqual([], list(self.dir.glob("*.part")))

    def test_a_full_output_disk(self):
        config = self.collected(30)
        self.ends(74, "buffer", "export", "--out", "/dev/full", "-c", config, says="No space left")
        self.assertTrue(pathlib.Path("/dev/full").is_char_device())
        with open("/dev/full", "w", encoding="utf-8") as full:
            for arguments in (("export",), ("peek",), ("list",), ("stat",), ("verify",)):
                done = subprocess.run([PENSTOCK, "buffer", *arguments, "-c", config], stdout=full, check=False,
                                      stderr=subprocess.PIPE, text=True, env=self.environment)
                self.assertEqual(74, done.returncode, arguments)
                self.assertIn("standard output: No space left", done.stderr)

    def test_a_broken_pipe(self):
        config = self.collected(2000)
        for arguments in (("export",), ("peek", "--last", "2000")):
            reader, writer = os.pipe()
            os.close(reader)
            process = subprocess.Popen([PENSTOCK, "buffer", *arguments, "-c", config], stdout=writer,
                                       stderr=subprocess.PIPE, text=True, env=self.environment)
            os.close(writer)
            _, said = process.communicate(timeout=60)
            self.assertIn(process.returncode, (-13, 74), said)
            self.assertNotIn("terminate", said)
        self.ends(0, "buffer", "verify", "-c", config)


class Where(Case):
    def test_a_directory_of_its_own(self):
        config = self.collected(20)
        changed = self.write("other.yaml", config.read_text(encoding="utf-8").replace("gw-7", "gw-8"))
        self.ends(0, "run", "-c", changed, "--for", "300ms", says="event=new_epoch")
        (aside,) = (self.dir / "buffer").glob("previous-*")
        stat = self.json_lines(0, "buffer", "stat", "--json", "--dir", aside)[0]
        self.assertEqual("gw-7", stat["device"])
        events = self.json_lines(0, "buffer", "export", "--dir", aside)
        self.assertEqual(20, sum("message" in e for e in events))
        self.ends(69, "buffer", "stat", "--dir", self.dir, says="there is no buffer at")

    def test_held_by_a_process_that_does_not_answer(self):
        config = self.lines_config()
        self.append_lines(1, 5)
        process = self.start("run", "-c", config)
        self.until("all lines stored", lambda: self.stored_lines(config) == 5)
        (self.dir / "buffer/control.sock").unlink()
        for command in ("stat", "list", "peek", "export", "verify"):
            self.ends(75, "buffer", command, "-c", config, says="a process holds the buffer")
        self.assertEqual(0, self.stopped(process)[0])


if __name__ == "__main__":
    main()
