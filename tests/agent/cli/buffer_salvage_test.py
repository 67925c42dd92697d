#!/usr/bin/python3
"""A damaged buffer: the agent goes on by itself, and `penstock buffer salvage` saves what is right.

tests/agent/cli/buffer_salvage_test.py PENSTOCK [-k PATTERN]
"""
import fcntl
import json
import random

from program import Case, damage_batches, main

PAGE = 4096


def wreck(file):
    """Both headers and every page of LMDB's trees with a pointer in it that leads nowhere: it cannot be opened."""
    content = bytearray(file.read_bytes())
    content[:2 * PAGE] = bytes(2 * PAGE)
    file.write_bytes(content)


class Salvage(Case):
    def saved(self, code, *arguments):
        out = self.dir / "saved.jsonl"
        done = self.ends(code, "buffer", "salvage", *arguments, "--out", out)
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()], done

    def messages(self, events):
        return [e["message"] for e in events if e["stream"].startswith("app") and "lost" not in e]

    def test_a_sound_buffer_gives_everything(self):
        config = self.collected(2000)
        events, done = self.saved(0, "-c", config)
        self.assertEqual([f"line {n}" for n in range(1, 2001)], self.messages(events))
        self.assertIn("2000 events", done.stdout)
        stats = self.json_lines(0, "buffer", "salvage", "-c", config, "--out", self.dir / "again.jsonl", "--json")
        self.assertEqual({0}, {s["missing"] for s in stats})

    def test_a_file_that_cannot_be_opened(self):
        config = self.collected(2000)
        folder = self.dir / "buffer"
        wreck(folder / "buffer.mdb")
        self.ends(65, "buffer", "verify", "-c", config, says="penstock buffer salvage saves")
        events, _ = self.saved(0, folder)
        self.assertEqual([f"line {n}" for n in range(1, 2001)], self.messages(events))

    def test_the_agent_sets_it_aside_and_goes_on(self):
        config = self.collected(500)
        wreck(self.dir / "buffer/buffer.mdb")
        process = self.start("run", "-c", config)
        self.append_lines(501, 600)
        # Without headers no position can be read: the file is read again from its beginning, in a new epoch.
        self.until("all lines stored", lambda: self.stored_lines(config) == 600)
        code, log = self.stopped(process)
        self.assertEqual(0, code)
        self.assertIn("buffer salvage", log)
        self.assertIn("reason=quarantined", log)
        aside = next((self.dir / "buffer").glob("corrupt-*"))
        events, _ = self.saved(0, aside)
        self.assertEqual([f"line {n}" for n in range(1, 501)], self.messages(events))
        own = [e for e in self.json_lines(0, "buffer", "peek", "_agent", "--first", "5", "--json", "-c", config)]
        self.assertEqual(("epoch_started", "quarantined"), (own[0]["event"], own[0]["cause"]))
        process = self.start("run", "-c", config)
        self.append_lines(601, 700)
        self.until("all lines stored", lambda: self.stored_lines(config) == 700)
        self.assertEqual(0, self.stopped(process)[0])

    def test_damaged_batches_are_missing_and_told(self):
        config = self.collected(1200)
        file = self.dir / "buffer/buffer.mdb"
        self.assertGreater(damage_batches(file), 0)
        events, done = self.saved(65, "-c", config)
        self.assertEqual([], self.messages(events))
        stats = self.json_lines(65, "buffer", "salvage", "-c", config, "--out", self.dir / "again.jsonl", "--json")
        self.assertEqual([(1200, 0, 1200)], [(s["missing"], s["first_seq"], s["next_seq"])
                                             for s in stats if s["stream"].startswith("app")])

    def test_what_is_gone_before_the_first_and_behind_the_last_batch_is_missing(self):
        config = self.collected(1200)  # three batches or more
        file = self.dir / "buffer/buffer.mdb"
        sound = file.read_bytes()
        frames = [at for at in range(len(sound)) if sound.startswith(b"\x28\xb5\x2f\xfd", at)]
        # Each alone: what is not found is missing, wherever it was.
        for at in frames:
            content = bytearray(sound)
            content[at + 12] ^= 0xFF
            file.write_bytes(content)
            out = self.dir / "one.jsonl"
            stats = [json.loads(line) for line in
                     self.call("buffer", "salvage", "-c", config, "--out", out, "--json").stdout.splitlines()]
            app = next(s for s in stats if s["stream"].startswith("app"))
            self.assertEqual(1200, app["events"] + app["missing"])
            self.assertEqual((0, 1200), (app["first_seq"], app["next_seq"]))

    def test_random_damage_gives_only_what_is_right(self):
        config = self.collected(3000)
        file = self.dir / "buffer/buffer.mdb"
        sound, chance = file.read_bytes(), random.Random(1)
        right = {f"line {n}" for n in range(1, 3001)}
        for _ in range(5):
            content = bytearray(sound)
            for _ in range(3):
                at = chance.randrange(len(content) // 512) * 512
                content[at:at + 512] = bytes(512)
            file.write_bytes(content)
            out = self.dir / "saved.jsonl"
            done = self.call("buffer", "salvage", "-c", config, "--out", out)
            self.assertIn(done.returncode, (0, 65), done.stderr)
            if out.exists():
                saved = self.messages(map(json.loads, out.read_text(encoding="utf-8").splitlines()))
                self.assertEqual(len(saved), len(set(saved)))
                self.assertLessEqual(set(saved), right)

    def test_the_agent_waits_for_a_tool_that_holds_the_buffer(self):
        config = self.collected(10)
        with open(self.dir / "buffer/LOCK", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.append_lines(11, 20)
            process = self.start("run", "-c", config)
            self.ends(75, "buffer", "stat", "-c", config)
            self.assertIsNone(process.poll())
        self.until("all lines stored", lambda: self.stored_lines(config) == 20)
        self.assertEqual(0, self.stopped(process)[0])

    def test_wrong_lines(self):
        config = self.lines_config()
        self.ends(64, "buffer", "salvage", "-c", config, says="--out")
        self.ends(69, "buffer", "salvage", "-c", config, "--out", self.dir / "x", says="there is no buffer at")
        (self.dir / "junk").mkdir()
        (self.dir / "junk/buffer.mdb").write_bytes(b"x" * 100_000)
        self.ends(65, "buffer", "salvage", self.dir / "junk", "--out", self.dir / "x", says="nothing in it can be read")
        self.append_lines(1, 10)
        process = self.start("run", "-c", config)
        self.until("stored", lambda: self.stored_lines(config) == 10)
        self.ends(75, "buffer", "salvage", "-c", config, "--out", self.dir / "x", says="stop it first")
        self.stopped(process)
        self.ends(73, "buffer", "salvage", "-c", config, "--out", self.dir / "none/x", says="cannot write")


if __name__ == "__main__":
    main()
