import hashlib
import io
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from builder import supplies
from builder.console import Console
from builder.errors import FailedError, InputError
from builder.supplies import File, Supplies
from tests.builder import supplied

STAGES = Path(__file__).parent.parent.parent / "templates/stages"


def gathered(folder: Path, **changes: Any) -> Supplies:
    console = Console(out=StringIO(), err=StringIO())
    return supplied.gathered(supplied.project(folder), folder / "supplies", console=console, **changes)


def installed_by(script: str) -> set[str]:
    """Return the packages that a stage's script has apt install."""
    (names,) = re.findall(r"--no-install-recommends(?: --download-only)? (?:\\\n\s+)?([a-z0-9 -]+) >", script)[:1]
    return set(names.split())


def test_a_description_is_read_as_it_was_written(tmp_path: Path) -> None:
    held = gathered(tmp_path, images={"server": ("1", "latest")}, variables={"ORG": "example"})
    assert supplies.read(held.directory) == held


def test_packages_are_what_the_stages_install(tmp_path: Path) -> None:
    held = gathered(tmp_path)
    assert held.packages() == {name: held.directory / name for name in supplied.OTHERS if name != "base.tar"}


def test_a_folder_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        supplies.read(tmp_path)
    assert (caught.value.message, caught.value.hint) == (
        f"`{tmp_path}` is no folder of supplies: it has no `build-image.json`",
        "gather one where there is a network: `build-image cache --output DIR`",
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "is_complete": true}'])
def test_a_damaged_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "build-image.json").write_text(text)
    with pytest.raises(InputError, match=r"build-image\.json` (can't be read|is not a description): "):
        supplies.read(tmp_path)


def test_a_complete_folder_names_its_manifest_lock_and_base(tmp_path: Path) -> None:
    file = gathered(tmp_path).path("build-image.json")
    content = json.loads(file.read_text())
    del content["files"]["models.lock"]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is not a description: KeyError: 'models.lock'"):
        supplies.read(file.parent)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    file = gathered(tmp_path).path("build-image.json")
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(InputError) as caught:
        supplies.read(file.parent)
    assert (caught.value.message, caught.value.hint) == (
        f"`{file}` has the format 2, and this is 1",
        "take the version of build-image that gathered it, or gather it again with this one",
    )


def test_a_whole_folder_has_no_damage_and_every_byte_is_told(tmp_path: Path) -> None:
    held = gathered(tmp_path)
    read: list[int] = []
    assert list(supplies.damage(held, held.description.files, advance=read.append)) == []
    assert sum(read) == sum(file.size_bytes for file in held.description.files.values())


def test_damage_is_named_with_both_digests(tmp_path: Path) -> None:
    held = gathered(tmp_path)
    held.path("base.tar").unlink()
    held.path(supplied.WHEEL).write_bytes(b"other")
    files = held.description.files
    assert list(supplies.damage(held, files)) == [
        f"`base.tar` is missing, which has sha256 {files['base.tar'].sha256}",
        f"`{supplied.WHEEL}` has sha256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa, "
        f"and {files[supplied.WHEEL].sha256} was gathered",
    ]


def test_a_folder_in_the_place_of_a_file_is_damage(tmp_path: Path) -> None:
    held = gathered(tmp_path)
    held.path("base.tar").unlink()
    held.path("base.tar").mkdir()
    assert list(supplies.damage(held, {"base.tar": File(size_bytes=1, sha256="a" * 64)})) == [
        "`base.tar` can't be read: Is a directory"
    ]


def test_a_file_is_put_with_its_digest_and_leaves_no_part_of_itself(tmp_path: Path) -> None:
    file = supplies.put(io.BytesIO(b"wheel"), tmp_path / "wheels/a.whl")
    assert file == File(size_bytes=5, sha256=hashlib.sha256(b"wheel").hexdigest())
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == ["a.whl"]


def test_a_place_that_can_t_be_written_is_no_fault_of_the_engine(tmp_path: Path) -> None:
    (tmp_path / "wheels").touch()
    with pytest.raises(FailedError) as caught:
        supplies.put(io.BytesIO(b"wheel"), tmp_path / "wheels/a.whl")
    assert (caught.value.message, caught.value.hint) == (
        f"`{tmp_path}/wheels/a.whl` can't be written: File exists",
        "free space there, or choose another --output",
    )


def test_packages_that_are_not_described_are_removed(tmp_path: Path) -> None:
    held = gathered(tmp_path)
    held.path("wheels/old.whl").touch()
    supplies.remove_strays(held)
    assert not held.path("wheels/old.whl").exists()
    assert list(supplies.damage(held, held.description.files)) == []


def test_a_place_without_a_folder_has_no_supplies(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="`.*/file` is no folder of supplies: it has no `build-image.json`"):
        supplies.read(tmp_path / "file")


def test_the_packages_that_are_gathered_are_all_that_the_stages_install() -> None:
    names = {
        script: installed_by((STAGES / f"{script}.sh").read_text())
        for script in ("gather-packages", "python-deps", "runtime-packages")
    }
    assert names["gather-packages"] == names["python-deps"] | names["runtime-packages"]
