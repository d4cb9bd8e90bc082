"""Own files that appear whole: whoever reads finds the old content or the new, never a part; it knows no format."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write `content` as the file `path`, in a folder that exists; raises OSError, and leaves nothing behind then."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
