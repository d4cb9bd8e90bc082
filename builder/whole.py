"""Own files that appear whole: whoever reads finds the old content or the new, never a part; it knows no format."""

from pathlib import Path
from uuid import uuid4


def write(path: Path, content: bytes) -> None:
    """Write `content` as the file `path`, in a folder that exists; raises OSError, and leaves nothing behind then."""
    # Not by the process's number: threads share one, and so do two containers of a pipeline with one folder.
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
