"""Own the download of one model inside its build stage: exactly the files it is told, each checked; no more.

    python3 fetch_model.py SPEC.json SNAPSHOT_DIRECTORY

SPEC.json is {"repo": "organisation/name", "revision": "<commit>", "files": {"<path>": {"size": 2, "sha256": "<hex>"}}}.
It needs only huggingface_hub, and reads a token from the build's secret, never from an argument. HF_ENDPOINT may name
several Hubs, with commas or spaces between: the digests make it safe to ask the next for what one can't give.

Files come over plain HTTP through huggingface_hub's session. Its own download (2.4) checks sizes only, asks no other
endpoint, and gives up at once when a connection is reset or the content network answers with a 5xx.
"""

import argparse
import errno
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from httpx2 import Response
    from huggingface_hub.errors import HfHubHTTPError

SECRET_FILE = "/run/secrets/hf_token"  # noqa: S105 - where the token is, not what it is
DEFAULT_ENDPOINT = "https://huggingface.co"
UNITS = ("B", "kB", "MB", "GB")

RETRIES = 5  # in a row, on one endpoint
RETRY_WAIT_S = 1.0  # before the first retry, and twice as long before each other
LONGEST_WAIT_S = 300.0  # the window of the Hub's rate limits
PROGRESS_BYTES = 16 * 2**20  # so many new ones make a retry the first again, which bounds their number by the size


class FetchError(Exception):
    """The download failed, and no other endpoint may help. What happened is one line, what helps another.

    FetchError
    `-- EndpointError        another endpoint may do better
        `-- TransientError   the same may do better in a moment
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"error: {message}\nhint: {hint}")
        self.message = message


class EndpointError(FetchError):
    """One endpoint can't give a file."""


class TransientError(EndpointError):
    """One endpoint can't give a file at the moment; `wait_s` is how long it asks to be left alone."""

    def __init__(self, message: str, *, hint: str, wait_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file to fetch, as the lock has it."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """Everything to fetch."""

    repo: str
    revision: str
    files: tuple[File, ...]

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> Self:
        """Read what the spec says."""
        listed = spec["files"].items()
        files = tuple(File(path=path, size_bytes=file["size"], sha256=file["sha256"]) for path, file in listed)
        return cls(repo=spec["repo"], revision=spec["revision"], files=files)

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One Hub to ask, and the token that it may see."""

    address: str
    token: str | None = field(repr=False)
    gets_token: bool

    @property
    def shown(self) -> str:
        """The address without the credentials that it may carry."""
        scheme, separator, rest = self.address.partition("://")
        return scheme + separator + rest.rpartition("@")[2]

    @property
    def hub(self) -> str:
        """The words by which messages call it."""
        return f"the Hub at {self.shown}"

    @property
    def token_name(self) -> str:
        """The words by which hints call the token that it would have to see."""
        return "HF_TOKEN" if self.gets_token else "HF_TOKEN, which only the first endpoint in HF_ENDPOINT is given"


@dataclass(kw_only=True, slots=True)
class Partial:
    """What has arrived of a file, hashed on its way to the disk."""

    stream: BinaryIO
    size_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def append(self, block: bytes) -> None:
        """Add the bytes that follow."""
        self.stream.write(block)
        self.digest.update(block)
        self.size_bytes += len(block)

    def restart(self) -> None:
        """Forget what has arrived."""
        self.stream.seek(0)
        self.stream.truncate()
        self.size_bytes, self.digest = 0, hashlib.sha256()


def main(arguments: Sequence[str]) -> int:
    """Download what the spec lists and return the exit code."""
    parser = argparse.ArgumentParser(description="Download one model, file by file, and verify it.")
    parser.add_argument("spec", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--retry-wait-s", type=float, default=RETRY_WAIT_S)
    options = parser.parse_args(arguments)
    code = 0
    try:
        model = Model.parse(json.loads(options.spec.read_text(encoding="utf-8")))
        fetch(model, options.directory, retry_wait_s=options.retry_wait_s)
    except* FetchError as group:
        print(*group.exceptions, sep="\n", file=sys.stderr, flush=True)
        code = 1
    return code


def fetch(model: Model, directory: Path, *, retry_wait_s: float = RETRY_WAIT_S) -> None:
    """Download and verify every file of `model` into `directory`; raises FetchError, or a group of them."""
    endpoints = parse_endpoints(os.environ.get("HF_ENDPOINT", ""), token=read_token())
    # Read when huggingface_hub is imported: it would take a list of addresses for one, and warn with signed addresses.
    os.environ.update(HF_ENDPOINT=endpoints[0].address, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_VERBOSITY="error")
    shown = ", ".join(endpoint.shown for endpoint in endpoints)
    print(f"fetching {len(model.files)} files of {model.repo} at {model.revision} from {shown}", flush=True)
    started = time.monotonic()
    for file in model.files:
        giver = fetch_file(model, file, endpoints, directory=directory, retry_wait_s=retry_wait_s)
        # An endpoint in trouble is not waited for again at every file.
        endpoints = [giver, *(endpoint for endpoint in endpoints if endpoint is not giver)]
        print(f"  {file.path}  {readable(file.size_bytes)}", flush=True)
    print(f"fetched {readable(model.size_bytes)} in {time.monotonic() - started:.1f} s; sizes and sha256 verified")


def parse_endpoints(addresses: str, *, token: str | None) -> list[Endpoint]:
    """Return the Hubs to ask, in order.

    The token is the first one's, or belongs to another address of that host: a mirror is run by somebody else.
    """
    listed = [address.rstrip("/") for address in re.split(r"[,\s]+", addresses) if address] or [DEFAULT_ENDPOINT]
    endpoints = []
    for address in listed:
        gets_token = is_same_host(address, listed[0])
        endpoints.append(Endpoint(address=address, token=token if gets_token else None, gets_token=gets_token))
    return endpoints


def is_same_host(address: str, other: str) -> bool:
    """Tell whether two addresses are of one host, both over TLS or both without."""
    parts, others = urlsplit(address), urlsplit(other)
    return (parts.scheme, parts.hostname) == (others.scheme, others.hostname)


def read_token() -> str | None:
    """Return the token of the build's secret, None where it has none; raises FetchError when it can't be one."""
    path = Path(os.environ.get("HF_TOKEN_PATH", SECRET_FILE))
    token = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if not (token.isascii() and token.isprintable()):  # an HTTP library would quote it in its message
        raise FetchError("the Hub token holds characters that can't be sent", hint="check HF_TOKEN")
    return token or None


def fetch_file(
    model: Model, file: File, endpoints: Sequence[Endpoint], *, directory: Path, retry_wait_s: float
) -> Endpoint:
    """Download one file from the first endpoint that gives the right bytes, and return that.

    Raises FetchError, or a group of what each endpoint's failure was.
    """
    target = directory / file.path
    failures: list[EndpointError] = []
    for endpoint in endpoints:
        if failures:
            print(f"  {failures[-1].message}; asking {endpoint.hub}", flush=True)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as stream:
                partial = Partial(stream=stream)
                complete(partial, model, file, endpoint, retry_wait_s=retry_wait_s)
        except EndpointError as error:
            failures.append(error)
        except OSError as error:
            raise disk_error(error, model, file) from error
        else:
            return endpoint
    raise ExceptionGroup(f"no endpoint gives `{file.path}`", failures)


def complete(partial: Partial, model: Model, file: File, endpoint: Endpoint, *, retry_wait_s: float) -> None:
    """Receive a file from one endpoint, from where it broke off after each failure that may pass, and verify it."""
    failures, furthest = 0, 0
    while True:
        try:
            receive(partial, model, file, endpoint)
            break
        except TransientError as error:
            if partial.size_bytes == file.size_bytes:
                break  # the end of the connection came with the last byte
            if partial.size_bytes >= furthest + PROGRESS_BYTES:
                failures, furthest = 0, partial.size_bytes
            wait_s = retry_wait_s * 2**failures if error.wait_s is None else error.wait_s
            failures += 1
            if failures > RETRIES or wait_s > LONGEST_WAIT_S:
                raise
            place = f"at {readable(partial.size_bytes)} of {readable(file.size_bytes)}"
            print(f"  {error.message}; retry {failures} of {RETRIES} in {wait_s:g} s, {place}", flush=True)
            time.sleep(wait_s)
    verify(partial, model, file, endpoint)


def receive(partial: Partial, model: Model, file: File, endpoint: Endpoint) -> None:
    """Append to `partial` what it lacks; raises TransientError and its bases, and OSError of the disk."""
    from httpx2 import HTTPError, InvalidURL  # noqa: PLC0415 - after the settings
    from huggingface_hub import constants, errors, get_session, utils  # noqa: PLC0415 - after the settings

    library: Any = utils  # typed, but it does not declare which names it exports
    address = f"{endpoint.address}/{quote(model.repo)}/resolve/{model.revision}/{quote(file.path)}"
    headers = {"Accept-Encoding": "identity"}
    if partial.size_bytes:
        headers["Range"] = f"bytes={partial.size_bytes}-"
    try:
        headers |= library.build_hf_headers(token=endpoint.token or False, library_name="build-image")
        timeout_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", address, headers=headers, timeout=timeout_s) as answer:
            library.hf_raise_for_status(answer)
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {partial.size_bytes}-"):
                partial.restart()  # a server without ranges sends the whole file
            for block in answer.iter_bytes():
                partial.append(block)
                if partial.size_bytes > file.size_bytes:
                    return  # whatever follows, these are other bytes
    except (HTTPError, InvalidURL, errors.OfflineModeIsEnabled) as error:
        raise explained(error, model, file, endpoint) from error


def verify(partial: Partial, model: Model, file: File, endpoint: Endpoint) -> None:
    """Raise EndpointError unless what has arrived is the file that was locked."""
    if partial.size_bytes != file.size_bytes:
        difference = f"another size than {file.size_bytes} bytes ({partial.size_bytes} arrived)"
    elif partial.digest.hexdigest() != file.sha256:
        difference = f"the sha256 {partial.digest.hexdigest()}, not {file.sha256}"
    else:
        return
    blame = f"{endpoint.hub}, or something between, sent other bytes"
    hint = "check HTTPS_PROXY and HF_ENDPOINT; `build-image lock --upgrade MODEL` locks what the Hub has now"
    raise EndpointError(f"`{file.path}` of `{model.repo}` has {difference}: {blame}", hint=hint)


def explained(error: Exception, model: Model, file: File, endpoint: Endpoint) -> FetchError:
    """Say what a failure of the Hub or the network means and what helps."""
    import httpx2  # noqa: PLC0415 - after the settings
    from huggingface_hub import errors  # noqa: PLC0415 - after the settings

    if isinstance(error, errors.HfHubHTTPError):
        return explained_answer(error, model, file, endpoint)
    if isinstance(error, errors.OfflineModeIsEnabled):
        hint = "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE"
        return FetchError(f"`{model.repo}` is on the Hub, but the environment forbids its use", hint=hint)
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        hint = "set HF_ENDPOINT to addresses such as https://hub.example.com, or unset it"
        return FetchError(f"HF_ENDPOINT is not a web address: `{endpoint.shown}`", hint=hint)
    return explained_break(error, file, endpoint)


def explained_answer(error: "HfHubHTTPError", model: Model, file: File, endpoint: Endpoint) -> FetchError:
    """Say what an answer means in which the Hub tells its reason; without one its status has to do."""
    from huggingface_hub import errors  # noqa: PLC0415 - after the settings

    repo, hub = model.repo, endpoint.hub
    gone = "its history was rewritten: choose another commit with `build-image lock --upgrade MODEL`"
    match error:
        case errors.GatedRepoError():
            page = f"{endpoint.shown}/{repo}"
            hint = f"accept the licence at {page}, then set a token of that account as {endpoint.token_name}"
            return FetchError(f"`{repo}` is gated: {hub} gives it to accounts that accepted its licence", hint=hint)
        case errors.RepositoryNotFoundError():
            hint = f"check `repo`; a private repository needs a token that may read it in {endpoint.token_name}"
            return EndpointError(f"{hub} has no repository `{repo}` for this account", hint=hint)
        case errors.RevisionNotFoundError():
            return EndpointError(f"`{repo}` has no revision `{model.revision}` any more at {hub}", hint=gone)
        case errors.RemoteEntryNotFoundError():
            return EndpointError(f"`{repo}` has no file `{file.path}` any more at {hub}", hint=gone)
    return explained_status(error.response, model, endpoint)


def explained_status(answer: "Response", model: Model, endpoint: Endpoint) -> FetchError:
    """Say what an HTTP status means."""
    status, asked = answer.status_code, sender(answer.request.url.host, endpoint)
    if status == 429:
        return rate_limit(answer, endpoint)
    # Where large files are, a signed address may have run out: the next attempt is given a new one.
    if status == 408 or status >= 500 or asked != endpoint.hub:
        hint = "try again later, or name mirrors in HF_ENDPOINT, after the Hub"
        wait_s = retry_after(answer.headers)
        return TransientError(f"{asked} answers HTTP {status} for `{model.repo}`", hint=hint, wait_s=wait_s)
    if status in {401, 403}:
        hint = f"check the token that is set as {endpoint.token_name}"
        return FetchError(f"{asked} refuses to give `{model.repo}` to this account", hint=hint)
    return EndpointError(f"{asked} answers HTTP {status} for `{model.repo}`", hint="check `repo` and HF_ENDPOINT")


def rate_limit(answer: "Response", endpoint: Endpoint) -> TransientError:
    """Say that there were too many requests, and how long to wait."""
    from huggingface_hub import utils  # noqa: PLC0415 - after the settings

    library: Any = utils  # typed, but it does not declare which names it exports
    limit = library.parse_ratelimit_headers(answer.headers)
    wait_s = float(limit.reset_in_seconds) if limit and not limit.remaining else retry_after(answer.headers)
    asked = "" if wait_s is None else f" and asks for a pause of {wait_s:g} s"
    hint = f"try again later; the Hub allows more requests with a token, set as {endpoint.token_name}"
    return TransientError(f"{endpoint.hub} limits the rate of requests{asked}", hint=hint, wait_s=wait_s)


def explained_break(error: Exception, file: File, endpoint: Endpoint) -> EndpointError:
    """Say how a connection failed; nothing of an address but its host is told, for it may be signed."""
    import httpx2  # noqa: PLC0415 - after the settings

    reason = " ".join(str(error).split()) or type(error).__name__
    host = error.request.url.host if isinstance(error, httpx2.RequestError) else ""
    message = f"`{file.path}` can't be fetched from {sender(host, endpoint)}: {reason}"
    hint = "check the network, HF_ENDPOINT and HTTPS_PROXY; behind a TLS-inspecting proxy pass its --ca-bundle"
    passes = isinstance(error, httpx2.TimeoutException | httpx2.NetworkError | httpx2.RemoteProtocolError)
    if passes and "CERTIFICATE_VERIFY_FAILED" not in reason:
        return TransientError(message, hint=hint)
    return EndpointError(message, hint=hint)


def sender(host: str, endpoint: Endpoint) -> str:
    """Name who was asked: the Hub keeps large files at other hosts, which a firewall may block."""
    return endpoint.hub if host in {"", urlsplit(endpoint.address).hostname} else f"{host}, for {endpoint.hub}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks for; a date, which the Hub never sends, counts as none."""
    value = headers.get("Retry-After", "").strip()
    return float(value) if value.isdecimal() else None


def disk_error(error: OSError, model: Model, file: File) -> FetchError:
    """Say that a file can't be written."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        hint = "check the disk of the Docker Engine"
        return FetchError(f"`{file.path}` of `{model.repo}` can't be written: {error.strerror}", hint=hint)
    need = f"it needs {file.size_bytes} bytes, and all files of the model {model.size_bytes}"
    hint = "free space on the disk of the Docker Engine: `docker system df` shows what takes it"
    return FetchError(f"no space left for `{file.path}` of `{model.repo}`: {need}", hint=hint)


def readable(size_bytes: float) -> str:
    """Write a size as people read it."""
    for unit in UNITS[:-1]:
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} {UNITS[-1]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
