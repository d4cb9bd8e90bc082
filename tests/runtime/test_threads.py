import os
from pathlib import Path

import pytest

from runtime.threads import cpu_quota, may_spin, usable_threads


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, id="version 2 in a container"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, None, id="version 2 without a limit"),
        pytest.param("0::/\n", {}, None, id="version 2 at the root, which has no file"),
        pytest.param(
            "0::/pod/box\n",
            {"pod/box/cpu.max": "max 100000\n", "pod/cpu.max": "200000 100000\n"},
            2.0,
            id="version 2, the limit is a parent's",
        ),
        pytest.param(
            "4:cpu,cpuacct:/docker/box\n1:name=systemd:/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            0.5,
            id="version 1, the path is the host's",
        ),
        pytest.param(
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
            id="version 1 without a limit",
        ),
    ],
)
def test_the_smallest_quota_is_found(
    tmp_path: Path, membership: str, files: dict[str, str], quota: float | None
) -> None:
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        file = tmp_path / "hierarchy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert cpu_quota(tmp_path / "hierarchy", membership=tmp_path / "membership") == quota


def test_no_proc_means_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, membership=tmp_path / "absent") is None


def test_there_are_as_many_threads_as_this_process_may_run_on() -> None:
    assert 1 <= usable_threads() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("limit", "spins"), [("max 100000\n", True), ("400000 100000\n", False)])
def test_no_thread_waits_busily_under_a_quota(tmp_path: Path, limit: str, spins: bool) -> None:
    (tmp_path / "membership").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text(limit)
    assert may_spin(tmp_path, membership=tmp_path / "membership") is spins
