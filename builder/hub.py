"""Own the conversation with the Hugging Face Hub: revisions, listings and small reads; it stores nothing.

Nothing large is fetched here: a build stage does that. HF_ENDPOINT, HF_TOKEN (or the file that `hf auth login`
writes), SSL_CERT_FILE and the proxy variables are honoured because huggingface_hub honours them.
"""

import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlsplit, urlunsplit

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.utils

from builder.errors import BuildImageError, InputError, UnreachableError
from builder.repository import RepositoryFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from huggingface_hub.errors import HfHubHTTPError

SMALL_FILE_BYTES = 32 * 2**20
_BUFFER_BYTES = 128 * 2**10  # weights lie between the fields of a graph: a larger buffer would fetch parts of them
_TIMEOUT_S = 30.0
_RETRIES = 3  # after 1, 2 and 4 seconds, or when Retry-After says
_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve(
    repo: str, *, revision: str, token: str | None = None, endpoint: str | None = None, retries: int = _RETRIES
) -> "HubRepository":
    """Ask the Hub, in one request, which commit `revision` is and which files it has.

    Without `token` and `endpoint` huggingface_hub's own settings hold. Raises InputError when the Hub says no, and
    UnreachableError when it says nothing.
    """
    address = (endpoint or huggingface_hub.constants.ENDPOINT).rstrip("/")
    client = _Client(repo=repo, revision=revision, endpoint=address, token=token, retries=retries)
    path = f"api/models/{quote(repo)}/revision/{quote(revision, safe='')}?blobs=true"
    with client.translated_errors():
        commit, files = _parse_listing(client.get(f"{address}/{path}").json())
    return HubRepository(source=repo, revision=commit, files=files, client=client)


def trust(ca_bundle: Path) -> None:
    """Make every later request trust the authorities in `ca_bundle`, a PEM file, in place of the system's.

    It is a setting of the process: huggingface_hub has one HTTP client, which takes its authorities from there.
    """
    os.environ["SSL_CERT_FILE"] = str(ca_bundle)
    huggingface_hub.close_session()


def _parse_listing(answer: Any) -> tuple[str, dict[str, RepositoryFile]]:  # noqa: ANN401 - JSON of a stranger
    """Raise ValueError, KeyError or TypeError when `answer` is not what a Hub says of a model."""
    commit = answer["sha"]
    if not _COMMIT.fullmatch(commit):
        raise ValueError(commit)
    files = {}
    for sibling in answer["siblings"]:
        large = sibling.get("lfs")
        files[sibling["rfilename"]] = RepositoryFile(
            size_bytes=int(sibling["size"]),
            blob_id=str(sibling["blobId"]),
            sha256=str(large["sha256"]) if large else None,
        )
    return commit, files


@dataclass(frozen=True, kw_only=True, slots=True)
class HubRepository:
    """One model on the Hub at one commit."""

    source: str
    revision: str
    files: Mapping[str, RepositoryFile]
    client: "_Client" = field(repr=False)

    def read(self, path: str) -> bytes:
        """Fetch a small file whole; raises InputError above `SMALL_FILE_BYTES`."""
        size = self.files[path].size_bytes
        if size > SMALL_FILE_BYTES:
            limit = SMALL_FILE_BYTES // 2**20
            raise InputError(f"`{path}` of `{self.source}` is too large to be read: {size} bytes, over {limit} MiB")
        with self.client.translated_errors():
            return bytes(self.client.get(self._address(path)).content)

    def open(self, path: str) -> BinaryIO:
        """Open a file of any size; only what is read is fetched."""
        raw = _RangeReader(client=self.client, address=self._address(path), size=self.files[path].size_bytes)
        return io.BufferedReader(raw, buffer_size=_BUFFER_BYTES)

    def _address(self, path: str) -> str:
        return f"{self.client.endpoint}/{quote(self.source)}/resolve/{self.revision}/{quote(path)}"


class _RangeReader(io.RawIOBase):
    """A file on the Hub as a seekable stream: each read is one range request.

    The Hub redirects large files to a content network; the address there is remembered, which halves the requests
    (huggingface_hub's own file system asks the Hub again for every block).
    """

    def __init__(self, *, client: "_Client", address: str, size: int) -> None:
        self._client = client
        self._address = address
        self._location = address
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        content = self._fetch(self._position, end)
        view[: len(content)] = content
        self._position += len(content)
        return len(content)

    def _fetch(self, start: int, end: int) -> bytes:
        with self._client.translated_errors():
            answer = self._client.get(self._location, first=start, last=end - 1, anonymous=self._is_redirected)
            self._location = str(answer.url)
        if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
            return bytes(answer.content)
        return bytes(answer.content[start:end])  # a server without ranges sends the whole file

    @property
    def _is_redirected(self) -> bool:
        return self._location != self._address


@dataclass(frozen=True, kw_only=True, slots=True)
class _Client:
    """How one repository is asked for, and what the Hub's refusals mean for it."""

    repo: str
    revision: str
    endpoint: str
    token: str | None = field(repr=False)
    retries: int

    def get(self, address: str, *, first: int | None = None, last: int | None = None, anonymous: bool = False) -> Any:  # noqa: ANN401 - an httpx2.Response, whose import is slow
        """Send a GET, for the bytes `first` to `last` when given; a token only goes to the Hub itself."""
        utils: Any = huggingface_hub.utils  # typed, but it does not declare which names it exports
        utils.logging.set_verbosity_error()
        headers = utils.build_hf_headers(token=False if anonymous else self.token, library_name="build-image")
        headers["Accept-Encoding"] = "identity"
        if first is not None:
            headers["Range"] = f"bytes={first}-{last}"
        answer = utils.http_backoff("GET", address, headers=headers, timeout=_TIMEOUT_S, max_retries=self.retries)
        utils.hf_raise_for_status(answer)
        return answer

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn every failure of huggingface_hub and of HTTP into ours; none of our messages quotes a header."""
        import httpx2  # noqa: PLC0415 - slow to import, and a manifest of local folders needs none of it
        from huggingface_hub import errors  # noqa: PLC0415 - imports httpx2

        try:
            yield
        except errors.HfHubHTTPError as error:
            raise self._refusal(error) from error
        except errors.OfflineModeIsEnabled as error:
            hint = "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or give the model as a local folder with `path:`"
            raise InputError(f"`{self.repo}` is on the Hub, but the environment forbids its use", hint=hint) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            hint = "set HF_ENDPOINT to an address such as https://hub.example.com, or unset it"
            raise InputError(f"HF_ENDPOINT is not a web address: `{self._shown_endpoint}`", hint=hint) from error
        except (httpx2.LocalProtocolError, UnicodeEncodeError) as error:
            raise InputError("the Hub token holds characters that can't be sent", hint="check HF_TOKEN") from error
        except httpx2.HTTPError as error:
            hint = "check the network, HF_ENDPOINT and HTTPS_PROXY; behind a TLS-inspecting proxy pass its --ca-bundle"
            message = f"the Hub at `{self._shown_endpoint}` can't be reached: {error or type(error).__name__}"
            raise UnreachableError(message, hint=hint) from error
        except (ValueError, KeyError, TypeError) as error:
            hint = "check HF_ENDPOINT, and whether a proxy or a login page answers in the Hub's place"
            message = f"what answers at `{self._shown_endpoint}` is not a Hugging Face Hub"
            raise UnreachableError(message, hint=hint) from error

    def _refusal(self, error: "HfHubHTTPError") -> BuildImageError:
        from huggingface_hub import errors  # noqa: PLC0415 - see translated_errors

        hub, page = f"the Hub at `{self._shown_endpoint}`", f"{self._shown_endpoint}/{self.repo}"
        hint: str | None = None
        kind: type[BuildImageError] = InputError
        match error, error.response.status_code:
            case errors.GatedRepoError(), _:
                message = f"`{self.repo}` is gated: it is given only to accounts that accepted its licence"
                hint = f"accept the licence at {page}, then set HF_TOKEN to a token of that account"
            case errors.RevisionNotFoundError(), _:
                message = f"`{self.repo}` has no revision `{self.revision}`"
                hint = f"set the model's `revision` to a branch, tag or commit of {page}/commits/main"
            case errors.RemoteEntryNotFoundError(), _:
                message = f"a file that `{self.repo}` lists is gone from revision `{self.revision}`"
            case (errors.RepositoryNotFoundError(), _) | (_, HTTPStatus.NOT_FOUND):
                message = f"{hub} has no repository `{self.repo}`"
                hint = "check the spelling of `repo`; a private repository needs a token that may read it in HF_TOKEN"
            case _, HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                message = f"{hub} refuses to give `{self.repo}` to this account"
                hint = "check HF_TOKEN, or log in again with `hf auth login`"
            case _, HTTPStatus.TOO_MANY_REQUESTS:
                message, kind = f"{hub} limits the rate of requests", UnreachableError
                hint = "wait a few minutes; with HF_TOKEN set the Hub allows more requests"
            case _, status:
                message, kind = f"{hub} answers HTTP {status} for `{self.repo}`", UnreachableError
                hint = "try again later, or check HF_ENDPOINT"
        return kind(message, hint=hint)

    @property
    def _shown_endpoint(self) -> str:
        """The endpoint without the credentials that a mirror's address may carry."""
        parts = urlsplit(self.endpoint)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
