"""Own what the failures of a download mean and what helps; it downloads nothing."""

import errno
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .fetch_request import Endpoint, File, Model

if TYPE_CHECKING:
    from httpx2 import Response
    from huggingface_hub.errors import HfHubHTTPError

DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
    # Where large files are, a signed address may have run out: the next attempt is given a new one. After a 416 it
    # asks for the whole file.
    if status in {408, 416} or status >= 500 or asked != endpoint.hub:
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
    asked = "" if wait_s is None else f" and asks for a pause of {wait_s:.0f} s"
    hint = f"try again later; the Hub allows more requests with a token, set as {endpoint.token_name}"
    return TransientError(f"{endpoint.hub} limits the rate of requests{asked}", hint=hint, wait_s=wait_s)


def explained_break(error: Exception, file: File, endpoint: Endpoint) -> EndpointError:
    """Say how a connection failed; nothing of an address but its host is told, for it may be signed."""
    import httpx2  # noqa: PLC0415 - after the settings
    from huggingface_hub import constants  # noqa: PLC0415 - after the settings

    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, httpx2.TimeoutException):  # its own words differ between HTTP and HTTPS
        reason = f"no answer for {constants.HF_HUB_DOWNLOAD_TIMEOUT} s"
    host = error.request.url.host if isinstance(error, httpx2.RequestError) else ""
    message = f"`{file.path}` can't be fetched from {sender(host, endpoint)}: {reason}"
    hint = "check the network, HF_ENDPOINT and HTTPS_PROXY; behind a TLS-inspecting proxy pass its --ca-bundle"
    passes = isinstance(error, httpx2.TimeoutException | httpx2.NetworkError | httpx2.RemoteProtocolError)
    if passes and "CERTIFICATE_VERIFY_FAILED" not in reason:
        return TransientError(message, hint=hint)
    return EndpointError(message, hint=hint)


def other_bytes(difference: str, model: Model, file: File, endpoint: Endpoint) -> EndpointError:
    """Say that what arrived is not the file that was locked."""
    blame = f"{endpoint.hub}, or something between, sent other bytes"
    hint = "check HTTPS_PROXY and HF_ENDPOINT; `build-image lock --upgrade MODEL` locks what the Hub has now"
    return EndpointError(f"`{file.path}` of `{model.repo}` has {difference}: {blame}", hint=hint)


def sender(host: str, endpoint: Endpoint) -> str:
    """Name who was asked: the Hub keeps large files at other hosts, which a firewall may block."""
    return endpoint.hub if host in {"", urlsplit(endpoint.address).hostname} else f"{host}, for {endpoint.hub}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks for, as a number or as the date at which they end (RFC 9110, 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return float(max(0, ceil((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())))
    except (TypeError, ValueError):  # no date, or one without a zone
        return None


def disk_error(error: OSError, subject: str, *, need: str = "") -> FetchError:
    """Say that `subject` can't be written, or how much room it would `need`."""
    if error.errno not in DISK_IS_FULL:
        hint = "check that disk; in a build it is the Docker Engine's"
        return FetchError(f"{subject} can't be written: {error.strerror}", hint=hint)
    hint = "free space on the disk of the Docker Engine: `docker system df` shows what takes it"
    return FetchError(f"no space left for {subject}{need}", hint=hint)
