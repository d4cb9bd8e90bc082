from pathlib import Path

import pytest

from runtime.errors import SettingsError, UnauthorizedError
from runtime.keys import Keys, read_keys
from runtime.settings import Settings


def test_without_keys_everybody_may_ask() -> None:
    keys = Keys([])
    keys.check(None)
    assert not keys


@pytest.mark.parametrize("authorization", ["Bearer one", "bearer two", "BEARER  two "])
def test_each_key_is_taken(authorization: str) -> None:
    keys = Keys(["one", "two"])
    keys.check(authorization)
    assert keys


@pytest.mark.parametrize("authorization", [None, "", "one", "Bearer", "Bearer on", "Bearer one,two", "Basic one"])
def test_anything_else_is_refused(authorization: str | None) -> None:
    with pytest.raises(UnauthorizedError):
        Keys(["one", "two"]).check(authorization)


def test_the_keys_of_the_file_come_after_those_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("two\r\n\n three \n")
    assert read_keys(Settings(api_key=("one",), api_key_file=file)) == ("one", "two", "three")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"two words\n", "schlüssel".encode(), b"\xff"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(SettingsError):
        read_keys(Settings(api_key_file=file))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with pytest.raises(SettingsError) as caught:
        read_keys(Settings(api_key_file=file))
    assert str(caught.value) == f"`RUNTIME_API_KEY_FILE`: `{file}`: No such file or directory"
