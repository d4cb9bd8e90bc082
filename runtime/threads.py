"""Own how many threads this process may keep busy, and how, from CPU affinity and cgroup quota; it starts none."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMBERSHIP = Path("/proc/self/cgroup")
_HIERARCHY = Path("/sys/fs/cgroup")


def usable_threads() -> int:
    """Count the threads that can run at the same time without being throttled; at least one."""
    affinity = len(os.sched_getaffinity(0))
    quota = cpu_quota(_HIERARCHY, membership=_MEMBERSHIP)
    # rounded down: a throttled thread makes the others of its run wait
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def may_spin(hierarchy: Path = _HIERARCHY, *, membership: Path = _MEMBERSHIP) -> bool:
    """Say whether a thread may wait for work busily for a moment; where there is a quota, that would use it up."""
    return cpu_quota(hierarchy, membership=membership) is None


def cpu_quota(hierarchy: Path, *, membership: Path) -> float | None:
    """Find the smallest CPU quota of this process's cgroup and its parents, in processors; None where there is none.

    Source: the kernel's admin-guide, `cgroup-v2.rst` (`cpu.max`) and `sched-bwc.rst` (`cpu.cfs_quota_us`).
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # no /proc, so no limit that could be read
        return None
    return min(_quotas(hierarchy, lines), default=None)


def _quotas(hierarchy: Path, membership: list[str]) -> Iterator[float]:
    for line in membership:
        _, controllers, path = line.split(":", maxsplit=2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # a container may see the host's path and yet only its own part of the tree, so the roots are always asked
        group = PurePosixPath("/") / path
        for ancestor in (group, *group.parents):
            folder = hierarchy / controllers / ancestor.relative_to("/")
            quota = _version_1_quota(folder) if controllers else _version_2_quota(folder)
            if quota is not None:
                yield quota


def _version_2_quota(folder: Path) -> float | None:
    values = _read(folder / "cpu.max").split()
    return int(values[0]) / int(values[1]) if len(values) == 2 and values[0] != "max" else None


def _version_1_quota(folder: Path) -> float | None:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # a level that has no limit has no such file
        return ""
