from pathlib import Path

import pytest

from runtime import processor


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (
            "processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n\nprocessor\t: 1\nflags\t\t: none\n",
            "fpu avx2 avx512_vnni",
        ),
        ("processor\t: 0\nFeatures\t: fp asimd i8mm\n", "fp asimd i8mm"),
        ("processor\t: 0\n", ""),
    ],
)
def test_flags_are_those_of_the_first_processor(tmp_path: Path, text: str, flags: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert processor.flags(tmp_path / "cpuinfo") == set(flags.split())


def test_a_system_that_does_not_tell_has_none(tmp_path: Path) -> None:
    assert processor.flags(tmp_path / "cpuinfo") == frozenset()
