"""What a line does to those who use it, drawn from a seed: the same seed gives the same schedule."""
import dataclasses
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
from gate import DOWN, UP, Line  # noqa: E402

# Without TLS nobody between the agent and the receiver could tell that a bit of a text has changed.
TLS_ONLY = ("flip",)


@dataclasses.dataclass
class Step:
    fault: str
    direction: str
    line: Line       # from this step on, where the fault is `line`
    amount: int      # what else the fault needs
    lines: int       # written before it
    pause_s: float   # after it, and after the next lines
    clock_s: int     # what the agent's wall clock is off by while it happens, from where it began


@dataclasses.dataclass
class Schedule:
    seed: int
    uses_tls: bool
    protocol: str
    in_flight: int
    batch_events: int
    line: Line
    steps: list

    def line_count(self):
        return sum(step.lines for step in self.steps)

    def __str__(self):
        steps = ", ".join(f"{s.fault} {s.direction}" if s.fault in DIRECTED else s.fault for s in self.steps)
        return f"{'TLS' if self.uses_tls else 'TCP'}, MQTT {self.protocol}, {self.in_flight} in flight: {steps}"


CLOCK_STEPS_S = (0, 0, 3600, -3600)
DIRECTED = ("swallow", "half_close", "flip")


def draw_line(random_of):
    kind = random_of.randrange(4)
    if kind == 0:
        return Line()
    delay_s = random_of.choice((0.005, 0.05, 0.15, 0.3))
    bytes_per_s = random_of.choice((None, 20_000, 100_000, 1_000_000)) if kind >= 2 else None
    loss = random_of.choice((0.01, 0.05, 0.2)) if kind == 3 else 0.0
    return Line(delay_s, bytes_per_s, loss, 2 * delay_s + 0.1, random_of.choice((4_000, 100_000)))


def draw(seed):
    random_of = random.Random(seed)
    uses_tls = random_of.random() < 0.4
    faults = ["line", "line", "cut", "reset", "shut", "swallow", "half_close", "replay"]
    faults += [fault for fault in TLS_ONLY for _ in range(3) if uses_tls]
    steps = [Step(random_of.choice(faults), random_of.choice((UP, DOWN)), draw_line(random_of), random_of.randrange(3_000),
                  random_of.randrange(20, 300), random_of.uniform(0, 0.5), random_of.choice(CLOCK_STEPS_S))
             for _ in range(random_of.randrange(3, 7))]
    return Schedule(seed, uses_tls, random_of.choice(("auto", "5", "3.1.1")), random_of.choice((1, 2, 8, 16, 64)),
                    random_of.choice((5, 20, 100)), draw_line(random_of), steps)
