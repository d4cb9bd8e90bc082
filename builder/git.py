"""Own what git says of the manifest's folder; a folder outside git has nothing to say."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from builder.errors import InputError

_TIMEOUT_S = 10
_REFUSAL = "dubious ownership"


@dataclass(frozen=True, kw_only=True, slots=True)
class Git:
    """The state of a checkout, as tag templates use it (`{{ git.sha }}`)."""

    sha: str
    short_sha: str
    branch: str
    tag: str
    dirty: bool


def read(directory: Path) -> Git | None:
    """Return the state of the checkout that holds `directory`, None where there is none or no commit yet.

    Raises InputError where git refuses to read it because it belongs to another user, as in many pipelines.
    """
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
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if _REFUSAL in answer.stderr:
        hint = f"git config --global --add safe.directory {directory}"
        raise InputError(f"git does not read `{directory}`: the checkout belongs to another user", hint=hint)
    return answer.stdout.strip() if answer.returncode == 0 else None
