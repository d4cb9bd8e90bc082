"""Own the mark by which a later run knows that the process which made a container has gone; it removes nothing.

A process is known by its number, the namespace in which that counts, and the boot of its machine: what another machine
or a container of a pipeline has made is never taken for left over.
"""

import os
from pathlib import Path

OWNER_LABEL = "build-image.process"
_PROC = Path("/proc")


def mark() -> str:
    """Return the mark of this process, empty where the system has no such names."""
    place = _place()
    return f"{place} {os.getpid()}" if place else ""


def has_gone(marked: str) -> bool:
    """Tell whether `marked` is the mark of a process of this very place that is not there any more."""
    place, _, number = marked.rpartition(" ")
    return bool(place) and place == _place() and not _is_running(int(number))


def _is_running(number: int) -> bool:
    try:
        os.kill(number, 0)  # which does nothing to it
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    return True


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""
