"""Own how this program tells of its own long steps: as the engine tells of those of a build; what they do is unknown.

A step that moves bytes says how many went by.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from builder.console import Console
from builder.trace import StepEvent, TransferEvent


@contextmanager
def step(console: Console, subject: str, name: str, *, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show the step `name` of `subject` while the block runs; what is yielded is told of bytes as they go by."""
    started_s, moved_bytes = time.time(), 0

    def advance(count: int) -> None:
        nonlocal moved_bytes
        moved_bytes += count
        moved = TransferEvent(
            step=name, name=name, action=name, current_bytes=moved_bytes, total_bytes=max(total_bytes, moved_bytes)
        )
        console.event(subject, moved)

    console.event(subject, StepEvent(step=name, name=name, started_s=started_s))
    error = "failed"
    try:
        yield advance
        error = ""
    finally:
        ended = StepEvent(step=name, name=name, started_s=started_s, completed_s=time.time(), error=error)
        console.event(subject, ended)
