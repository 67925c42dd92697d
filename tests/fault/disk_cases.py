"""Cases of tests/fault/run with the real agent: full, filled, quota, readonly, slow."""
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


def found_an_error(disk, scene):
    """The kernel finds an error while it runs and lets nobody write until the file system was repaired, without the agent."""
    becomes_readonly(scene, disk.fail)
    scene.unsure = scene.sent - scene.connector("net")["events"]
    scene.stop(codes=(74,))
    disk.repair()
    scene.start()


def and_back(flag):
    def read_only_for_a_while(_, scene):
        """Every call answers as on a read-only file system (shim), and then no longer: the agent goes on by itself."""
        becomes_readonly(scene, flag.touch)
        flag.unlink()
        scene.wait(scene.is_drained, "it does not go on by itself")
    return read_only_for_a_while


def becomes_readonly(scene, break_it):
    """With a backlog and no broker: it is said once, all wait, nothing spins; with a broker what is stored is forwarded."""
    scene.start()
    scene.write_lines(2_000)
    scene.send(500)
    scene.wait(lambda: scene.has_stored("app", 2_000) and scene.has_taken_all() and scene.has_stored("net", scene.sent),
               "the lines and datagrams are not stored")
    scene.mark_log()
    break_it()
    scene.write_lines(8_000)
    scene.send(200)
    scene.says_once("event=commit_failed", "Read-only")
    scene.wait(lambda: scene.is_waiting_at("app"), "the file does not wait")
    does_not_spin(scene)
    scene.check(any("cannot be written" in p for p in scene.status()["problems"]), "the status does not say it")
    scene.upstream.start()
    scene.wait(lambda: scene.count("app") >= 2_000, "what is stored is not forwarded")
    scene.says_once("event=commit_failed")
    bounded_trouble(scene, 20)


def does_not_spin(scene, seconds=2):
    began = time.monotonic()
    used_s = scene.agent.cpu_s()
    time.sleep(seconds)
    used_s, took_s = scene.agent.cpu_s() - used_s, time.monotonic() - began
    scene.check(used_s < took_s / 10, f"it has used {used_s:.1f} s of the processor in {took_s:.1f} s")


def readonly(arguments, base):
    good = True
    for kind in arguments.fs.split(","):
        good = play("readonly,", arguments, base, kind, at_a_start) and good
        if kind == "ext4":
            good = play("readonly,", arguments, base, kind, found_an_error, options="errors=remount-ro") and good
        folder, flag, environment = broken_by_shim(arguments, base, "erofs", kind)
        good = play("readonly,", arguments, folder, kind, and_back(flag), environment=environment) and good
    return good


def broken_by_shim(arguments, base, mode, kind):
    """(folder, flag, environment): calls below the folder fail in this way while there is the flag."""
    folder = pathlib.Path(base) / f"shim-{kind}"
    folder.mkdir()
    flag = pathlib.Path(base) / f"broken-{kind}"
    return folder, flag, {**shim(arguments, folder, mode=mode), "FAULT_WHILE": str(flag)}


def used_up(set_limit, is_copied_on_write=False):
    def used_up_while_it_runs(disk, scene):
        """No file may grow, and in this one no page is free: all wait, what is stored is forwarded and makes room for more; where
        each write takes new blocks (btrfs) all goes on by itself once there are some."""
        scene.start()
        scene.write_lines(2_000)
        scene.wait(lambda: scene.has_stored("app", 2_000), "the lines are not stored")
        scene.mark_log()
        set_limit(disk, True)
        for _ in range(20):
            scene.write_lines(5_000)
            scene.send(100)
            if wait_until(lambda: scene.is_waiting_at("app") and scene.in_log("event=buffer_full"), 1):
                break
        scene.says_once("event=buffer_full", "quota exceeded")
        does_not_spin(scene)
        scene.check(scene.is_waiting_at("app"), "the file does not wait")
        scene.upstream.start()
        scene.wait(lambda: scene.count("app") >= 2_000, "what is stored is not forwarded")
        scene.says_once("event=buffer_full")
        if not is_copied_on_write:
            scene.wait(scene.is_drained, "it does not go on within its file")
            for _ in range(3):
                scene.write_lines(2_000)
                scene.wait(scene.is_drained, "it does not go on within its file")
        bounded_trouble(scene, 40)
        set_limit(disk, False)
    return used_up_while_it_runs


def quota(arguments, base):
    good = True
    if "btrfs" in Disk.kinds():
        good = play("quota,", arguments, base, "btrfs", used_up(Disk.limit, is_copied_on_write=True))
    else:
        print("quota: not run on btrfs, which is not here; of ext4 and xfs they need the kernel's quotas and tools")
    for kind in arguments.fs.split(","):
        folder, flag, environment = broken_by_shim(arguments, base, "quota", kind)

        def set_limit(_, is_limited, flag=flag):
            flag.touch() if is_limited else flag.unlink()

        good = play("quota by the shim,", arguments, folder, kind, used_up(set_limit), environment=environment) and good
    return good


def seconds_per_sync(disk, scene):
    """Each sync takes seconds: all goes on at its pace, forwarding and the answers to `status` with it, and it is said once."""
    scene.start()
    scene.upstream.start()
    slow = scene.folder / "slow"
    slow.touch()
    scene.write_lines(3_000)
    scene.send(500)
    scene.wait(lambda: scene.is_waiting_at("app"), "the file does not wait for the disk")
    scene.says_once("event=commits_slow")
    does_not_spin(scene)
    scene.wait(lambda: scene.count("app") >= 3_000, "it does not go on")
    scene.check(any("slow" in p for p in scene.status()["problems"]), "the status does not say it")
    scene.check(scene.in_log("warning", "intake") == 1, "a slow disk is taken for a failing one")
    scene.wait(scene.has_taken_all, "the datagrams are not all taken")
    scene.write_lines(100)
    scene.stop()
    slow.unlink()
    scene.start()


def frozen(disk, scene):
    """The kernel holds every write for seconds: then all goes on."""
    scene.start()
    scene.upstream.start()
    disk.freeze()
    try:
        scene.write_lines(2_000)
        scene.send(200)
        does_not_spin(scene, 4)
    finally:
        disk.thaw()
    scene.wait(lambda: scene.count("app") >= 2_000, "it does not go on")
    scene.says_once("event=commits_slow")
    scene.check(scene.in_log("warning", "intake") == 1, "a slow disk is taken for a failing one")


def slow(arguments, base):
    good = True
    for kind in arguments.fs.split(","):
        folder = pathlib.Path(base) / f"shim-{kind}"
        folder.mkdir()
        environment = shim(arguments, folder, slow_ms=arguments.slow_ms)
        environment["FAULT_SLOW_FLAG"] = str(folder / f"seconds_per_sync-{kind}-0" / "slow")
        good = play("slow,", arguments, folder, kind, seconds_per_sync, environment=environment) and good
        if kind != "tmpfs":
            good = play("slow,", arguments, base, kind, frozen) and good
    return good
