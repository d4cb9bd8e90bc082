"""Own what git says of the manifest's folder; a folder outside git has nothing to say."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Git:
    """The state of a checkout, as tag templates use it (`{{ git.sha }}`)."""

    sha: str
    short_sha: str
    branch: str
    tag: str
    dirty: bool


def read(directory: Path) -> Git | None:
    """Return the state of the checkout that holds `directory`, None where there is none or no commit yet."""
    sha = _ask(directory, "rev-parse", "HEAD")
    if sha is None:
        return None
    return Git(
        sha=sha,
        short_sha=sha[:7],
        branch=_ask(directory, "symbolic-ref", "--short", "HEAD") or "",
        tag=_ask(directory, "describe", "--tags", "--exact-match", "HEAD") or "",
        dirty=bool(_ask(directory, "status", "--porcelain")),
    )


def _ask(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
