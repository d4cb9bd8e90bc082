"""Own the download of one model, file by file, into a store and from there into its build stage; each is checked.

    python3 -m stages.fetch_model SPEC.json STORE [--copy-to SNAPSHOT_DIRECTORY]

SPEC.json is {"repo": "organisation/name", "revision": "<commit>", "files": {"<path>": {"size": 2, "sha256": "<hex>"}}}.
What STORE has is not downloaded again, and what it has in part is resumed. With a folder to copy to, the store is left
with exactly these files. It needs only huggingface_hub, and reads a token from the build's secret, never from an
argument. HF_ENDPOINT may name several Hubs, with commas or spaces between: the digests make it safe to ask the next
for what one can't give.

Files come over plain HTTP through huggingface_hub's session. Its own download (2.4) checks sizes only, asks no other
endpoint, and gives up at once when a connection is reset or the content network answers with a 5xx.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .fetch_failures import EndpointError, FetchError, TransientError, disk_error, explained, other_bytes
from .fetch_request import Endpoint, File, Model, parse_endpoints, readable
from .fetch_store import Partial, Store

SECRET_FILE = "/run/secrets/hf_token"  # noqa: S105 - where the token is, not what it is

RETRIES = 5  # in a row, on one endpoint
RETRY_WAIT_S = 1.0  # before the first retry, and twice as long before each other
LONGEST_WAIT_S = 300.0  # the window of the Hub's rate limits
PROGRESS_BYTES = 16 * 2**20  # so many new ones make a retry the first again, which bounds their number by the size


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How a file came: who gave it, and how many bytes that took."""

    endpoint: Endpoint
    arrived_bytes: int


def main(arguments: Sequence[str]) -> int:
    """Download what the spec lists and return the exit code."""
    parser = argparse.ArgumentParser(description="Download one model, file by file, and verify it.")
    parser.add_argument("spec", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--copy-to", type=Path)
    parser.add_argument("--retry-wait-s", type=float, default=RETRY_WAIT_S)
    options = parser.parse_args(arguments)
    code = 0
    try:
        model = Model.parse(json.loads(options.spec.read_text(encoding="utf-8")))
        endpoints = parse_endpoints(os.environ.get("HF_ENDPOINT", ""), token=read_token())
        store = Store(directory=options.store)
        obtain(model, endpoints, store=store, snapshot=options.copy_to, retry_wait_s=options.retry_wait_s)
    except* FetchError as group:
        print(*group.exceptions, sep="\n", file=sys.stderr, flush=True)
        code = 1
    return code


def obtain(
    model: Model, endpoints: Sequence[Endpoint], *, store: Store, snapshot: Path | None, retry_wait_s: float
) -> None:
    """Bring every file of `model` into `store` and, where that is wanted, from there to `snapshot`.

    Raises FetchError, or a group of them.
    """
    # Read when huggingface_hub is imported: it would take a list of addresses for one, and warn with signed addresses.
    os.environ.update(HF_ENDPOINT=endpoints[0].address, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_VERBOSITY="error")
    try:
        with store.alone():
            provide_all(model, endpoints, store=store, snapshot=snapshot, retry_wait_s=retry_wait_s)
            if snapshot is not None:
                store.keep_only(model.files)
    except OSError as error:
        raise disk_error(error, f"`{store.directory}`") from error


def provide_all(
    model: Model, endpoints: Sequence[Endpoint], *, store: Store, snapshot: Path | None, retry_wait_s: float
) -> None:
    """Provide each file in turn, and say so."""
    shown = ", ".join(endpoint.shown for endpoint in endpoints)
    print(f"fetching {len(model.files)} files of {model.repo} at {model.revision} from {shown}", flush=True)
    started, arrived_bytes = time.monotonic(), 0
    for file in model.files:
        target = None if snapshot is None else snapshot / file.path
        delivery = provide(model, file, endpoints, store=store, target=target, retry_wait_s=retry_wait_s)
        kept = ", kept" if delivery is None else ""
        print(f"  {file.path}  {readable(file.size_bytes)}{kept}", flush=True)
        if delivery is not None:
            giver = delivery.endpoint  # asked first from now on: one in trouble is not waited for at every file
            endpoints = [giver, *(endpoint for endpoint in endpoints if endpoint is not giver)]
            arrived_bytes += delivery.arrived_bytes
    part = f"{readable(arrived_bytes)} of " if arrived_bytes < model.size_bytes else ""
    spent_s = time.monotonic() - started
    print(f"fetched {part}{readable(model.size_bytes)} in {spent_s:.1f} s; sizes and sha256 verified")


def read_token() -> str | None:
    """Return the token of the build's secret, None where it has none; raises FetchError when it can't be one."""
    path = Path(os.environ.get("HF_TOKEN_PATH", SECRET_FILE))
    token = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if not (token.isascii() and token.isprintable()):  # an HTTP library would quote it in its message
        raise FetchError("the Hub token holds characters that can't be sent", hint="check HF_TOKEN")
    return token or None


def provide(
    model: Model, file: File, endpoints: Sequence[Endpoint], *, store: Store, target: Path | None, retry_wait_s: float
) -> Delivery | None:
    """Have a file in the store, and at `target` where that is wanted; None tells that the store had it."""
    try:
        if store.give(file, target=target):
            return None
        delivery = download(model, file, endpoints, store=store, retry_wait_s=retry_wait_s)
        is_copied = target is None or store.give(file, target=target)
    except OSError as error:
        need = f": it needs {file.size_bytes} bytes, and all files of the model {model.size_bytes}"
        raise disk_error(error, f"`{file.path}` of `{model.repo}`", need=need) from error
    if not is_copied:
        hint = "check the disk of the Docker Engine, and its log"
        raise FetchError(f"`{file.path}` of `{model.repo}` is not read as it was written", hint=hint)
    return delivery


def download(model: Model, file: File, endpoints: Sequence[Endpoint], *, store: Store, retry_wait_s: float) -> Delivery:
    """Download one file from the first endpoint that gives the right bytes; each goes on where the last one ended.

    Raises FetchError, or a group of what each endpoint's failure was.
    """
    failures: list[EndpointError] = []
    arrived_bytes = 0
    for endpoint in endpoints:
        if failures:
            print(f"  {failures[-1].message}; asking {endpoint.hub}", flush=True)
        with store.partial(file) as partial:
            try:
                complete(partial, model, file, endpoint, retry_wait_s=retry_wait_s)
            except EndpointError as error:
                failures.append(error)
        arrived_bytes += partial.arrived_bytes
        if not difference(partial, file):
            store.finish(file)
            return Delivery(endpoint=endpoint, arrived_bytes=arrived_bytes)
    raise ExceptionGroup(f"no endpoint gives `{file.path}`", failures)


def complete(partial: Partial, model: Model, file: File, endpoint: Endpoint, *, retry_wait_s: float) -> None:
    """Receive what a file lacks from one endpoint, and verify it.

    Where bytes of an earlier attempt make it another file, it is asked for once more without them.
    """
    if partial.size_bytes:
        print(f"  {file.path}  {readable(partial.size_bytes)} of {readable(file.size_bytes)} are there", flush=True)
    receive_all(partial, model, file, endpoint, retry_wait_s=retry_wait_s)
    if partial.inherited_bytes and difference(partial, file):
        print(f"  {file.path}  what was there is damaged; beginning again", flush=True)
        partial.restart()
        receive_all(partial, model, file, endpoint, retry_wait_s=retry_wait_s)
    if other := difference(partial, file):
        partial.restart()  # nobody has a use for these
        raise other_bytes(other, model, file, endpoint)


def receive_all(partial: Partial, model: Model, file: File, endpoint: Endpoint, *, retry_wait_s: float) -> None:
    """Receive a file from one endpoint, from where it broke off after each failure that may pass."""
    failures, furthest = 0, partial.size_bytes
    while partial.size_bytes != file.size_bytes:  # the end of a connection may come with the last byte
        try:
            receive(partial, model, file, endpoint)
            break
        except TransientError as error:
            partial.flush()
            if partial.size_bytes >= furthest + PROGRESS_BYTES:
                failures, furthest = 0, partial.size_bytes
            wait_s = retry_wait_s * 2**failures if error.wait_s is None else error.wait_s
            failures += 1
            if failures > RETRIES or wait_s > LONGEST_WAIT_S:
                raise
            place = f"at {readable(partial.size_bytes)} of {readable(file.size_bytes)}"
            print(f"  {error.message}; retry {failures} of {RETRIES} in {wait_s:g} s, {place}", flush=True)
            time.sleep(wait_s)


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
            if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                partial.restart()
            library.hf_raise_for_status(answer)
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {partial.size_bytes}-"):
                partial.restart()  # a server without ranges sends the whole file
            for block in answer.iter_bytes():
                partial.append(block)
                if partial.size_bytes > file.size_bytes:
                    return  # whatever follows, these are other bytes
    except (HTTPError, InvalidURL, errors.OfflineModeIsEnabled) as error:
        raise explained(error, model, file, endpoint) from error


def difference(partial: Partial, file: File) -> str:
    """Say in what the bytes that are there differ from those of the lock, empty where they do not."""
    if partial.size_bytes != file.size_bytes:
        return f"another size than {file.size_bytes} bytes ({partial.size_bytes} arrived)"
    actual = partial.digest.hexdigest()
    return "" if actual == file.sha256 else f"the sha256 {actual}, not {file.sha256}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
