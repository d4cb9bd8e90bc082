import os
from pathlib import Path

import pytest

from runtime.cgroup import Cgroups
from runtime.threads import may_spin, usable_threads


def test_there_are_as_many_threads_as_this_process_may_run_on() -> None:
    assert 1 <= usable_threads() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("limit", "spins"), [("max 100000\n", True), ("400000 100000\n", False)])
def test_no_thread_waits_busily_under_a_quota(tmp_path: Path, limit: str, spins: bool) -> None:
    (tmp_path / "membership").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text(limit)
    assert may_spin(Cgroups(hierarchy=tmp_path, membership=tmp_path / "membership")) is spins
