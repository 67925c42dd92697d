#!/usr/bin/python3
"""Commands that replace the buffer's file: nothing stored changes, and a running agent is left alone.

tests/agent/cli/buffer_file_test.py PENSTOCK [-k PATTERN]
"""
import os
import unittest

from program import NOBODY, Case, main


class Compact(Case):
    def test_gives_back_what_was_purged(self):
        config = self.collected(20_000)
        self.ends(0, "buffer", "purge", "--stream", self.stream(config), "--before-seq", "19000", "--yes", "-c", config)
        stored = self.ends(0, "buffer", "export", "-c", config).stdout
        file = self.dir / "buffer/buffer.mdb"
        before = file.stat().st_size
        (planned,) = self.json_lines(0, "buffer", "compact", "--dry-run", "--json", "-c", config)
        self.assertEqual([True, before], [planned["dry_run"], planned["bytes_before"]])
        self.assertEqual(before, file.stat().st_size)
        (done,) = self.json_lines(0, "buffer", "compact", "--json", "-c", config)
        self.assertEqual({"dry_run": False, "bytes_before": before, "bytes_after": file.stat().st_size}, done)
        self.assertLess(done["bytes_after"], before)
        self.assertLessEqual(done["bytes_after"], planned["bytes_after"])
        self.assertEqual(stored, self.ends(0, "buffer", "export", "-c", config).stdout)
        self.ends(0, "buffer", "verify", "-c", config)
        self.assertIn("the file had", self.ends(0, "buffer", "compact", "-c", config).stdout)
        self.assertEqual(["LOCK", "buffer.mdb"], sorted(path.name for path in file.parent.iterdir()))

    def test_leaves_a_running_agent_alone(self):
        config = self.lines_config()
        self.append_lines(1, 100)
        process = self.start("run", "-c", config)
        self.until("all lines stored", lambda: self.stored_lines(config) == 100)
        self.assertTrue(self.json_lines(0, "buffer", "compact", "--dry-run", "--json", "-c", config)[0]["dry_run"])
        self.ends(75, "buffer", "compact", "-c", config, says="stop it first")
        self.assertEqual(0, self.stopped(process)[0])

    def test_nothing_there(self):
        self.ends(69, "buffer", "compact", "-c", self.lines_config(), says="there is no buffer at")


class NewEpoch(Case):
    def epoch(self, config):
        return self.json_lines(0, "buffer", "stat", "--json", "-c", config)[0]["epoch"]

    def test_begins_with_the_next_start_and_keeps_what_waits(self):
        config = self.collected(100)
        old = self.epoch(config)
        (shown,) = self.json_lines(0, "buffer", "new-epoch", "--json", "-c", config)
        self.assertEqual([True, old, False], [shown["dry_run"], shown["epoch"], shown["in_use"]])
        self.assertIn("Nothing was changed", self.ends(0, "buffer", "new-epoch", "-c", config).stdout)
        self.assertEqual(["LOCK", "buffer.mdb"], sorted(path.name for path in (self.dir / "buffer").iterdir()))
        self.assertIn("next start", self.ends(0, "buffer", "new-epoch", "--yes", "-c", config).stdout)
        self.assertEqual(old, self.epoch(config))

        self.append_lines(101, 103)
        process = self.start("run", "-c", config)
        self.until("the new lines are numbered from 0", lambda: self.stored_lines(config) == 3)
        self.assertEqual(0, self.stopped(process)[0])
        new = self.epoch(config)
        self.assertNotEqual(old, new)
        started = [e for e in self.json_lines(0, "buffer", "export", "--stream", "_agent", "-c", config)
                   if e.get("event") == "epoch_started"]
        self.assertEqual([("asked_for", old)], [(e["cause"], e["previous_epoch"]) for e in started])
        aside = self.dir / "buffer" / f"previous-{old}-1"
        self.assertEqual(100, len([1 for e in self.json_lines(0, "buffer", "export", "--dir", aside, "-c", config)
                                   if e["stream"].startswith("app")]))
        self.append_lines(104, 106)
        process = self.start("run", "-c", config)
        self.until("numbers go on", lambda: self.stored_lines(config) == 6)
        self.assertEqual(0, self.stopped(process)[0])
        self.assertEqual(new, self.epoch(config))

    def test_a_mark_that_cannot_be_read_is_not_passed_over(self):
        config = self.collected(3)
        old = self.epoch(config)
        mark = self.dir / "buffer/NEW_EPOCH"
        mark.mkdir()
        self.ends(74, "run", "-c", config, "--for", "100ms", says="NEW_EPOCH asks for a new epoch")
        mark.rmdir()
        self.ends(0, "run", "-c", config, "--for", "100ms")
        self.assertEqual(old, self.epoch(config))


@unittest.skipIf(os.getuid() != 0, "not run: needs root")
class AsRoot(Case):
    """What root does to the buffer of an agent that runs as another user."""

    def setUp(self):
        super().setUp()
        self.config = self.collected(3)
        self.buffer = self.dir / "buffer"
        for path in (self.buffer, *self.buffer.iterdir()):
            os.chown(path, NOBODY, NOBODY)

    def assert_still_the_users(self):
        made = list(self.buffer.rglob("*"))
        self.assertEqual({path: (NOBODY, NOBODY) for path in made},
                         {path: (path.stat().st_uid, path.stat().st_gid) for path in made})
        return {path.relative_to(self.buffer).parts[0].split("-")[0] for path in made}

    def test_compacts(self):
        self.ends(0, "buffer", "compact", "-c", self.config)
        self.assertEqual({"LOCK", "buffer.mdb"}, self.assert_still_the_users())

    def test_asks_for_a_new_epoch_and_runs(self):
        (self.buffer / "LOCK").unlink()
        self.ends(0, "buffer", "new-epoch", "--yes", "-c", self.config)
        self.assertEqual({"LOCK", "NEW_EPOCH", "buffer.mdb"}, self.assert_still_the_users())
        self.ends(0, "run", "-c", self.config, "--for", "100ms")
        self.assertEqual({"LOCK", "NEW_EPOCH", "buffer.mdb", "previous"}, self.assert_still_the_users())

    def test_leaves_alone_what_has_another_name_elsewhere(self):
        roots = self.write("roots.txt", "of root")
        (self.buffer / "NEW_EPOCH").hardlink_to(roots)
        self.ends(0, "buffer", "new-epoch", "--yes", "-c", self.config)
        self.assertEqual((0, "of root"), (roots.stat().st_uid, roots.read_text()))


if __name__ == "__main__":
    main()
