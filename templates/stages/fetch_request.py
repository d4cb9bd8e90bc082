"""Own what a download is told: the files of one model, and the Hubs to ask for them; it asks nobody."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

DEFAULT_ENDPOINT = "https://huggingface.co"
UNITS = ("B", "kB", "MB", "GB")


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file to fetch, as the lock has it."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """Everything to fetch."""

    repo: str
    revision: str
    files: tuple[File, ...]

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> Self:
        """Read what the spec says."""
        listed = spec["files"].items()
        files = tuple(File(path=path, size_bytes=file["size"], sha256=file["sha256"]) for path, file in listed)
        return cls(repo=spec["repo"], revision=spec["revision"], files=files)

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One Hub to ask, and the token that it may see."""

    address: str
    token: str | None = field(repr=False)
    gets_token: bool

    @property
    def shown(self) -> str:
        """The address without the credentials that it may carry."""
        scheme, separator, rest = self.address.partition("://")
        return scheme + separator + rest.rpartition("@")[2]

    @property
    def hub(self) -> str:
        """The words by which messages call it."""
        return f"the Hub at {self.shown}"

    @property
    def token_name(self) -> str:
        """The words by which hints call the token that it would have to see."""
        return "HF_TOKEN" if self.gets_token else "HF_TOKEN, which only the first endpoint in HF_ENDPOINT is given"


def parse_endpoints(addresses: str, *, token: str | None) -> list[Endpoint]:
    """Return the Hubs to ask, in order.

    The token is the first one's, or belongs to another address of that host: a mirror is run by somebody else.
    """
    listed = [address.rstrip("/") for address in re.split(r"[,\s]+", addresses) if address] or [DEFAULT_ENDPOINT]
    endpoints = []
    for address in listed:
        gets_token = is_same_host(address, listed[0])
        endpoints.append(Endpoint(address=address, token=token if gets_token else None, gets_token=gets_token))
    return endpoints


def is_same_host(address: str, other: str) -> bool:
    """Tell whether two addresses are of one host, both over TLS or both without."""
    parts, others = urlsplit(address), urlsplit(other)
    return (parts.scheme, parts.hostname) == (others.scheme, others.hostname)


def readable(size_bytes: float) -> str:
    """Write a size as people read it."""
    for unit in UNITS[:-1]:
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} {UNITS[-1]}"
