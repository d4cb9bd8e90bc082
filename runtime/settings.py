"""Own the environment: `RUNTIME_*` to a frozen `Settings`, every problem at once; nothing else reads it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runtime.errors import SettingsError

PREFIX = "RUNTIME_"
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
KEY_SHAPE = "printable ASCII without spaces and commas"

_SECRET = frozenset({"api_key"})  # never shown, not even when it is wrong


class Settings(NamedTuple):
    """What can be set; a NamedTuple, because importing `dataclasses` costs the probe a third of its time."""

    api_key: tuple[str, ...] = ()  # several with commas; none: everybody may ask
    api_key_file: Path | None = None  # more of them, one a line
    body_timeout_s: int = 30  # for the whole body of a request to arrive
    bundle: Path = Path("/opt/bundle/bundle.json")
    cors_allow_origin: tuple[str, ...] = ()  # several with commas; none: no page of another origin may ask
    hostname: str = "0.0.0.0"  # noqa: S104 - a container is reached from outside of it
    http_port: int = 8080
    intra_op_threads: int | None = None  # None: as many as this process may use
    log_level: str = "info"
    max_batch_tokens: int = 512  # padded tokens of one run of a graph
    max_client_batch_size: int = 2048  # texts of one request
    max_concurrent_requests: int = 512  # texts that are worked on or wait, of all requests
    max_queue_tokens: int = 131_072  # and their tokens, estimated
    payload_limit: int = 2_000_000  # bytes of one request
    shutdown_delay_s: int = 0  # after SIGTERM, to take what a load balancer sends until it has noticed
    shutdown_timeout_s: int = 8  # below the 10 s that `docker stop` waits

    @property
    def golden(self) -> Path:
        """Say where the golden answers lie: beside the bundle."""
        return self.bundle.with_name("golden.json")

    @property
    def accuracy(self) -> Path:
        """Say where it stands how near derived graphs came to their originals: beside the bundle."""
        return self.bundle.with_name("accuracy.json")


def _absolute_path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("is not an absolute path")
    return path


def _api_keys(text: str) -> tuple[str, ...]:
    keys = tuple(filter(None, map(str.strip, text.split(","))))
    if not keys or not all(is_key(key) for key in keys):
        raise ValueError(f"has a key that is not {KEY_SHAPE}")
    return keys


def is_key(text: str) -> bool:
    """Say whether a header can carry `text` as a key."""
    return bool(text) and text.isascii() and text.isprintable() and not set(text) & {" ", ","}


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(filter(None, map(str.strip, text.split(","))))
    if not origins or not all(origin == "*" or _is_origin(origin) for origin in origins):
        raise ValueError("is not `*` or origins like `https://example.com:8443`, with commas between them")
    return origins


def _is_origin(text: str) -> bool:
    scheme, separator, host = text.partition("://")
    return bool(scheme and separator and host) and text.isascii() and not set(host) & set("/?#@* ")


def _log_level(text: str) -> str:
    level = text.lower()
    if level not in LOG_LEVELS:
        raise ValueError(f"is not one of {', '.join(LOG_LEVELS)}")
    return level


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # int() alone would also take "1_000", " 1" and digits of other scripts
        if not (text.isascii() and text.isdigit() and minimum <= int(text[:12]) <= maximum):
            raise ValueError(f"is not an integer from {minimum} to {maximum}")
        return int(text)

    return parse


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "api_key": _api_keys,
    "api_key_file": _absolute_path,
    "body_timeout_s": _integer(1, 86_400),
    "bundle": _absolute_path,
    "cors_allow_origin": _origins,
    "hostname": str,
    "http_port": _integer(1, 65_535),
    "intra_op_threads": _integer(1, 1024),
    "log_level": _log_level,
    "max_batch_tokens": _integer(1, 10_000_000),
    "max_client_batch_size": _integer(1, 1_000_000),
    "max_concurrent_requests": _integer(1, 1_000_000),
    "max_queue_tokens": _integer(1, 1_000_000_000),
    "payload_limit": _integer(1, 1_000_000_000),
    "shutdown_delay_s": _integer(0, 3_600),
    "shutdown_timeout_s": _integer(0, 86_400),
}


def variable(field: str) -> str:
    """Name the environment variable that sets a field."""
    return PREFIX + field.upper()


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings; an empty variable is an absent one, as Compose writes them.

    Raises SettingsError with one line a problem.
    """
    values: dict[str, Any] = {}  # each parser gives its field's type
    problems: list[str] = []
    for field, parse in _PARSERS.items():
        text = environment.get(variable(field), "")
        if not text:
            continue
        try:
            values[field] = parse(text)
        except ValueError as error:
            shown = "its value" if field in _SECRET else f"`{text}`"
            problems.append(f"`{variable(field)}`: {shown} {error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings()._replace(**values)
