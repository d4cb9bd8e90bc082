"""Own the limits that the kernel sets for this process and the groups around it; it decides nothing from them.

Source: the kernel's admin-guide, `cgroup-v2.rst` (`cpu.max`, `memory.max`), `sched-bwc.rst` (`cpu.cfs_quota_us`) and
`cgroup-v1/memory.rst` (`memory.limit_in_bytes`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_UNLIMITED_BYTES = 2**60  # version 1 writes the largest number of pages that there is


@dataclass(frozen=True, kw_only=True, slots=True)
class Cgroups:
    """Where the groups are mounted, and the file that lists those of this process."""

    hierarchy: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")

    def cpu_quota(self) -> float | None:
        """Find the smallest CPU quota, in processors; None where there is none."""
        return min(self._quotas(), default=None)

    def memory_limit(self) -> int | None:
        """Find the smallest limit of memory, in bytes; None where there is none."""
        return min(self._memory_limits(), default=None)

    def _quotas(self) -> Iterator[float]:
        for folder, is_version_2 in self._folders("cpu"):
            quota = _version_2_quota(folder) if is_version_2 else _version_1_quota(folder)
            if quota is not None:
                yield quota

    def _memory_limits(self) -> Iterator[int]:
        for folder, is_version_2 in self._folders("memory"):
            text = _read(folder / ("memory.max" if is_version_2 else "memory.limit_in_bytes"))
            if text.isdigit() and int(text) < _UNLIMITED_BYTES:
                yield int(text)

    def _folders(self, controller: str) -> Iterator[tuple[Path, bool]]:
        """Yield the folder of every group that may limit this process, and whether it is of version 2."""
        for line in _read(self.membership).splitlines():
            _, controllers, path = line.split(":", maxsplit=2)
            if controllers and controller not in controllers.split(","):
                continue
            # a container may see the host's path and yet only its own part of the tree, so the roots are always asked
            group = PurePosixPath("/") / path
            for ancestor in (group, *group.parents):
                yield self.hierarchy / controllers / ancestor.relative_to("/"), not controllers


def _version_2_quota(folder: Path) -> float | None:
    values = _read(folder / "cpu.max").split()
    return int(values[0]) / int(values[1]) if len(values) == 2 and values[0] != "max" else None


def _version_1_quota(folder: Path) -> float | None:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # a level that has no limit has no such file, and without /proc there are none
        return ""
