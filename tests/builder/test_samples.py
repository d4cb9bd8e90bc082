from pathlib import Path

import pytest

from builder import samples


def test_texts_are_the_lines_that_are_not_blank(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text(" one\n\n  \nzwölf 🎉\n")
    assert samples.read(tmp_path / "texts") == ("one", "zwölf 🎉")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no text: write one a line"),
        (b" \n\n", "holds no text: write one a line"),
        (b"caf\xe9\n", "is not UTF-8 text"),
        (b"a\n" * 1001, "holds 1001 texts, and at most 1000 are compared"),
    ],
)
def test_a_file_that_can_t_be_compared_on_says_why(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "texts"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        samples.read(file)
    assert str(caught.value) == f"`{file}` {reason}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"there is no file `{tmp_path}/texts`"):
        samples.read(tmp_path / "texts")
