"""Own the memory of which images passed their smoke test on this machine; it tests none.

An image is remembered by its id, which is the digest of all that it is made of: a name may be given to another one.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from builder import whole
from builder.settings import Settings


def remember(settings: Settings, image_id: str, *, checks: Sequence[str]) -> None:
    """Keep that an image passed `checks`; where that can't be kept, it has to pass them again to be pushed."""
    path = _path(settings, image_id)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, json.dumps({"build_image": settings.version, "checks": list(checks)}).encode())


def has_passed(settings: Settings, image_id: str) -> bool:
    """Tell whether an image is known to have passed its smoke test."""
    return _path(settings, image_id).exists()


def _path(settings: Settings, image_id: str) -> Path:
    return settings.cache_directory / "tested" / image_id.partition(":")[2]
