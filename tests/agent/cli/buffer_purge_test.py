#!/usr/bin/python3
"""`penstock buffer purge`: shows first, takes whole batches, leaves loss records, and the account adds up.

tests/agent/cli/buffer_purge_test.py PENSTOCK [-k PATTERN]
"""
import unittest

from program import Case, main


class Purge(Case):
    def account(self, config):
        """Per stream: every number from 0 to the next one is an event or told as lost, in order."""
        lost = {}
        due = {}
        for event in self.json_lines(0, "buffer", "export", "-c", config):
            name = event["stream"]
            self.assertEqual(due.get(name, 0), event["seq"])
            due[name] = event["seq"] + max(1, event.get("lost", 0))
            if "lost" in event:
                self.assertEqual("purged", event["reason"])
                lost[name] = lost.get(name, 0) + event["lost"]
        for stream in self.json_lines(0, "buffer", "list", "--json", "-c", config):
            self.assertEqual(stream["next_seq"], due[stream["stream"]])
        return lost

    def test_nothing_goes_without_yes(self):
        config = self.collected(600)
        stream = self.stream(config)
        before = self.ends(0, "buffer", "export", "-c", config).stdout
        (report,) = self.json_lines(0, "buffer", "purge", "--stream", stream, "--json", "-c", config)
        self.assertTrue(report["dry_run"])
        self.assertEqual(600, report["events"])
        shown = self.ends(0, "buffer", "purge", "--stream", stream, "-c", config).stdout
        self.assertIn("Nothing was changed", shown)
        self.assertEqual(before, self.ends(0, "buffer", "export", "-c", config).stdout)

    def test_what_goes_is_told_in_its_place(self):
        config = self.collected(1200)
        stream = self.stream(config)
        (report,) = self.json_lines(0, "buffer", "purge", "--stream", stream, "--before-seq", "700", "--yes", "--json",
                                    "-c", config)
        self.assertFalse(report["dry_run"])
        self.assertEqual(0, report["kept_rows"])
        self.assertLess(report["streams"][0]["last_seq"], 700)
        self.assertEqual({stream: report["events"]}, self.account(config))
        self.ends(0, "buffer", "verify", "-c", config)
        self.ends(0, "buffer", "purge", "--all", "--yes", "-c", config, says="")
        self.assertEqual(1200, self.account(config)[stream])
        self.assertEqual(0, self.json_lines(0, "buffer", "stat", "--json", "-c", config)[0]["events"])
        self.ends(0, "buffer", "verify", "-c", config)

    def test_by_time(self):
        config = self.collected(20)
        (report,) = self.json_lines(0, "buffer", "purge", "--before", "1h", "--json", "-c", config)
        self.assertEqual(0, report["events"])
        (report,) = self.json_lines(0, "buffer", "purge", "--before", "0s", "--yes", "--json", "-c", config)
        self.assertGreaterEqual(report["events"], 20)
        self.account(config)

    def test_beside_a_running_agent(self):
        config = self.lines_config()
        self.append_lines(1, 300)
        process = self.start("run", "-c", config)
        self.until("all lines stored", lambda: self.stored_lines(config) == 300)
        stream = self.stream(config)
        self.ends(0, "buffer", "purge", "--stream", stream, "--yes", "-c", config)
        self.append_lines(301, 310)
        self.until("the new lines stored", lambda: self.stored_lines(config) == 310)
        self.assertEqual(0, self.stopped(process)[0])
        self.assertEqual({stream: 300}, self.account(config))
        self.ends(0, "buffer", "verify", "-c", config)

    def test_wrong_lines(self):
        config = self.lines_config()
        for arguments, says in (((), "say what to purge"), (("--all", "--stream", "x"), "give it alone"),
                                (("--before-seq", "5"), "--stream"), (("--before", "5"), "is no time")):
            self.ends(64, "buffer", "purge", *arguments, "-c", config, says=says)
        self.ends(69, "buffer", "purge", "--all", "--yes", "-c", config, says="there is no buffer at")


if __name__ == "__main__":
    main()
