"""Own the download of one model inside its build stage: exactly the files it is told, as real files; no more.

    python3 fetch_model.py SPEC.json SNAPSHOT_DIRECTORY

SPEC.json is {"repo": "organisation/name", "revision": "<commit>", "files": ["config.json", ...]}. It needs only
huggingface_hub, and reads a token from the build's secret, never from an argument.
"""

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SECRET_FILE = "/run/secrets/hf_token"  # noqa: S105 - where the token is, not what it is
SETTINGS = {
    "HF_HUB_DISABLE_XET": "1",  # its own TLS ignores the build's CA bundle
    "HF_HUB_DISABLE_SHARED_BLOBS": "1",  # links among blobs, which ONNX Runtime refuses to follow
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_VERBOSITY": "error",  # its warnings quote signed addresses
}
UNITS = ("B", "kB", "MB", "GB")


class FetchError(Exception):
    """The download failed; the message is one line that a person can act on."""


def main(arguments: list[str]) -> int:
    """Download what the spec lists and return the exit code."""
    spec_path, directory = map(Path, arguments)
    try:
        fetch(json.loads(spec_path.read_text(encoding="utf-8")), directory)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def fetch(spec: Mapping[str, Any], directory: Path) -> None:
    """Download every file of `spec` into `directory`; raises FetchError."""
    repo, revision, files = spec["repo"], spec["revision"], spec["files"]
    token = read_token()
    os.environ.update(SETTINGS)  # read when huggingface_hub is imported
    from huggingface_hub import constants  # noqa: PLC0415 - after the settings

    print(f"fetching {len(files)} files of {repo} at {revision} from {host(constants.ENDPOINT)}", flush=True)
    started, total = time.monotonic(), 0
    directory.mkdir(parents=True, exist_ok=True)
    for path in files:
        size = fetch_file(repo, revision, path, directory=directory, token=token)
        total += size
        print(f"  {path}  {readable(size)}", flush=True)
    shutil.rmtree(directory / ".cache")  # bookkeeping of huggingface_hub
    print(f"fetched {readable(total)} in {time.monotonic() - started:.1f} s", flush=True)


def read_token() -> str | None:
    """Return the token of the build's secret, None where it has none; raises FetchError when it can't be one."""
    path = Path(os.environ.get("HF_TOKEN_PATH", SECRET_FILE))
    token = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if not (token.isascii() and token.isprintable()):  # an HTTP library would quote it in its message
        raise FetchError("the Hub token holds characters that can't be sent: check HF_TOKEN")
    return token or None


def fetch_file(repo: str, revision: str, path: str, *, directory: Path, token: str | None) -> int:
    """Download one file and return its size; raises FetchError."""
    from httpx2 import HTTPError  # noqa: PLC0415 - after the settings
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - after the settings
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - after the settings

    try:
        hf_hub_download(repo, path, revision=revision, local_dir=directory, token=token or False)
    except (HTTPError, HFValidationError, OSError) as error:
        raise FetchError(explain(error, repo=repo, revision=revision, path=path)) from error
    target = directory / path
    if target.is_symlink() or not target.is_file():
        raise FetchError(f"`{path}` of `{repo}` did not arrive as a file")
    return target.stat().st_size


def explain(error: BaseException, *, repo: str, revision: str, path: str) -> str:
    """Say in one line what went wrong and what helps."""
    from huggingface_hub import constants, errors  # noqa: PLC0415 - after the settings

    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    hub = f"the Hub at {host(constants.ENDPOINT)}"
    match cause:
        case errors.GatedRepoError():
            text = f"`{repo}` is gated: accept its licence on its page, then pass a token of that account as HF_TOKEN"
        case errors.RevisionNotFoundError():
            text = f"`{repo}` has no revision `{revision}` any more"
        case errors.RemoteEntryNotFoundError():
            text = f"`{repo}` has no file `{path}` at `{revision}`"
        case errors.HfHubHTTPError():
            text = explain_status(cause.response.status_code, hub=hub, repo=repo)
        case errors.OfflineModeIsEnabled():
            text = f"`{repo}` can't be fetched: the environment has HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE"
        case OSError(errno=errno.ENOSPC):
            text = f"no space left for `{path}` of `{repo}`: free some on the disk of the Docker Engine"
        case _:
            reason = " ".join(str(cause).split()) or type(cause).__name__
            text = f"`{path}` of `{repo}` can't be fetched from {hub}: {reason}"
    return text


def explain_status(status: int, *, hub: str, repo: str) -> str:
    """Say what an HTTP status of the Hub means."""
    if status in {401, 404}:
        return f"{hub} has no repository `{repo}` that this build may read (HTTP {status}): check `repo` and HF_TOKEN"
    if status == 429:
        return f"{hub} limits the rate of requests: try again later, or pass a token as HF_TOKEN"
    return f"{hub} answers HTTP {status} for `{repo}`"


def host(endpoint: str) -> str:
    """Return an address without the credentials that it may carry."""
    scheme, separator, rest = endpoint.partition("://")
    return scheme + separator + rest.rpartition("@")[2]


def readable(size_bytes: float) -> str:
    """Write a size as people read it."""
    for unit in UNITS[:-1]:
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} {UNITS[-1]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
