"""Own who may ask: the keys of the settings and of their file, compared in constant time; never written anywhere."""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from runtime.errors import SettingsError, UnauthorizedError
from runtime.settings import KEY_SHAPE, Settings, is_key, variable


class Keys:
    """The keys of one server; where there are none, everybody may ask."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, authorization: str | None) -> None:
        """Take `Bearer KEY`, the value of the header, or raise UnauthorizedError."""
        if not self._digests:
            return
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise UnauthorizedError("send one of this server's keys: `Authorization: Bearer KEY`")
        digest = _digest(key.strip())
        # every key is compared, and all digests are of one length, so that time tells nothing
        matches = [compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise UnauthorizedError("the key is none of this server's")


def read_keys(settings: Settings) -> tuple[str, ...]:
    """Read every key that is set.

    Raises SettingsError for a file that cannot be read, or that has no key: it would leave the server open.
    """
    file = settings.api_key_file
    if file is None:
        return settings.api_key
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise SettingsError(f"`{variable('api_key_file')}`: `{file}`: {reason}") from error
    keys = tuple(filter(None, map(str.strip, lines)))
    if not keys or not all(map(is_key, keys)):
        raise SettingsError(f"`{variable('api_key_file')}`: `{file}` has to hold one key a line, {KEY_SHAPE}")
    return (*settings.api_key, *keys)


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
