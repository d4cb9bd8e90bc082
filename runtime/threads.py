"""Own how many threads this process may keep busy, and how, from CPU affinity and cgroup quota; it starts none."""

import os

from runtime.cgroup import Cgroups


def usable_threads(cgroups: Cgroups = Cgroups()) -> int:  # noqa: B008 - it is frozen
    """Count the threads that can run at the same time without being throttled; at least one."""
    affinity = len(os.sched_getaffinity(0))
    quota = cgroups.cpu_quota()
    # rounded down: a throttled thread makes the others of its run wait
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def may_spin(cgroups: Cgroups = Cgroups()) -> bool:  # noqa: B008 - as above
    """Say whether a thread may wait for work busily for a moment; where there is a quota, that would use it up."""
    return cgroups.cpu_quota() is None
