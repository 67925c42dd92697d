"""Cases of tests/fault/run with the real agent: full, filled, readonly, slow."""
import contextlib
import os
import pathlib
import signal
import subprocess
import time

from disks import Disk, run
from scene import Failed, Scene, wait_until

MIB = 1 << 20


@contextlib.contextmanager
def scene_on(arguments, base, kind, size_mib=32, options="", **scene_options):
    """A scene on a disk of its own; yields (disk, scene)."""
    folder = pathlib.Path(base)
    folder.mkdir()
    with Disk(folder, kind, max(size_mib, Disk.smallest_mib(kind)), options) as disk:
        (disk.path / "penstock").mkdir()
        scene = Scene(arguments.build / "penstock", folder, disk.path, **scene_options)
        try:
            yield disk, scene
        finally:
            scene.close()
            with contextlib.suppress(OSError):
                disk.free()


def shim(arguments, disk_path, **variables):
    return {"LD_PRELOAD": str(arguments.build / "tests/libfault_shim.so"), "FAULT_FOLDER": str(disk_path),
            **{f"FAULT_{name.upper()}": str(value) for name, value in variables.items()}}


def play(name, arguments, base, kind, part, **options):
    """One part of a case; prints what was seen, returns whether all was well."""
    began = time.monotonic()
    label = f"{name} {part.__name__.replace('_', ' ')} on {kind}"
    text = ""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(base) / f"{part.__name__}-{kind}-{len(os.listdir(base))}"
        disk, scene = stack.enter_context(scene_on(arguments, folder, kind, **options))
        try:
            text = part(disk, scene) or scene.finish()
        except Failed as failed:
            scene.findings.append(str(failed))
        print(f"{label}: {text} in {time.monotonic() - began:.1f} s", flush=True)
        for finding in scene.findings[:10]:
            print(f"  WRONG: {finding}")
        if scene.findings:
            print(scene.agent.log_tail(60))
        return not scene.findings


def bounded_trouble(scene, failed_max):
    """It has tried again, but not in a circle, and has said little."""
    intake = scene.intake()
    failed = intake.get("commits_failed", 0)
    scene.check(failed <= failed_max, f"{failed} commits failed, {failed_max} would do")
    noise = scene.in_log("event=")
    scene.check(noise <= 60, f"{noise} lines in the log")


def fill_up(scene):
    """Until the file waits and the port's oldest are dropped; the broker is away."""
    for _ in range(200):
        # It waits for a moment now and then before it is full: how much goes in depends on how well it is compressed.
        if not wait_until(lambda: scene.is_waiting_at("app"), 0.5):
            scene.write_lines(5_000)
        scene.send(500)
        if scene.connector("net").get("dropped_events", 0) > 0 and scene.is_waiting_at("app"):
            return
    raise Failed(f"the file does not wait, or nothing was dropped: {scene.agent.status()}")


def never_any_room(disk, scene):
    """There is little room, and the broker is away: the file waits, the port's oldest are dropped; nothing else changes when
    it is stopped and started; with the broker back all goes on though the disk stays full, and more once it is not."""
    disk.fill(leave=4 * MIB)
    scene.start()
    scene.mark_log()
    fill_up(scene)
    scene.says_once("event=buffer_nearly_full")
    scene.check(any("nearly full" in p for p in scene.status()["problems"]), "the status does not say it")
    bounded_trouble(scene, 20)
    scene.wait(scene.has_taken_all, "the datagrams are not all taken")
    scene.stop()
    scene.mark_log()
    scene.start()
    scene.wait(lambda: scene.is_waiting_at("app"), "the file does not wait after a restart")
    scene.upstream.start()
    scene.wait(scene.is_drained, "it does not drain while the disk is full")
    scene.write_lines(2_000)
    scene.wait(scene.is_drained, "it does not go on while the disk is full")
    bounded_trouble(scene, 20)
    scene.upstream.stop()
    fill_up(scene)
    disk.free()
    scene.wait(lambda: not scene.is_waiting_at("app"), "it does not go on by itself once there is room")
    bounded_trouble(scene, 20)


def reserved(disk, scene):
    """The blocks were reserved: the disk is filled by others to the last block, and nothing is felt up to max_size."""
    scene.start()
    scene.mark_log()
    disk.fill()
    scene.write_lines(5_000)
    scene.wait(lambda: scene.connector("app").get("events", 0) == 5_000, "the lines are not taken")
    fill_up(scene)
    scene.wait(scene.has_taken_all, "the datagrams are not all taken")
    scene.stop()
    scene.start()
    scene.upstream.start()
    scene.wait(scene.is_drained, "it does not drain while the disk is full")
    scene.check(scene.in_log("No space left") == 0, "the full disk was felt")
    scene.check(scene.in_log("could not reserve") == 0, "the blocks were not reserved")


def at_the_first_start(disk, scene):
    """No buffer can be made: it says so once, waits, ends at once when it is asked to, and starts by itself."""
    waits_to_start(disk, scene, disk.fill, disk.free, "No space left")


def waits_to_start(disk, scene, break_it, mend_it, reason):
    break_it()
    for is_stopped in (True, False):
        scene.mark_log()
        scene.start(is_waited_for=False)
        scene.says_once("event=buffer_not_open", reason, str(disk.path))
        if is_stopped:
            scene.check(scene.stop() < 5, "it was slow to stop while it waited")
    scene.check(not wait_until(lambda: scene.agent.ended() is not None, 2), "it ended instead of waiting")
    scene.check(scene.in_log("event=") <= 4, "it says more than once that it waits")
    mend_it()
    scene.wait(lambda: scene.status() is not None, "it does not start by itself")
    scene.write_lines(500)


def full(arguments, base):
    good = True
    for kind in arguments.fs.split(","):
        good = play("full,", arguments, base, kind, never_any_room) and good
        good = play("full,", arguments, base, kind, reserved, max_size="8MiB", preallocate=True) and good
        good = play("full,", arguments, base, kind, at_the_first_start) and good
    return good


def again_and_again(rounds):
    def filled_while_it_runs(disk, scene):
        """Others fill the disk and free it again while lines and datagrams come; every second time the broker is away."""
        disk.fill(leave=6 * MIB)
        scene.start()
        for n in range(rounds):
            if n % 2 == 0:
                scene.upstream.start()
            disk.fill()
            scene.write_lines(3_000)
            scene.send(1_500)
            wait_until(lambda: scene.is_waiting_at("app"), 2)
            disk.give_back(6 * MIB)
            scene.write_lines(200)
            scene.wait(lambda: scene.connector("app").get("queued_bytes", 1) == 0 or scene.is_waiting_at("app"),
                       "the lines are not taken")
            if n % 2 == 0:
                scene.upstream.stop()
        disk.free()
        bounded_trouble(scene, 20 + 10 * rounds)
    return filled_while_it_runs


def stopped_at(n):
    def filled_in_a_commit(disk, scene):
        """It is held still in the middle of a commit, and the disk is full when it goes on."""
        scene.start(is_waited_for=False)
        scene.write_lines(3_000)
        pid = scene.agent.process.pid

        def is_held():
            if state_of(pid) == "T":
                return True
            scene.write_lines(100)  # each a commit of its own, until there have been so many writes
            return False

        scene.wait(is_held, f"there is no write or sync {n}")
        disk.fill()
        os.kill(pid, signal.SIGCONT)
        scene.upstream.start()
        wait_until(lambda: scene.in_log("error") + scene.in_log("nearly_full") > 0 or scene.is_drained(), 2)
        disk.free()
        scene.wait(lambda: scene.status() is not None, "it does not go on")
        scene.send(100)
        bounded_trouble(scene, 20)
        text = scene.finish()
        return f"write {n}, {text}"
    return filled_in_a_commit


def state_of(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]


def filled(arguments, base):
    good = True
    for kind in arguments.fs.split(","):
        good = play("filled,", arguments, base, kind, again_and_again(arguments.rounds)) and good
        for n in range(2, 2 + arguments.stops * 5, 5):
            folder = pathlib.Path(base) / f"stop-{kind}-{n}"
            folder.mkdir()
            environment = shim(arguments, folder, stop_at=n)
            good = play("filled,", arguments, folder, kind, stopped_at(n), environment=environment) and good
    return good


def at_a_start(disk, scene):
    """The file system is read-only when it starts, once without and once with a buffer."""
    waits_to_start(disk, scene, lambda: disk.remount("ro"), lambda: disk.remount("rw"), "Read-only")
    scene.upstream.start()
    scene.wait(scene.is_drained, "it does not drain")
    scene.stop()
    waits_to_start(disk, scene, lambda: disk.remount("ro"), lambda: disk.remount("rw"), "Read-only")


def readonly(arguments, base):
    good = True
    for kind in arguments.fs.split(","):
        good = play("readonly,", arguments, base, kind, at_a_start) and good
    return good


def seconds_per_sync(disk, scene):
    """Each sync takes a second: all goes on at its pace, forwarding and the answers to `status` with it."""
    scene.start()
    scene.upstream.start()
    slow = scene.folder / "slow"
    slow.touch()
    scene.write_lines(5_000)
    scene.send(500)
    scene.wait(lambda: scene.count("app") >= 5_000, "it does not go on")
    scene.check(scene.status() is not None, "the status does not answer")
    scene.check(scene.in_log("warning", "intake") == 0, "a slow disk is taken for a failing one")
    scene.wait(scene.has_taken_all, "the datagrams are not all taken")
    scene.write_lines(100)
    scene.stop()
    slow.unlink()
    scene.start()


def slow(arguments, base):
    good = True
    for kind in arguments.fs.split(","):
        folder = pathlib.Path(base) / f"shim-{kind}"
        folder.mkdir()
        environment = shim(arguments, folder, slow_ms=arguments.slow_ms)
        environment["FAULT_SLOW_FLAG"] = str(folder / f"seconds_per_sync-{kind}-0" / "slow")
        good = play("slow,", arguments, folder, kind, seconds_per_sync, environment=environment) and good
    return good
