from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder import whole


def test_of_several_writers_at_once_one_has_written_the_whole_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    path, contents = tmp_path / "models.lock", [bytes([number]) * 100_000 for number in range(16)]
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda content: whole.write(path, content), contents))
    assert (path.read_bytes() in contents, list(tmp_path.iterdir())) == (True, [path])


def test_a_file_that_can_t_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        whole.write(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
