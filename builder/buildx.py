"""Own `docker buildx`: hands an image's context to a builder by its name and follows the build; it decides nothing.

The builder may be anything that buildx knows: another machine's, a container, pods of a cluster. What it makes is
loaded into the engine, where the image is tested as any other.
"""

import json
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from builder import bake, buildkit, context
from builder.bake import BakeOptions
from builder.buildkit import Cancellation
from builder.context import Context
from builder.errors import BuildFailedError, FailedError, InputError, UnreachableError
from builder.plan import ImagePlan
from builder.solve_status import StatusDecoder
from builder.trace import Event, StepTracker

_INSTALL_HINT = "install Docker's command with its buildx plugin, 0.13 or newer: on Debian docker-cli and docker-buildx"
_STOP_TIMEOUT_S = 10
_VERSION = re.compile(r" v?(\d+)\.(\d+)\.")
_HEEDS_NETWORK = (0, 17)  # https://github.com/docker/buildx/pull/2671
_UNREACHABLE = (
    "Cannot connect to the Docker daemon",
    "connection refused",
    "no such host",
    "failed to connect",
    "i/o timeout",
)


class ImageStore(Protocol):
    """What a builder loads images into: an Engine."""

    def image_id(self, reference: str, /) -> str:
        """Return the image's id, empty where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildxRequest:
    """What to build, and with which builder; `environment` is that of the command, which has the engine's address."""

    builder: str
    image: ImagePlan
    context: Context
    environment: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    network_mode: str = "default"
    no_cache: bool = False


def check(builder: str, *, environment: Mapping[str, str], network_mode: str = "default") -> None:
    """Ask for a builder by its name, before anything is prepared for it.

    Raises InputError where there is no such builder, no buildx, or one that heeds no `network_mode`, and
    UnreachableError where the builder does not answer.
    """
    if shutil.which("docker", path=environment.get("PATH")) is None:
        raise InputError("`--builder` needs the command `docker`, which is not installed", hint=_INSTALL_HINT)
    asked = subprocess.run(
        ["docker", "buildx", "inspect", builder], env=environment, capture_output=True, text=True, check=False
    )
    if asked.returncode == 0:
        if network_mode != "default":
            _check_network(environment)
        return
    said = _reason(asked.stderr.splitlines())
    if "is not a docker command" in said or "unknown flag" in said:
        raise InputError("`--builder` needs `docker buildx`, which is not installed", hint=_INSTALL_HINT)
    if any(sign in said for sign in _UNREACHABLE):
        raise UnreachableError(f"the builder `{builder}` can't be reached: {said}", hint="see `docker buildx ls`")
    raise InputError(f"`{builder}` is no builder: {said}", hint="`docker buildx ls` lists those that there are")


def _check_network(environment: Mapping[str, str]) -> None:
    """Refuse a buildx whose bake reads past the network of a target."""
    command = ["docker", "buildx", "version"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    found = _VERSION.search(told)
    if found is None or tuple(map(int, found.groups())) < _HEEDS_NETWORK:
        hint = "install buildx 0.17 or newer, or leave out --build-network"
        raise InputError(f"this buildx does not heed `--build-network`: {told.strip()}", hint=hint)


def build(
    request: BuildxRequest, *, store: ImageStore, on_event: Callable[[Event], None], cancellation: Cancellation
) -> str:
    """Build, load the image into `store` and return its id there.

    Raises BuildFailedError where a step fails, FailedError where the image can't be loaded, and KeyboardInterrupt after
    `cancellation`, which ends the build on the builder as well.
    """
    with tempfile.TemporaryDirectory(prefix="build-image-") as folder:
        place = Path(folder)
        command = _prepare(request, place)
        environment = {**request.environment, **_variables(request.secrets)}
        _follow(command, place, environment, on_event=on_event, cancellation=cancellation)
        metadata = json.loads((place / "metadata.json").read_text(encoding="utf-8"))
    return _loaded(metadata.get(bake.target(request.image), {}), request, store)


def _prepare(request: BuildxRequest, place: Path) -> list[str]:
    """Write what the builder is given, and return the command that gives it."""
    context.write(request.context, place / request.image.name)
    for name in bake.FILE_VARIABLES.keys() & request.secrets.keys():
        (place / name).write_bytes(request.secrets[name])  # the folder is readable by its owner alone
    untagged = replace(request.image, references=())  # tags come after the smoke test
    wanted = BakeOptions(network_mode=request.network_mode)
    (place / bake.FILE).write_bytes(bake.document([untagged], wanted))
    flags = ["--builder", request.builder, "--file", bake.FILE, "--metadata-file", "metadata.json"]
    flags += ["--load", "--provenance=false", "--progress", "rawjson"]
    if request.network_mode == "host":
        flags += ["--allow", "network.host"]
    return ["docker", "buildx", "bake", *flags, *(["--no-cache"] if request.no_cache else [])]


def _variables(secrets: Mapping[str, bytes]) -> dict[str, str]:
    """Return the variables that the bake file finds the secrets by; those that are not given are empty."""
    texts = {variable: secrets.get(name, b"").decode() for name, variable in bake.TEXT_VARIABLES.items()}
    return texts | {variable: name if name in secrets else "" for name, variable in bake.FILE_VARIABLES.items()}


def _follow(
    command: list[str],
    place: Path,
    environment: Mapping[str, str],
    *,
    on_event: Callable[[Event], None],
    cancellation: Cancellation,
) -> None:
    """Run the command to its end; raises what it failed with."""
    decoder, tracker, said = StatusDecoder(), StepTracker(), list[str]()
    with _running(command, place, environment) as process, cancellation.calling(lambda: _stop(process)):
        for line in process.stderr or ():
            events = decoder.decode(line)
            if events is None:
                said.append(line.rstrip("\n"))
            for event in events or ():
                tracker.observe(event)
                on_event(event)
        if process.wait():
            raise _failure(tracker, said)


@contextmanager
def _running(command: list[str], place: Path, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a command in a session of its own, so that Ctrl-C reaches it through us alone; it ends with the block."""
    process = subprocess.Popen(
        command,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            yield process
        except BaseException:
            _stop(process)
            process.wait()  # which the block's own end does not do for long after KeyboardInterrupt
            raise


def _stop(process: "subprocess.Popen[str]") -> None:
    """Have buildx cancel the build, and kill it where that takes long."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    timer = threading.Timer(_STOP_TIMEOUT_S, process.kill)
    timer.daemon = True
    timer.start()


def _failure(tracker: StepTracker, said: list[str]) -> FailedError | UnreachableError:
    reason = _reason(said)
    if tracker.failed() is None and "rawjson" in reason:
        return BuildFailedError(f"this buildx is too old: {reason}", hint=_INSTALL_HINT)
    if "failed to solve" not in reason and any(sign in reason for sign in _UNREACHABLE):
        return UnreachableError(f"the builder can't be reached: {reason}", hint="see `docker buildx ls`")
    return buildkit.failure(tracker, reason)


def _reason(lines: list[str]) -> str:
    """Return what buildx says is wrong: its line that begins with ERROR, else its last one."""
    filled = [line for line in lines if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in filled if line.startswith("ERROR: ")]
    return (errors or filled or ["it says nothing"])[-1].strip()


def _loaded(metadata: Mapping[str, Any], request: BuildxRequest, store: ImageStore) -> str:
    """Return the id that the engine has the image under: either digest of it, by the engine's store."""
    digests = [str(metadata.get(f"containerimage.{key}", "")) for key in ("digest", "config.digest")]
    for digest in filter(None, digests):
        if image_id := store.image_id(digest):
            return image_id
    message = f"`{request.builder}` has built {digests[0] or 'the image'}, and this engine did not get it"
    raise FailedError(message, hint="it is neither tested nor tagged; `docker buildx inspect` shows the builder")
