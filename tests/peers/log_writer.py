"""Appends numbered lines to a log that is rotated by renaming, as a program and logrotate together do it."""
import os
import pathlib
import random
import threading


class LogWriter(threading.Thread):
    """Line n is "line n <filler>\\n". Between lines it sometimes rotates; sometimes a line comes in two writes.

    style "shift": app.log -> app.log.1 -> app.log.2 …; style "date": app.log -> app.log-20260101-000001 ….
    With `lingers` the writer goes on with the renamed file for some lines before it opens the new one.
    """

    def __init__(self, folder, seed, style="shift", lingers=False, line_bytes=(20, 160), pause_s=0.02):
        super().__init__(daemon=True)
        self.folder = pathlib.Path(folder)
        self.path = self.folder / "app.log"
        self.random = random.Random(seed)
        self.style, self.lingers, self.line_bytes, self.pause_s = style, lingers, line_bytes, pause_s
        self.lines = self.rotations = 0
        self.rotate_soon = threading.Event()
        self.rotated = threading.Event()
        self.stopping = threading.Event()

    def write_first(self):
        """One line before the thread is started."""
        self.lines = 1
        self.path.write_bytes(b"line 1 \n")

    def run(self):
        self.out = open(self.path, "ab", buffering=0)
        until_rotation = self.random.randint(50, 2000)
        while not self.stopping.wait(self.random.random() * self.pause_s):
            burst = self.random.choice((1, 5, 50, 200))
            self.write(burst)
            until_rotation -= burst
            if until_rotation <= 0 or self.rotate_soon.is_set():
                self.rotate()
                until_rotation = self.random.randint(50, 2000)
        self.out.close()

    def write(self, count):
        text = bytearray()
        for _ in range(count):
            self.lines += 1
            size = self.random.randint(*self.line_bytes)
            head = f"line {self.lines} "
            text += head.encode() + b"x" * max(0, size - len(head)) + b"\n"
        if self.random.random() < 0.3:
            cut = self.random.randrange(len(text))
            self.out.write(text[:cut])
            self.stopping.wait(self.random.random() * 0.01)
            text = text[cut:]
        self.out.write(text)

    def rotate(self):
        self.rotations += 1
        if self.style == "shift":
            old = sorted((int(p.suffix[1:]) for p in self.folder.glob("app.log.*")), reverse=True)
            for number in old:
                os.rename(f"{self.path}.{number}", f"{self.path}.{number + 1}")
            os.rename(self.path, f"{self.path}.1")
        else:
            os.rename(self.path, f"{self.path}-20260101-{self.rotations:06d}")
        new = open(self.path, "ab", buffering=0)
        if self.lingers:
            self.write(self.random.randint(1, 30))
        self.out.close()
        self.out = new
        self.rotate_soon.clear()
        self.rotated.set()

    def rotate_now(self, timeout=2):
        """Returns as soon as a rotation is done."""
        self.rotated.clear()
        self.rotate_soon.set()
        self.rotated.wait(timeout)

    def stop(self):
        self.stopping.set()
        self.join(10)
