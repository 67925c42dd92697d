"""A gate on the way to a server: open, it passes bytes both ways; closed, it refuses and cuts what there is.

The line behind it may be long, narrow and lossy (`Line`); it may swallow what is sent, end one way only, change a bit, and
give the server once more what the client of an ended connection had sent. What chance decides comes from the seed.
"""
import asyncio
import collections
import random
import socket
import struct
import threading

CHUNK = 1 << 16
SEGMENT_BYTES = 1460  # what a lost packet takes along
RECORDED_BYTES_MAX = 1 << 20
UP, DOWN = "up", "down"  # to the server, and back


class Line:
    """What the line is like, both ways.

    A lost segment comes `resend_s` later and what follows waits for it, as with TCP: to those who use the line a loss is a
    stall. With `room_bytes` on their way it takes no more, and the sender waits.
    """

    def __init__(self, delay_s=0.0, bytes_per_s=None, loss=0.0, resend_s=0.0, room_bytes=1 << 20, swallows=()):
        self.delay_s, self.bytes_per_s, self.loss, self.resend_s = delay_s, bytes_per_s, loss, resend_s
        self.room_bytes = room_bytes
        self.swallows = frozenset(swallows)  # of UP and DOWN


class Way:
    """One direction of a connection. All on the gate's own thread."""

    def __init__(self, gate, source, sink, direction):
        self.gate, self.source, self.sink, self.direction = gate, source, sink, direction
        self.loop = gate.loop
        self.waiting = collections.deque()  # (due, bytes); no bytes: the end
        self.held_bytes = 0
        self.free_at = self.last_due = 0.0
        self.changed = asyncio.Event()
        self.has_hole = False  # something was swallowed: what follows would be passed on as if it had stood before
        self.flip_in = None    # bytes until one is changed
        self.recorded = bytearray()
        self.records = direction == UP

    async def take_in(self):
        while True:
            while self.held_bytes >= self.gate.line.room_bytes:
                self.changed.clear()
                await self.changed.wait()
            data = await self.loop.sock_recv(self.source, CHUNK)
            self.has_hole = self.has_hole or self.direction in self.gate.line.swallows
            if self.has_hole and data:
                self.gate.swallowed += len(data)
                continue
            self.put(data)
            if not data:
                return

    def record(self, data):
        self.records = self.records and len(self.recorded) + len(data) <= RECORDED_BYTES_MAX
        if self.records:
            self.recorded += data

    def put(self, data):
        line = self.gate.line
        self.record(data)
        step = SEGMENT_BYTES if line.loss > 0 or line.bytes_per_s else CHUNK
        for at in range(0, max(1, len(data)), step):
            segment = data[at:at + step]
            self.free_at = max(self.loop.time(), self.free_at)
            if line.bytes_per_s:
                self.free_at += len(segment) / line.bytes_per_s
            due = self.free_at + line.delay_s
            if line.loss and self.gate.random.random() < line.loss:
                due += line.resend_s
                self.gate.lost += 1
            self.last_due = max(self.last_due, due)
            self.waiting.append((self.last_due, segment))
            self.held_bytes += len(segment)
        self.changed.set()

    async def give_out(self):
        while True:
            while not self.waiting:
                self.changed.clear()
                await self.changed.wait()
            due, data = self.waiting.popleft()
            if due > self.loop.time():
                await asyncio.sleep(due - self.loop.time())
            if not data:
                self.sink.shutdown(socket.SHUT_WR)
                return
            await self.loop.sock_sendall(self.sink, self.flipped(data))
            self.held_bytes -= len(data)
            self.gate.passed[self.direction] += len(data)
            self.changed.set()

    def flipped(self, data):
        if self.flip_in is None:
            return data
        if self.flip_in >= len(data):
            self.flip_in -= len(data)
            return data
        data = bytearray(data)
        data[self.flip_in] ^= 1 << self.gate.random.randrange(8)
        self.flip_in = None
        self.gate.flipped += 1
        return data


class Pair:
    def __init__(self, gate, near, far):
        self.near, self.far = near, far
        self.ways = {UP: Way(gate, near, far, UP), DOWN: Way(gate, far, near, DOWN)}
        self.tasks = []
        self.with_reset = False

    async def serve(self):
        self.tasks = [asyncio.ensure_future(work()) for way in self.ways.values() for work in (way.take_in, way.give_out)]
        try:
            await asyncio.gather(*self.tasks)
        except (OSError, asyncio.CancelledError):
            pass
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for end in (self.near, self.far):
            if self.with_reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()

    def cut(self, with_reset):
        self.with_reset = with_reset
        for task in self.tasks:
            task.cancel()


class Gate:
    def __init__(self, target_port, seed=0):
        self.target_port = target_port
        self.line = Line()  # may be replaced at any time
        self.random = random.Random(seed)
        self.is_open = True
        self.pairs = set()
        self.last_sent = b""  # by the client of the last connection that ended
        self.accepted = self.swallowed = self.lost = self.flipped = self.replayed = 0
        self.passed = {UP: 0, DOWN: 0}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        self.served = set()  # a loop keeps no task alive by itself
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.accepting = asyncio.run_coroutine_threadsafe(self.accept(), self.loop)

    async def accept(self):
        while True:
            near, _ = await self.loop.sock_accept(self.listener)
            self.accepted += 1
            task = asyncio.ensure_future(self.serve(near))
            self.served.add(task)
            task.add_done_callback(self.served.discard)

    async def connect(self):
        far = socket.socket()
        far.setblocking(False)
        try:
            await self.loop.sock_connect(far, ("127.0.0.1", self.target_port))
        except BaseException:
            far.close()
            raise
        return far

    async def serve(self, near):
        near.setblocking(False)
        try:
            far = await asyncio.wait_for(self.connect(), 5) if self.is_open else None
        except (OSError, asyncio.TimeoutError):
            far = None
        if not far or not self.is_open:
            near.close()
            if far:
                far.close()
            return
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(self, near, far)
        self.pairs.add(pair)
        await pair.serve()
        self.pairs.discard(pair)
        self.last_sent = bytes(pair.ways[UP].recorded)

    def do(self, work):
        """Runs it on the gate's thread, and returns what it returns."""
        async def call():
            return work()
        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(30)

    def cut(self, with_reset=False):
        """Ends the connections that there are; what is on the line is lost. Returns how many there were."""
        def end():
            for pair in self.pairs:
                pair.cut(with_reset)
            return len(self.pairs)
        return self.do(end)

    def shut(self):
        self.is_open = False
        return self.cut()

    def open(self):
        self.is_open = True

    def half_close(self, direction):
        """What is on the line still arrives, and then the end; the other direction goes on."""
        self.do(lambda: [pair.ways[direction].put(b"") for pair in self.pairs])

    def flip(self, direction, after_bytes=0):
        """Changes a bit of what comes next."""
        def arm():
            for pair in self.pairs:
                pair.ways[direction].flip_in = after_bytes
        self.do(arm)

    def replay(self):
        """The server gets once more what the client of the last connection that ended had sent."""
        sent = self.last_sent
        if not sent:
            return

        async def work():
            far = await self.connect()
            with far:
                await self.loop.sock_sendall(far, sent)
                self.replayed += 1
                while await asyncio.wait_for(self.loop.sock_recv(far, CHUNK), 0.3):
                    pass
        try:
            asyncio.run_coroutine_threadsafe(work(), self.loop).result(30)
        except (OSError, asyncio.TimeoutError):
            pass  # the server would not have it, or waits for more

    def close(self):
        self.shut()

        async def end():
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self.listener.close()
        asyncio.run_coroutine_threadsafe(end(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
