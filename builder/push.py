"""Own one push: what the engine tells of it, to events and a digest, and the further tries; it compares nothing.

An engine sends each layer that a registry fails to take again by itself. What it gives up at once, such as the
manifest, is tried again here; layers that are there by then are not sent again.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from builder.api import Credentials
from builder.errors import FailedError, UnreachableError
from builder.messages import JsonStream
from builder.trace import Event, LogEvent, StepEvent, TransferEvent

WAITS_S = (1.0, 2.0, 4.0)  # before each further try
_PASSING = re.compile(
    r"\b(?:HTTP|status)\b[^/]{0,20}?\b(?:429|5\d\d)\b|toomanyrequests|time-?out|timed out|\bEOF\b|reset by peer"
    r"|broken pipe|connection refused|no such host|unavailable",
    re.IGNORECASE,
)
_HINTS = (
    (
        re.compile("x509|certificate"),
        "the engine has its own certificates: add your network's authority to its host, then restart it",
    ),
    (re.compile("HTTP response to HTTPS client"), "list that registry under `insecure-registries` of the engine"),
    (re.compile("denied|unauthorized|authentication"), "check that your login may write to that repository"),
)
_ENGINE_TRIES_AGAIN = "Retrying in"
_OUTCOMES = {"Pushed": "sent", "Layer already exists": "there"}
_MOUNTED = "Mounted from"
_TOLD_DIGEST = re.compile(r": digest: (sha256:[0-9a-f]{64}) size: ")  # the only form of both image stores


class Engine(Protocol):
    """What can push: an Engine."""

    def push_stream(self, reference: str, login: Credentials, /) -> JsonStream:
        """Start a push and stream its messages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """How a push went: the digest by which the engine knows it, and its layers by what became of each."""

    digest: str
    sent_layers: int
    kept_layers: int


def push(
    engine: Engine,
    reference: str,
    *,
    login: Credentials,
    on_event: Callable[[Event], None],
    on_retry: Callable[[str, float], None],
    wait: Callable[[float], None] = time.sleep,
) -> Pushed:
    """Push what `reference` names; `on_retry` is told why and after how many seconds it is tried again.

    Raises FailedError where the registry refuses, and UnreachableError where it works no better at the last try.
    """
    for pause_s in (*WAITS_S, None):
        attempt = _Attempt(reference)
        with engine.push_stream(reference, login) as messages:
            for event in attempt.follow(messages):
                on_event(event)
        if not attempt.error:
            return attempt.outcome()
        if not attempt.may_pass or pause_s is None:
            break
        on_retry(attempt.error, pause_s)
        wait(pause_s)
    raise attempt.failure()


class _Attempt:
    """One try: its messages to events, and what they come to."""

    def __init__(self, reference: str) -> None:
        self.error = ""
        self._reference = reference
        self._digest = ""
        self._outcomes: dict[str, str] = {}
        self._has_tried_again = False

    def follow(self, messages: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
        """Yield the push as one step, with a transfer for each layer."""
        # By its tag alone: the line of a terminal has to have room for the bytes.
        name, started_s = f"pushing {self._reference.rpartition(':')[2]}", time.time()
        step = f"{self._reference} at {started_s}"  # a further try is a step of its own
        yield StepEvent(step=step, name=name, started_s=started_s)
        for message in messages:
            self._observe(message)
            status, progress = str(message.get("status", "")), message.get("progressDetail") or {}
            if status.startswith(_ENGINE_TRIES_AGAIN):
                yield LogEvent(step=step, line=f"{message['id']}: {status}")
            elif message.get("status") == "Pushing" and "current" in progress:
                yield TransferEvent(
                    step=step,
                    name=str(message["id"]),
                    action="pushing",
                    current_bytes=progress["current"],
                    total_bytes=max(progress["current"], progress.get("total", 0)),
                )
        if not self._digest and not self.error:
            self.error = "the engine ended the push without a digest"
        yield StepEvent(step=step, name=name, started_s=started_s, completed_s=time.time(), error=self.error)

    def _observe(self, message: Mapping[str, Any]) -> None:
        status = str(message.get("status", ""))
        if "errorDetail" in message:  # told after a good status
            self.error = str(message["errorDetail"].get("message", "")) or "the engine gives no reason"
        elif found := _TOLD_DIGEST.search(status):
            self._digest = found[1]
        elif status.startswith(_MOUNTED):
            self._outcomes[str(message["id"])] = "there"
        elif status in _OUTCOMES:
            self._outcomes[str(message["id"])] = _OUTCOMES[status]
        elif status.startswith(_ENGINE_TRIES_AGAIN):
            self._has_tried_again = True

    @property
    def may_pass(self) -> bool:
        """Whether another try may go better: not after the engine's own ones."""
        return self._is_passing and not self._has_tried_again

    @property
    def _is_passing(self) -> bool:
        return bool(_PASSING.search(self.error))

    def outcome(self) -> Pushed:
        """Return how the push went."""
        kept = sum(outcome == "there" for outcome in self._outcomes.values())
        return Pushed(digest=self._digest, sent_layers=len(self._outcomes) - kept, kept_layers=kept)

    def failure(self) -> FailedError | UnreachableError:
        """Return what is to be raised."""
        message = f"cannot push `{self._reference}`: {self.error}"
        if self._is_passing:
            return UnreachableError(message, hint="try again later; what was pushed already is not sent again")
        hint = next((hint for sign, hint in _HINTS if sign.search(self.error)), None)
        return FailedError(message, hint=hint)
