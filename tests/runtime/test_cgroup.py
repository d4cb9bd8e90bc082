from collections.abc import Mapping
from pathlib import Path

import pytest

from runtime.cgroup import Cgroups


def written(folder: Path, membership: str, files: Mapping[str, str]) -> Cgroups:
    """Write what the kernel would show below `folder`."""
    cgroups = Cgroups(hierarchy=folder / "hierarchy", membership=folder / "membership")
    cgroups.membership.write_text(membership)
    for name, text in files.items():
        file = cgroups.hierarchy / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return cgroups


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
    assert written(tmp_path, membership, files).cpu_quota() == quota


def test_no_proc_means_no_quota(tmp_path: Path) -> None:
    assert Cgroups(hierarchy=tmp_path, membership=tmp_path / "absent").cpu_quota() is None


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        pytest.param("0::/\n", {"memory.max": "536870912\n"}, 536870912, id="version 2"),
        pytest.param("0::/\n", {"memory.max": "max\n"}, None, id="version 2 without a limit"),
        pytest.param(
            "0::/pod/box\n", {"pod/box/memory.max": "3000\n", "pod/memory.max": "2000\n"}, 2000, id="a parent's is less"
        ),
        pytest.param("5:memory:/\n", {"memory/memory.limit_in_bytes": "4096\n"}, 4096, id="version 1"),
        pytest.param(
            "5:memory:/\n",
            {"memory/memory.limit_in_bytes": "9223372036854771712\n"},
            None,
            id="version 1 without a limit",
        ),
        pytest.param("5:cpu:/\n", {"cpu/memory.limit_in_bytes": "4096\n"}, None, id="another controller's"),
    ],
)
def test_the_smallest_limit_of_memory_is_found(
    tmp_path: Path, membership: str, files: dict[str, str], limit: int | None
) -> None:
    assert written(tmp_path, membership, files).memory_limit() == limit
