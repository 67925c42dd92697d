"""Small file systems that come and go: loop-mounted images and tmpfs, in mounts that nobody else sees."""
import os
import pathlib
import shutil
import subprocess
import sys

MARK = "PENSTOCK_FAULT_OWN_MOUNTS"
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def in_own_mounts():
    """Starts the script again in a mount namespace of its own, so that no mount outlives it."""
    if os.getuid() != 0 or os.environ.get(MARK):
        return
    os.environ[MARK] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ, PATH=SYSTEM_PATH))


class Disk:
    """A file system of its own at `path`; needs root."""

    def __init__(self, base, kind, size_mib, options=""):
        self.kind, self.size_mib = kind, size_mib
        self.options = f",{options}" if options else ""
        self.path = pathlib.Path(base) / f"disk-{kind}"
        self.image = pathlib.Path(base) / f"disk-{kind}.img"
        self.path.mkdir()
        if kind != "tmpfs":
            if shutil.which(f"mkfs.{kind}", path=SYSTEM_PATH) is None:
                raise SystemExit(f"mkfs.{kind} is not installed (packages e2fsprogs, xfsprogs, btrfs-progs)")
            with open(self.image, "wb") as image:
                image.truncate(size_mib << 20)
            run(f"mkfs.{kind}", "-q", self.image)

    @staticmethod
    def kinds():
        """That can be made here."""
        known = {line.split()[-1] for line in pathlib.Path("/proc/filesystems").read_text(encoding="ascii").splitlines()}
        return {kind for kind in known if kind == "tmpfs" or shutil.which(f"mkfs.{kind}", path=SYSTEM_PATH)}

    @staticmethod
    def smallest_mib(kind):
        return {"xfs": 300, "btrfs": 128}.get(kind, 32)

    def mount(self):
        if self.kind == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", f"size={self.size_mib}m{self.options}", "tmpfs", self.path)
        else:
            run("mount", "-o", "loop" + self.options, self.image, self.path)
        return self

    def remount(self, options):
        run("mount", "-o", f"remount,{options}", self.path)

    def fail(self):
        """The file system is told that it has found an error (ext4)."""
        device = os.path.basename(self.device())
        pathlib.Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("penstock", encoding="ascii")

    def freeze(self):
        run("fsfreeze", "--freeze", self.path)

    def thaw(self):
        run("fsfreeze", "--unfreeze", self.path)

    def device(self):
        return next(line.split()[0] for line in pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
                    if line.split()[1] == str(self.path))

    def repair(self):
        self.unmount()
        subprocess.run(["e2fsck", "-fy", self.image], check=False, capture_output=True, env=dict(os.environ, PATH=SYSTEM_PATH))
        self.mount()

    def limit(self, is_limited):
        """No more than what is there now and a little (btrfs)."""
        if is_limited:
            run("btrfs", "quota", "enable", self.path)
            run("btrfs", "quota", "rescan", "-w", self.path)
            run("btrfs", "qgroup", "limit", "4M", self.path)
        else:
            run("btrfs", "qgroup", "limit", "none", self.path)

    def unmount(self):
        run("umount", self.path)

    def __enter__(self):
        return self.mount()

    def __exit__(self, *_):
        self.unmount()
        self.path.rmdir()
        self.image.unlink(missing_ok=True)

    @property
    def ballast(self):
        return self.path / "ballast"

    def fill(self, leave=0):
        """Others write until there is no block left, or so many bytes."""
        with open(self.ballast, "ab", buffering=0) as ballast:
            for size in (1 << 20, 4096, 512):
                try:
                    while True:
                        ballast.write(b"b" * size)
                except OSError:
                    pass
            try:
                os.fsync(ballast.fileno())
            except OSError:
                pass
        if leave:
            self.give_back(leave)

    def give_back(self, size):
        """Others free so many bytes."""
        os.truncate(self.ballast, max(0, self.ballast.stat().st_size - size))

    def free(self):
        self.ballast.unlink()
