"""Own what git says of the manifest's folder and of what is in it; a folder outside git has nothing to say."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.context import SOURCE_DATE_EPOCH
from builder.errors import InputError

_TIMEOUT_S = 10
_REFUSAL = "dubious ownership"
_SHORT_ADDRESS = re.compile(r"(?:[^/@]+@)?(?P<host>[^/:]+):(?P<path>[^/].*)")  # git's own way to write an ssh address


@dataclass(frozen=True, kw_only=True, slots=True)
class Git:
    """The state of a checkout, as tag templates use it (`{{ git.sha }}`)."""

    sha: str
    short_sha: str
    branch: str
    tag: str
    dirty: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where that comes from which an image is made of: the repository, the last commit that changed it, and its time.

    Empty, and the time of everything in an image, where git does not know it or has it otherwise.
    """

    source: str = ""
    revision: str = ""
    created: int = SOURCE_DATE_EPOCH


UNKNOWN = Origin()


def origin(directory: Path, paths: Sequence[Path]) -> Origin:
    """Find where `paths` come from, which lie in the checkout of `directory`.

    Not the commit of the checkout but the last one that changed any of them is told, so that the same files are the
    same image. Where they have changes that are not committed no commit is told.
    """
    names = [str(path) for path in paths]
    try:
        last = _ask(directory, "log", "-1", "--format=%H %ct", "--", *names)
        changes = _ask(directory, "status", "--porcelain", "--", *names)
        remote = _ask(directory, "config", "--get", "remote.origin.url")
    except InputError:  # of another user: it is only the labels that want to know
        return UNKNOWN
    if not last or changes != "":
        return Origin(source=address(remote or ""))
    revision, _, created = last.partition(" ")
    return Origin(source=address(remote or ""), revision=revision, created=int(created))


def address(remote: str) -> str:
    """Return the web address of a remote without what gives access to it; empty where it is on this machine."""
    scheme, separator, rest = remote.partition("://")
    if not separator:
        short = _SHORT_ADDRESS.fullmatch(remote)
        return f"https://{short['host']}/{short['path'].removesuffix('.git')}" if short else ""
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2]
    if scheme not in {"http", "https"}:
        scheme, host = "https", host.partition(":")[0]
    return f"{scheme}://{host}{slash}{path.removesuffix('.git')}" if host else ""


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
