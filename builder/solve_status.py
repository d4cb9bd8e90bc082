"""Own the decoding of the progress that buildx prints as JSON: what `trace` reads, in another writing; no output."""

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from builder.trace import Event, Sorter, StepEvent, TransferEvent, WarningEvent


class StatusDecoder:
    """Decode the lines of `--progress rawjson`: one a SolveStatus of BuildKit's client, in buildx 0.13 several."""

    def __init__(self) -> None:
        self._sorter = Sorter()
        self._begun: list[str] = []

    def decode(self, line: str) -> list[Event] | None:
        """Decode one line; None for one that is of no status, such as an error of buildx itself."""
        if not self._begun and not line.startswith("{"):
            return None
        self._begun.append(line)
        is_first, is_brace = len(self._begun) == 1, line.rstrip() in {"{", "}"}
        if is_first == is_brace:  # of several: the first one is a brace alone, and so is the last one
            return []
        try:
            status = json.loads("".join(self._begun))
        except ValueError:
            return None
        finally:
            self._begun.clear()
        return self._sorter.events(
            steps=[_step(vertex) for vertex in _items(status, "vertexes")],
            transfers=[_transfer(transfer) for transfer in _items(status, "statuses")],
            logs=[(str(log.get("vertex", "")), _bytes(log.get("data"))) for log in _items(status, "logs")],
            warnings=[_warning(warning) for warning in _items(status, "warnings")],
        )


def _items(status: Mapping[str, Any], key: str) -> Iterable[Mapping[str, Any]]:
    return status.get(key) or ()


def _step(vertex: Mapping[str, Any]) -> StepEvent:
    return StepEvent(
        step=str(vertex.get("digest", "")),
        name=str(vertex.get("name", "")),
        cached=bool(vertex.get("cached")),
        started_s=_seconds(vertex.get("started")),
        completed_s=_seconds(vertex.get("completed")),
        error=str(vertex.get("error", "")),
    )


def _transfer(status: Mapping[str, Any]) -> TransferEvent:
    return TransferEvent(
        step=str(status.get("vertex", "")),
        name=str(status.get("id", "")),
        action=str(status.get("name", "")),
        current_bytes=int(status.get("current", 0)),
        total_bytes=int(status.get("total", 0)),
        completed="completed" in status,
    )


def _warning(warning: Mapping[str, Any]) -> WarningEvent:
    detail = "\n".join(_bytes(line).decode(errors="replace") for line in warning.get("detail") or ())
    message = _bytes(warning.get("short")).decode(errors="replace")
    return WarningEvent(message=message, detail=detail, url=str(warning.get("url", "")))


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def _seconds(time: str | None) -> float | None:
    return datetime.fromisoformat(time).timestamp() if time else None
