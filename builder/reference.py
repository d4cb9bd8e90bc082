"""Own image references: what a valid repository, tag and base image is; it asks no registry.

The grammar is that of the OCI distribution specification and of `distribution/reference`.
"""

import re
from typing import NamedTuple

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG_PATTERN = re.compile(r"[A-Za-z0-9_.*?-]{1,128}")
_MAX_REPOSITORY_LENGTH = 255
_DEFAULT_HOST = "docker.io"
_DEFAULT_FOLDER = "library/"
_OLD_DEFAULT_HOST = "index.docker.io"


def check_repository(text: str) -> str:
    """Return `text` when it names a repository (no tag, no digest), else raise ValueError."""
    if len(text) > _MAX_REPOSITORY_LENGTH or not _REPOSITORY.fullmatch(text):
        msg = f"`{text}` is not an image repository: use lower-case letters, digits, `.`, `_`, `-` and `/`, and no tag"
        raise ValueError(msg)
    return text


def check_tag(text: str) -> str:
    """Return `text` when it is a tag, else raise ValueError."""
    if not _TAG.fullmatch(text):
        msg = f"`{text}` is not a tag: use up to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`"
        raise ValueError(msg)
    return text


def check_tag_pattern(text: str) -> str:
    """Return `text` when it is a tag in which `*` and `?` may stand for any letters, else raise ValueError."""
    if not _TAG_PATTERN.fullmatch(text):
        msg = f"`{text}` is not a pattern of tags: use letters, digits, `_`, `.`, `-`, and `*` and `?` for any others"
        raise ValueError(msg)
    return text


def check_base(text: str) -> str:
    """Return `text` when it is an image that the runtime can stand on, else raise ValueError."""
    name, _, digest = text.partition("@")
    repository, tag = split(name)
    if digest and not _DIGEST.fullmatch(digest):
        msg = f"`{text}` is not an image reference: a digest is `sha256:` and 64 hexadecimal digits"
        raise ValueError(msg)
    check_repository(repository)
    if tag is not None:
        check_tag(tag)
    if "alpine" in repository.rsplit("/", 1)[-1] or "alpine" in (tag or ""):
        msg = f"`{text}` is Alpine: ONNX Runtime has no wheel for musl; use a glibc base such as `debian:bookworm-slim`"
        raise ValueError(msg)
    return text


def split(name: str) -> tuple[str, str | None]:
    """Split `repository[:tag]`; a colon before the last slash belongs to the registry's port."""
    head, colon, tail = name.rpartition(":")
    if colon and "/" not in tail:
        return head, tail
    return name, None


class Place(NamedTuple):
    """Where a registry keeps an image: its host, the repository's path there, and the tag."""

    host: str
    path: str
    tag: str

    @property
    def names_registry(self) -> bool:
        """Whether somebody chose the registry: nobody but Docker may push to the folder that stands for no name."""
        return self.host != _DEFAULT_HOST or not self.path.startswith(_DEFAULT_FOLDER)


def place(name: str) -> Place:
    """Find where `repository[:tag]` lies, as the engine does where the host, the folder or the tag is left out."""
    repository, tag = split(name)
    host, path = _split_host(repository)
    if host in ("", _OLD_DEFAULT_HOST):
        host = _DEFAULT_HOST
    if host == _DEFAULT_HOST and "/" not in path:
        path = f"{_DEFAULT_FOLDER}{path}"
    return Place(host=host, path=path, tag=tag or "latest")


def spelled_out(name: str) -> str:
    """Write `repository[:tag]` with its host, folder and tag, as the engine knows it: two spellings become one."""
    return "{}/{}:{}".format(*place(name))


def _split_host(repository: str) -> tuple[str, str]:
    """Split a repository before its path; the first part is a host only where nothing else can look like it."""
    head, _, path = repository.partition("/")
    is_host = path and (head == "localhost" or head != head.lower() or "." in head or ":" in head)
    return (head, path) if is_host else ("", repository)
