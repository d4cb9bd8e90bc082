"""Own which layer of an image was made by what: its Dockerfile and the engine's history to names; nothing is asked."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builder.api import HistoryEntry

BASE = "base"

_CONTINUED = re.compile(r"\\\n\s*")
_STAGE = re.compile(r"FROM (?:--\S+ )*(\S+)(?: AS (\S+))?")
_COPIED_FROM = re.compile(r"COPY .*--from=(\S+)")
_SCRIPT = re.compile(r'"/stages/([\w-]+)\.sh"')
_MAKES_A_LAYER = ("RUN ", "COPY ", "ADD ", "WORKDIR ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One layer of an image, by its digest; of what the engine does not tell, size and maker are None."""

    digest: str
    name: str
    size_bytes: int | None
    created_by: str | None


def layers(digests: Sequence[str], entries: Sequence[HistoryEntry], *, dockerfile: str) -> tuple[Layer, ...]:
    """Name and measure the layers `digests`, lowest first, by the engine's history, which is newest first."""
    names = tuple(_names(dockerfile))
    base_count = max(0, len(digests) - len(names))
    named = (*[BASE] * base_count, *names[len(names) - (len(digests) - base_count) :])
    told: Sequence[HistoryEntry | None] = _paired(digests, entries[::-1]) or [None] * len(digests)
    return tuple(
        Layer(
            digest=digest,
            name=name,
            size_bytes=entry.size_bytes if entry else None,
            created_by=entry.created_by if entry else None,
        )
        for digest, name, entry in zip(digests, named, told, strict=True)
    )


def _paired(digests: Sequence[str], entries: Sequence[HistoryEntry]) -> Sequence[HistoryEntry] | None:
    """Find the entries that made a layer: the engine does not say which did, and a layer may hold nothing."""
    filled = [entry for entry in entries if entry.size_bytes]
    likely = [entry for entry in entries if entry.size_bytes or entry.created_by.startswith(_MAKES_A_LAYER)]
    return next((found for found in (likely, filled) if len(found) == len(digests)), None)


def _names(dockerfile: str) -> Iterator[str]:
    """Yield a name for each layer that the last stage of a Dockerfile adds to its base, in order."""
    stages: dict[str, tuple[str, list[str]]] = {}
    last = ""
    for line in _CONTINUED.sub(" ", dockerfile).splitlines():
        if stage := _STAGE.match(line):
            last = stage[2] or stage[1]
            stages[last] = (stage[1], [])
        elif line.startswith(_MAKES_A_LAYER) and last:
            stages[last][1].append(line)
    chain = []
    while last in stages:
        last, instructions = stages.pop(last)
        chain.append(instructions)
    for instructions in reversed(chain):
        yield from map(_name, instructions)


def _name(instruction: str) -> str:
    if copied := _COPIED_FROM.match(instruction):
        return copied[1]
    scripts = _SCRIPT.findall(instruction)
    return scripts[-1] if scripts else instruction.partition(" ")[0]
