"""Own one BuildKit build: its session, its services and its outcome; it neither renders nor prints."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias
from uuid import uuid4

from builder import credentials, filesync, wire
from builder.channel import Channel
from builder.context import SOURCE_DATE_EPOCH, Context
from builder.engine import START_HINT, Engine
from builder.errors import BuildFailedError, BuildImageError, InputError, UnreachableError
from builder.grpc import CallCancelledError, CallError, Status
from builder.network import SECRET_LIMIT_BYTES
from builder.session import Session, Streaming, Unary
from builder.solve import Solve, SolveRequest
from builder.trace import CANCELLED, Event, StepTracker, TraceDecoder, WarningEvent

HEALTH = "/grpc.health.v1.Health/Check"
SECRETS = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
SERVING = wire.field(1, 1)

# What a failed build says, and what helps then; the first that is found wins.
HINTS = (
    ("CERTIFICATE_VERIFY_FAILED", "give the certificate authority of your network with `--ca-bundle FILE`"),
    ("certificate signed by unknown authority", "add your network's certificate authority to the engine's host"),
    ("no space left on device", "free space on the engine's disk: `docker builder prune`"),
    ("Temporary failure resolving", "the build has no name resolution: try `--build-network host`"),
    ("Temporary failure in name resolution", "the build has no name resolution: try `--build-network host`"),
    ("401 Unauthorized", "log in to the registry of the base image first: `docker login REGISTRY`"),
    (
        "failed to resolve source metadata",
        "make the base image available for this platform: `docker pull` it, or choose another `base`",
    ),
    ("exec format error", "the engine's host can't run programs of that platform: install QEMU, or change `platform`"),
    ("apt-get: not found", "choose a `base` with glibc and apt, such as `debian:bookworm-slim`"),
    ('exec: "sh": executable file not found', "choose a `base` with glibc and apt, such as `debian:bookworm-slim`"),
    ("no active session", "another build that shared a step with this one was stopped: run the command again"),
)

# BuildKit makes a step that two builds share once, for the one that came first, and asks the session of that build
# for what the step needs. Where that build is stopped, the step of the other fails in this way, before BuildKit 0.14
# (Engine 27) often. No build has it by then, so that a second try makes the step itself.
_ORPHANED = re.compile(r"no active sessions$|no active session for \S+: ")

OnEvent: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """What to build; `shared_key` names the place that the context comes from, so that only changes are sent again.

    `inputs` are definitions (see `llb`), which the Dockerfile takes files from by their names.
    """

    context: Context
    shared_key: str
    target: str = ""
    platform: str = ""
    network_mode: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    build_arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    no_cache: bool = False
    pull: bool = False
    source_date_epoch: int = SOURCE_DATE_EPOCH


class _OrphanedError(BuildFailedError):
    """A step failed because another build that shared it was stopped."""


class Cancellation:
    """A wish to stop, told once from any thread to whatever runs under it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.requested = False

    def cancel(self) -> None:
        """Stop everything that runs under this, and what would start later."""
        with self._lock:
            self.requested = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Have `callback` called when the wish comes while the block runs, whose errors are then KeyboardInterrupt."""
        with self._lock:
            if self.requested:
                raise KeyboardInterrupt
            self._callbacks.append(callback)
        try:
            yield
        except BuildImageError as error:
            if self.requested:
                raise KeyboardInterrupt from error
            raise
        finally:
            with self._lock, suppress(ValueError):
                self._callbacks.remove(callback)


def build(engine: Engine, request: BuildRequest, *, on_event: OnEvent, cancellation: Cancellation | None = None) -> str:
    """Build and return the image's id; `on_event` is called by one thread at a time, not always the same.

    What fails because another build was stopped is tried once more. Raises BuildFailedError where a step fails,
    InputError for a secret that is too large, UnreachableError where the engine goes away, and KeyboardInterrupt after
    `cancellation`; the build is then stopped on the engine as well.
    """
    _check_secrets(request.secrets)
    cancellation = cancellation or Cancellation()
    emit = _serialised(on_event)
    try:
        return _build_once(engine, request, emit=emit, cancellation=cancellation)
    except _OrphanedError as error:
        emit(WarningEvent(message=f"a build that shared a step with this one was stopped ({error}); building again"))
        return _build_once(engine, request, emit=emit, cancellation=cancellation)
    except BuildFailedError:
        engine.check_answers()  # one that is being stopped takes away what its steps stand on
        raise


def _build_once(engine: Engine, request: BuildRequest, *, emit: OnEvent, cancellation: Cancellation) -> str:
    session_id = uuid4().hex
    trees = dict.fromkeys(("context", "dockerfile"), request.context)  # the frontend asks for both
    services = _services(request.secrets, emit)
    with (
        open_session(engine, session_id, shared_key=request.shared_key, trees=trees, services=services) as session,
        Channel(engine.open_control()) as control,  # whose end stops the build on the engine
        cancellation.calling(control.abort),
    ):
        session.call_when_lost(control.abort)
        try:
            return _follow(Solve(control, _solve_request(request, session_id=session_id)), emit)
        except CallCancelledError:
            raise UnreachableError("the Docker Engine went away: the connection ended", hint=START_HINT) from None


def _follow(solve: Solve, emit: OnEvent) -> str:
    """Decode the build's progress until it has ended, and return the image's id."""
    decoder, tracker = TraceDecoder(), StepTracker()
    for status in solve.progress():
        for event in decoder.decode(status):
            tracker.observe(event)
            emit(event)
    try:
        image_id = solve.image_id()
    except CallError as error:
        raise failure(tracker, error.message) from None
    if not image_id:
        raise UnreachableError("the Docker Engine ended the build without a result")
    return image_id


def failure(tracker: StepTracker, message: str) -> BuildFailedError | UnreachableError:
    """Return the error of a build that ended with `message`: the step that failed, what it printed, and what helps."""
    failed = tracker.failed()
    if failed is None and message.endswith(CANCELLED):
        return UnreachableError("the Docker Engine stopped the build", hint="see the engine's own log")
    output = () if failed is None else failed.output
    said = "\n".join([*output, message])
    hint = next((hint for sign, hint in HINTS if sign in said), None)
    kind = _OrphanedError if _ORPHANED.search(message) else BuildFailedError
    return kind(message, step="" if failed is None else failed.name, output=output, hint=hint)


def _services(secrets: Mapping[str, bytes], emit: OnEvent) -> Mapping[str, Unary]:
    """Make the handlers that the engine calls for secrets and registry logins."""

    def secret(message: bytes) -> bytes:
        name = wire.text(wire.parse(message), 1)
        if name not in secrets:
            raise CallError(Status.NOT_FOUND, f"secret {name} is not given")
        return wire.field(1, secrets[name])

    def login(message: bytes) -> bytes:
        found = credentials.look_up(wire.text(wire.parse(message), 1))
        if found.warning is not None:
            emit(WarningEvent(message=found.warning))
        return wire.field(1, found.username) + wire.field(2, found.secret)

    return {SECRETS: secret, CREDENTIALS: login}


def _solve_request(request: BuildRequest, *, session_id: str) -> SolveRequest:
    """Put the request as the attributes of BuildKit's Dockerfile frontend."""
    arguments = {**request.build_arguments, "SOURCE_DATE_EPOCH": str(request.source_date_epoch)}
    network_mode = "" if request.network_mode == "default" else request.network_mode
    wishes = {"target": request.target, "platform": request.platform, "force-network-mode": network_mode}
    attributes = {
        **{name: value for name, value in wishes.items() if value},
        **({"no-cache": ""} if request.no_cache else {}),  # empty: of every stage
        "image-resolve-mode": "pull" if request.pull else "default",
        **{f"label:{name}": value for name, value in request.labels.items()},
        **{f"build-arg:{name}": value for name, value in arguments.items()},
    }
    return SolveRequest(
        session_id=session_id,
        attributes=attributes,
        inputs=request.inputs,
        uses_host_network=request.network_mode == "host",
    )


def open_session(
    engine: Engine,
    session_id: str,
    *,
    shared_key: str,
    trees: Mapping[str, Context],
    services: Mapping[str, Unary] | None = None,
) -> Session:
    """Open the session that sends `trees` by their names, and in which the engine may call `services`; to be entered.

    What the engine has of the place that `shared_key` names is not sent again.
    """
    unary = {HEALTH: lambda _: SERVING, **(services or {})}
    streaming: Mapping[str, Streaming] = {filesync.METHOD: filesync.serving(trees)}
    stream = engine.open_session(_session_headers(session_id, shared_key, [*unary, *streaming]))
    return Session(stream, unary=unary, streaming=streaming)


def _session_headers(session_id: str, shared_key: str, methods: list[str]) -> list[tuple[str, str]]:
    return [
        ("X-Docker-Expose-Session-Uuid", session_id),
        ("X-Docker-Expose-Session-Name", "build-image"),
        ("X-Docker-Expose-Session-Sharedkey", sha256(shared_key.encode()).hexdigest()),
        *(("X-Docker-Expose-Session-Grpc-Method", method) for method in methods),
    ]


def _check_secrets(secrets: Mapping[str, bytes]) -> None:
    for name, value in secrets.items():
        if len(value) > SECRET_LIMIT_BYTES:
            raise InputError(
                f"secret `{name}` has {len(value)} bytes, and BuildKit takes at most {SECRET_LIMIT_BYTES}",
                hint="for a bundle of certificates, keep only the authorities that your network needs",
            )


def _serialised(on_event: OnEvent) -> OnEvent:
    turn = threading.Lock()

    def emit(event: Event) -> None:
        with turn:
            on_event(event)

    return emit
