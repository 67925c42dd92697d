"""Moves the wall clock of an agent by libfaketime; its other clocks stay: only the wall clock is set in the field."""
import os
import pathlib

LIBRARY = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def set_offset(file, seconds):
    """From the machine's own clock. The library reads the file again at every call."""
    new = pathlib.Path(file).with_suffix(".new")
    new.write_text(f"{seconds:+d}\n", encoding="ascii")
    os.replace(new, file)


def environment(file, library=LIBRARY, shims=(), **more):
    """For a process whose clock the file moves. shims: more libraries to load first."""
    return dict(os.environ, LD_PRELOAD=":".join(map(str, [*shims, library])), FAKETIME_TIMESTAMP_FILE=str(file),
                FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_DISABLE_SHM="1", **more)
