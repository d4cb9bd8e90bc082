"""Own what this image says of itself: its bundle, the versions of its libraries and its threads."""

import platform
import sys
from importlib import metadata

from runtime.bundle import read_bundle
from runtime.schemas import encode_readable
from runtime.settings import Settings
from runtime.threads import usable_threads

_DISTRIBUTIONS = (
    "onnxruntime",
    "numpy",
    "tokenizers",
    "starlette",
    "msgspec",
    "uvicorn",
    "uvloop",
    "httptools",
    "prometheus_client",
)


def run(settings: Settings) -> int:
    """Print the facts as JSON.

    Raises BundleError.
    """
    facts = {
        "bundle": read_bundle(settings.bundle),
        "versions": versions(),
        "threads": {"usable": usable_threads(), "intra_op": settings.intra_op_threads or usable_threads()},
    }
    sys.stdout.write(encode_readable(facts))
    return 0


def versions() -> dict[str, str | None]:
    """Name the version of Python and of each library that answers depend on; None for one that is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _DISTRIBUTIONS}}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
