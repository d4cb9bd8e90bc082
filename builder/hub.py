"""Own the conversation with the Hugging Face Hub: revisions, listings and small reads; it stores nothing.

Nothing large is fetched here: a build stage does that. HF_TOKEN (or the file that `hf auth login` writes),
SSL_CERT_FILE and the proxy variables are honoured because huggingface_hub honours them. HF_ENDPOINT may name several
Hubs, with commas or spaces between: the next one is asked where one is away or lacks what is asked for.
"""

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.utils

from builder import card, clock
from builder.errors import BuildImageError, FailedError, InputError, UnreachableError
from builder.repository import RepositoryFile, git_blob_id

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from huggingface_hub.errors import HfHubHTTPError

SMALL_FILE_BYTES = 32 * 2**20
_PUBLIC_HUB = "https://huggingface.co"
_BUFFER_BYTES = 128 * 2**10  # weights lie between the fields of a graph: a larger buffer would fetch parts of them
_TIMEOUT_S = 30.0
_RETRIES = 3  # after 1, 2 and 4 seconds, or when Retry-After says
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SEPARATORS = re.compile(r"[,\s]+")
AnswerT = TypeVar("AnswerT")


class _AbsentError(InputError):
    """A Hub does not have what is asked for; a mirror may."""


def resolve(
    repo: str, *, revision: str, token: str | None = None, endpoint: str | None = None, retries: int = _RETRIES
) -> "HubRepository":
    """Ask the Hub, in one request, which commit `revision` is and which files it has.

    Without `token` and `endpoint` huggingface_hub's own settings hold; `endpoint` may be a list, as HF_ENDPOINT may.
    Raises InputError when the Hub says no, UnreachableError when it says nothing, FailedError for another commit.
    """
    client = _Client(repo=repo, revision=revision, endpoints=_endpoints(endpoint), token=token, retries=retries)
    path = f"api/models/{quote(repo)}/revision/{quote(revision, safe='')}?blobs=true"

    def listing(each: Endpoint) -> HubRepository:
        answer = client.get(f"{each.address}/{path}", has_token=each.has_token).json()
        listed = _parse_listing(answer, repo=repo, client=client.preferring(each))
        if _COMMIT.fullmatch(revision) and listed.revision != revision:
            raise _other_bytes(f"`{repo}` came at the commit {listed.revision}, not {revision}", each)
        return listed

    return client.ask(listing)


def _endpoints(addresses: str | None) -> tuple["Endpoint", ...]:
    """Return the Hubs to ask, in order.

    The token is the first one's, or belongs to another address of that host: a mirror is run by somebody else.
    """
    listed = _listed(addresses)
    try:
        parts = [urlsplit(address) for address in listed]
    except ValueError as error:
        hint = "set HF_ENDPOINT to addresses such as https://hub.example.com, or unset it"
        raise InputError(f"HF_ENDPOINT has what is not a web address: {error}", hint=hint) from error
    home = parts[0]
    return tuple(
        Endpoint(address=part.geturl(), has_token=(part.scheme, part.hostname) == (home.scheme, home.hostname))
        for part in parts
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """What a Hub says to who is at its door: the account of the token, empty where it does not tell, and its clock."""

    is_refused: bool
    account: str
    skew_s: float | None


def is_forbidden() -> bool:
    """Tell whether the environment keeps huggingface_hub from asking: HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE."""
    return bool(huggingface_hub.constants.HF_HUB_OFFLINE)


def doors() -> tuple["Endpoint", ...]:
    """Return the Hubs that are asked, in order; raises InputError where HF_ENDPOINT is none."""
    return _endpoints(None)


def visit(endpoint: "Endpoint", *, token: str | None, timeout_s: float) -> Visit:
    """Ask one Hub, in one request, whose the token is; one that may not see it is asked without.

    Raises InputError for a token or an address that can't be sent, UnreachableError where no Hub answers.
    """
    client = _Client(repo="", revision="", endpoints=(endpoint,), token=token, retries=0)
    with client.translated_errors(endpoint):
        answer = client.once(f"{endpoint.address}/api/whoami-v2", has_token=endpoint.has_token, timeout_s=timeout_s)
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            hint = "try again later, or check HF_ENDPOINT"
            raise UnreachableError(f"the Hub at `{endpoint.shown}` answers HTTP {answer.status_code}", hint=hint)
        account = str(answer.json()["name"]) if answer.status_code == HTTPStatus.OK else ""
    is_refused = answer.status_code == HTTPStatus.UNAUTHORIZED
    return Visit(is_refused=is_refused, account=account, skew_s=clock.skew_s(answer.headers))


def _listed(addresses: str | None) -> list[str]:
    constants = huggingface_hub.constants
    listed = _split(addresses or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT) or [_PUBLIC_HUB]
    if len(_split(constants.ENDPOINT)) != 1:
        constants.ENDPOINT = listed[0]  # modules that are imported later take it for one address
    return listed


def _split(addresses: str) -> list[str]:
    return [address.rstrip("/") for address in _SEPARATORS.split(addresses) if address]


def trust(ca_bundle: Path) -> None:
    """Make every later request trust the authorities in `ca_bundle`, a PEM file, in place of the system's.

    It is a setting of the process: huggingface_hub has one HTTP client, which takes its authorities from there.
    """
    os.environ["SSL_CERT_FILE"] = str(ca_bundle)
    _listed(None)  # before what is imported now
    huggingface_hub.close_session()


def _parse_listing(answer: Any, *, repo: str, client: "_Client") -> "HubRepository":  # noqa: ANN401 - a stranger's JSON
    """Raise ValueError, KeyError, TypeError or AttributeError when `answer` is not what a Hub says of a model."""
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
    gated, licence = bool(answer.get("gated")), _licence(answer.get("cardData") or {}, answer.get("tags") or [])
    return HubRepository(source=repo, revision=commit, files=files, licence=licence, gated=gated, client=client)


def _licence(data: Mapping[str, Any], tags: Iterable[str]) -> str:
    """Return the licence that the Hub has of the model's card: in its data, else among its tags."""
    prefix = "license:"
    return card.named(data) or card.named({"license": [tag[len(prefix) :] for tag in tags if tag.startswith(prefix)]})


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One Hub to ask, and whether it may see the token."""

    address: str
    has_token: bool

    @property
    def shown(self) -> str:
        """The address without the credentials that it may carry."""
        parts = urlsplit(self.address)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def file_address(self, repo: str, revision: str, path: str) -> str:
        """Return where a file is asked for."""
        return f"{self.address}/{quote(repo)}/resolve/{revision}/{quote(path)}"

    @property
    def token_name(self) -> str:
        """The words by which hints call the token that it would have to see."""
        return "HF_TOKEN" if self.has_token else "HF_TOKEN, which only the first endpoint in HF_ENDPOINT is given"


@dataclass(frozen=True, kw_only=True, slots=True)
class HubRepository:
    """One model on the Hub at one commit."""

    source: str
    revision: str
    files: Mapping[str, RepositoryFile]
    licence: str
    gated: bool
    client: "_Client" = field(repr=False)

    def read(self, path: str) -> bytes:
        """Fetch a small file whole; raises InputError above `SMALL_FILE_BYTES`, FailedError for other bytes."""
        file = self.files[path]
        if file.size_bytes > SMALL_FILE_BYTES:
            limit = SMALL_FILE_BYTES // 2**20
            size = f"{file.size_bytes} bytes, over {limit} MiB"
            raise InputError(f"`{path}` of `{self.source}` is too large to be read: {size}")

        def content(each: Endpoint) -> bytes:
            address = each.file_address(self.source, self.revision, path)
            answered = bytes(self.client.get(address, has_token=each.has_token).content)
            kind, expected = ("sha256", file.sha256) if file.sha256 else ("git blob id", file.blob_id)
            actual = hashlib.sha256(answered).hexdigest() if file.sha256 else git_blob_id(answered)
            if actual != expected:
                difference = f"has the {kind} {actual}, not {expected}"
                raise _other_bytes(f"`{path}` of `{self.source}` {difference}", each)
            return answered

        return self.client.ask(content)

    def open(self, path: str) -> BinaryIO:
        """Open a file of any size; only what is read is fetched, and bytes are not verified."""
        raw = _RangeReader(repository=self, path=path)
        return io.BufferedReader(raw, buffer_size=_BUFFER_BYTES)


def _other_bytes(difference: str, endpoint: Endpoint) -> FailedError:
    hint = "check HTTPS_PROXY and HF_ENDPOINT"
    blame = f"the Hub at `{endpoint.shown}`, or something between, sent other bytes"
    return FailedError(f"{difference}: {blame}", hint=hint)


class _RangeReader(io.RawIOBase):
    """A file on the Hub as a seekable stream: each read is one range request.

    The Hub redirects large files to a content network; the address there is remembered, which halves the requests
    (huggingface_hub's own file system asks the Hub again for every block).
    """

    def __init__(self, *, repository: HubRepository, path: str) -> None:
        self._repository = repository
        self._path = path
        self._locations: dict[Endpoint, str] = {}
        self._size = repository.files[path].size_bytes
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
        return self._repository.client.ask(lambda endpoint: self._part(endpoint, start, end))

    def _part(self, endpoint: Endpoint, start: int, end: int) -> bytes:
        repository = self._repository
        address = endpoint.file_address(repository.source, repository.revision, self._path)
        location = self._locations.get(endpoint, address)
        has_token = endpoint.has_token and location == address
        answer = repository.client.get(location, first=start, last=end - 1, has_token=has_token)
        self._locations[endpoint] = str(answer.url)
        is_part = answer.status_code == HTTPStatus.PARTIAL_CONTENT
        content = bytes(answer.content if is_part else answer.content[start:end])  # without ranges the whole is sent
        if len(content) != end - start:
            asked = f"bytes {start} to {end - 1} of `{self._path}` of `{repository.source}`"
            raise _other_bytes(f"{asked} came as {len(content)} bytes", endpoint)
        return content


@dataclass(frozen=True, kw_only=True, slots=True)
class _Client:
    """How one repository is asked for, and what the Hub's refusals mean for it."""

    repo: str
    revision: str
    endpoints: tuple[Endpoint, ...]
    token: str | None = field(repr=False)
    retries: int

    def preferring(self, endpoint: Endpoint) -> "_Client":
        """Return a client that asks `endpoint` first."""
        others = tuple(each for each in self.endpoints if each != endpoint)
        return replace(self, endpoints=(endpoint, *others))

    def ask(self, question: Callable[[Endpoint], AnswerT]) -> AnswerT:
        """Put a question to one endpoint after the other until one can answer it; raises what each said otherwise."""
        failures: list[BuildImageError] = []
        for endpoint in self.endpoints:
            try:
                with self.translated_errors(endpoint):
                    return question(endpoint)
            except (UnreachableError, _AbsentError, FailedError) as error:
                failures.append(error)
        first, *others = failures
        if not others:
            raise first
        raise type(first)("; ".join(failure.message for failure in failures), hint=first.hint) from first

    def once(self, address: str, *, has_token: bool, timeout_s: float) -> Any:  # noqa: ANN401 - as below
        """Send a GET without another try, and return the answer whatever its status."""
        utils: Any = huggingface_hub.utils
        token = self.token if has_token and self.token else False
        headers = utils.build_hf_headers(token=token, library_name="build-image")
        return utils.get_session().get(address, headers=headers, timeout=timeout_s)

    def get(self, address: str, *, has_token: bool, first: int | None = None, last: int | None = None) -> Any:  # noqa: ANN401 - an httpx2.Response, whose import is slow
        """Send a GET, for the bytes `first` to `last` when given."""
        utils: Any = huggingface_hub.utils  # typed, but it does not declare which names it exports
        utils.logging.set_verbosity_error()
        headers = utils.build_hf_headers(token=self.token if has_token else False, library_name="build-image")
        headers["Accept-Encoding"] = "identity"
        if first is not None:
            headers["Range"] = f"bytes={first}-{last}"
        answer = utils.http_backoff("GET", address, headers=headers, timeout=_TIMEOUT_S, max_retries=self.retries)
        utils.hf_raise_for_status(answer)
        return answer

    @contextmanager
    def translated_errors(self, endpoint: Endpoint) -> Iterator[None]:
        """Turn every failure of huggingface_hub and of HTTP into ours; none of our messages quotes a header."""
        import httpx2  # noqa: PLC0415 - slow to import, and a manifest of local folders needs none of it
        from huggingface_hub import errors  # noqa: PLC0415 - imports httpx2

        try:
            yield
        except errors.HfHubHTTPError as error:
            raise self._refusal(error, endpoint) from error
        except errors.OfflineModeIsEnabled as error:
            hint = "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or give the model as a local folder with `path:`"
            raise InputError(f"`{self.repo}` is on the Hub, but the environment forbids its use", hint=hint) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            hint = "set HF_ENDPOINT to an address such as https://hub.example.com, or unset it"
            raise InputError(f"HF_ENDPOINT is not a web address: `{endpoint.shown}`", hint=hint) from error
        except (httpx2.LocalProtocolError, UnicodeEncodeError) as error:
            raise InputError("the Hub token holds characters that can't be sent", hint="check HF_TOKEN") from error
        except httpx2.HTTPError as error:
            hint = "check the network, HF_ENDPOINT and HTTPS_PROXY; behind a TLS-inspecting proxy pass its --ca-bundle"
            message = f"the Hub at `{endpoint.shown}` can't be reached: {error or type(error).__name__}"
            raise UnreachableError(message, hint=hint) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            hint = "check HF_ENDPOINT, and whether a proxy or a login page answers in the Hub's place"
            message = f"what answers at `{endpoint.shown}` is not a Hugging Face Hub"
            raise UnreachableError(message, hint=hint) from error

    def _refusal(self, error: "HfHubHTTPError", endpoint: Endpoint) -> BuildImageError:
        from huggingface_hub import errors  # noqa: PLC0415 - see translated_errors

        hub, page = f"the Hub at `{endpoint.shown}`", f"{endpoint.shown}/{self.repo}"
        hint: str | None = None
        kind: type[BuildImageError] = _AbsentError
        match error, error.response.status_code:
            case errors.GatedRepoError(), _:
                message, kind = (
                    f"`{self.repo}` is gated: it is given only to accounts that accepted its licence",
                    InputError,
                )
                hint = f"accept the licence at {page}, then set HF_TOKEN to a token of that account"
            case errors.RevisionNotFoundError(), _:
                message = f"`{self.repo}` has no revision `{self.revision}`"
                hint = f"set the model's `revision` to a branch, tag or commit of {page}/commits/main"
            case errors.RemoteEntryNotFoundError(), _:
                message = f"a file that `{self.repo}` lists is gone from revision `{self.revision}`"
            case (errors.RepositoryNotFoundError(), _) | (_, HTTPStatus.NOT_FOUND):
                message = f"{hub} has no repository `{self.repo}`"
                hint = (
                    "check the spelling of `repo`; "
                    f"a private repository needs a token that may read it in {endpoint.token_name}"
                )
            case _, HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                message, kind = f"{hub} refuses to give `{self.repo}` to this account", InputError
                hint = "check HF_TOKEN, or log in again with `hf auth login`"
            case _, HTTPStatus.TOO_MANY_REQUESTS:
                message, kind = f"{hub} limits the rate of requests", UnreachableError
                hint = "wait a few minutes; with HF_TOKEN set the Hub allows more requests"
            case _, status:
                message, kind = f"{hub} answers HTTP {status} for `{self.repo}`", UnreachableError
                hint = "try again later, or check HF_ENDPOINT"
        return kind(message, hint=hint)
