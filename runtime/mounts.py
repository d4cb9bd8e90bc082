"""Own what is mounted over the models that are baked: found where files are missing, named so that it can be removed.

A named volume is filled from the image once, when it is made. After an upgrade it hides the image's newer models.
"""

import re
from collections.abc import Iterator
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

_VOLUME = re.compile(r"/volumes/(?P<name>[^/]+)/_data(?:/|$)")  # where Docker and Podman keep a volume
_ESCAPE = re.compile(r"\\([0-7]{3})")
_IN_CACHE = "hub/models--*/snapshots/*"
_HOME_DEPTH = 3  # from a snapshot up to the cache


def hiding(snapshot: Path, *, mounts: Path = MOUNTS) -> str:
    """Say what lies over the cache of a model's `snapshot`, and what helps; empty where nothing does."""
    found = list(_over(snapshot, mounts))
    if not found:
        return ""
    place, root = found[-1]  # the last one that was mounted
    volume = _VOLUME.search(root)
    if volume is None:
        return (
            f"what is mounted at `{place}` hides the models that were baked, and is not what this bundle was made with"
        )
    name = volume["name"]
    remedy = f"remove the containers that use it and run `docker volume rm {name}`"
    return f"the volume `{name}` at `{place}` hides the models that were baked, and holds others: {remedy}"


def _over(snapshot: Path, mounts: Path) -> Iterator[tuple[Path, str]]:
    """Yield place and root of every mount from the cache down to `snapshot` (proc_pid_mountinfo(5))."""
    if not snapshot.match(_IN_CACHE):
        return
    home = snapshot.parents[_HOME_DEPTH]
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return  # not Linux, or a /proc that is not there
    for line in lines:
        _, _, _, root, target, *_ = line.split(" ")
        place = Path(_unescaped(target))
        if place.is_relative_to(home) and snapshot.is_relative_to(place):
            yield place, _unescaped(root)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
