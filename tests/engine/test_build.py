import os
import tarfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from builder.buildkit import BuildRequest, Cancellation, build
from builder.context import assemble
from builder.engine import Engine
from builder.errors import BuildFailedError, UnreachableError
from builder.trace import Event, LogEvent, TransferEvent
from tests.engine import tls
from tests.support.private_engine import PrivateEngine

pytestmark = pytest.mark.engine

BASE = "FROM debian:bookworm-slim\n"
TIMEOUT_S = 30


def request(
    dockerfile: str,
    files: dict[str, bytes | Path] | None = None,
    *,
    shared_key: str = "tests",
    secrets: dict[str, bytes] | None = None,
) -> BuildRequest:
    context = assemble({"Dockerfile": dockerfile.encode(), **(files or {})})
    return BuildRequest(context=context, shared_key=shared_key, network_mode="none", secrets=secrets or {})


def ignore(_: Event) -> None:
    """Take an event that the test does not look at."""


def lines(events: Iterable[Event]) -> list[str]:
    return [event.line for event in events if isinstance(event, LogEvent)]


def sent_bytes(events: Iterable[Event]) -> int:
    """How much of the context the engine took over the wire, in its own count."""
    context = "transferring context:"
    return max(event.current_bytes for event in events if isinstance(event, TransferEvent) and event.name == context)


def unique() -> str:
    """Make a comment for a RUN that no earlier run of the tests has cached."""
    return f": {uuid4().hex};"


def layer_bytes(engine: Engine, image: str) -> bytes:
    with engine.saved_image(image) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        return b"".join(file.read() for member in archive if (file := archive.extractfile(member)))


def test_a_secret_is_readable_in_its_step_and_nowhere_in_the_image(engine: Engine) -> None:
    token = f"token-{uuid4().hex}"
    run = f"RUN --mount=type=secret,id=token,required=true {unique()} wc -c < /run/secrets/token\n"
    events: list[Event] = []
    image = build(engine, request(BASE + run, secrets={"token": token.encode()}), on_event=events.append)
    details = engine.inspect_image(image)
    found = "\n".join([*engine.image_history(image), *details.environment, *details.labels.values()])
    assert (lines(events), token in found, token.encode() in layer_bytes(engine, image)) == (
        [str(len(token))],
        False,
        False,
    )


def test_a_required_secret_that_is_not_given_is_named(engine: Engine) -> None:
    run = f"RUN --mount=type=secret,id=hub_token,required=true {unique()}\n"
    with pytest.raises(BuildFailedError, match="secret hub_token: not found"):
        build(engine, request(BASE + run), on_event=ignore)


def test_a_secret_of_the_full_size_passes(engine: Engine) -> None:
    run = f"RUN --mount=type=secret,id=ca,required=true {unique()} wc -c < /run/secrets/ca\n"
    events: list[Event] = []
    build(engine, request(BASE + run, secrets={"ca": os.urandom(512_000)}), on_event=events.append)
    assert lines(events) == ["512000"]


def test_a_failing_step_is_told_with_its_last_lines(engine: Engine) -> None:
    run = f"RUN {unique()} for number in $(seq 30); do echo line $number; done; exit 3"
    with pytest.raises(BuildFailedError) as caught:
        build(engine, request(f"{BASE}{run}\n"), on_event=ignore)
    assert (caught.value.step, caught.value.output) == (
        f"[2/2] {run}",
        tuple(f"line {number}" for number in range(11, 31)),
    )


@pytest.mark.parametrize(
    ("dockerfile", "word"),
    [
        (f"{BASE}RUN PATH=/ apt-get update\n", "glibc and apt"),
        ('FROM scratch\nCOPY program /\nRUN ["sh"]\n', "glibc and apt"),
        (f'{BASE}COPY --chmod=755 program /\nRUN ["/program"]\n', "QEMU"),
    ],
    ids=["no apt", "no shell", "programs of another processor"],
)
def test_a_base_that_can_t_be_used_gives_a_hint(engine: Engine, dockerfile: str, word: str) -> None:
    program = b"\x7fELF" + bytes(60)  # of no processor
    with pytest.raises(BuildFailedError) as caught:
        build(engine, request(dockerfile, {"program": program}), on_event=ignore)
    assert word in (caught.value.hint or "")


def test_a_dockerfile_that_is_wrong_is_a_failed_build(engine: Engine) -> None:
    with pytest.raises(BuildFailedError, match="unknown instruction: FORM"):
        build(engine, request("FORM scratch\n"), on_event=ignore)


def test_an_unchanged_context_is_not_sent_again(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(os.urandom(3_000_000))
    asked = request("FROM scratch\nCOPY weights /\n", {"weights": tmp_path / "weights"}, shared_key=uuid4().hex)
    first: list[Event] = []
    second: list[Event] = []
    assert build(engine, asked, on_event=first.append) == build(engine, asked, on_event=second.append)
    assert (sent_bytes(first) > 3_000_000, sent_bytes(second) < 1000) == (True, True)


def test_of_a_changed_context_only_the_changed_file_is_sent(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(os.urandom(3_000_000))
    files: dict[str, bytes | Path] = {"in/weights": tmp_path / "weights", "in/code": os.urandom(20_000)}
    dockerfile, key = "FROM scratch\nCOPY in /\n", uuid4().hex
    build(engine, request(dockerfile, files, shared_key=key), on_event=ignore)
    files["in/code"] = os.urandom(20_000)
    events: list[Event] = []
    build(engine, request(dockerfile, files, shared_key=key), on_event=events.append)
    assert 20_000 < sent_bytes(events) < 21_000


def test_bytes_changed_to_the_same_size_make_another_image(engine: Engine) -> None:
    dockerfile, key = "FROM scratch\nCOPY file /\n", uuid4().hex
    images = [
        build(engine, request(dockerfile, {"file": content}, shared_key=key), on_event=ignore)
        for content in (b"same", b"some", b"same")
    ]
    assert (images[0] == images[2], images[0] == images[1]) == (True, False)


def test_a_local_file_changed_to_the_same_size_and_time_makes_another_image(engine: Engine, tmp_path: Path) -> None:
    path, key, images = tmp_path / "file", uuid4().hex, []
    for content in (b"same", b"some", b"same"):
        path.write_bytes(content)
        os.utime(path, (1, 1))
        asked = request("FROM scratch\nCOPY file /\n", {"file": path}, shared_key=key)
        images.append(build(engine, asked, on_event=ignore))
    assert (images[0] == images[2], images[0] == images[1]) == (True, False)


def test_equal_content_is_an_equal_layer_wherever_it_came_from(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    sources: list[bytes | Path] = [b"content", tmp_path / "file"]
    layers = []
    for source in sources:
        dockerfile = f"FROM scratch\nCOPY file /\nLABEL run={uuid4().hex}\n"
        asked = request(dockerfile, {"file": source}, shared_key=uuid4().hex)
        uncached = BuildRequest(context=asked.context, shared_key=asked.shared_key, no_cache=True)
        layers.append(engine.inspect_image(build(engine, uncached, on_event=ignore)).layers)
    assert layers[0] == layers[1]


def test_options_reach_the_build(engine: Engine) -> None:
    dockerfile = "FROM scratch AS first\nARG NAME\nENV NAME=$NAME\nFROM scratch AS second\n"
    asked = BuildRequest(
        context=assemble({"Dockerfile": dockerfile.encode()}),
        shared_key="tests",
        target="first",
        platform="linux/amd64",
        labels={"org.example.key": "välue & more"},
        build_arguments={"NAME": "a=b&c"},
    )
    details = engine.inspect_image(build(engine, asked, on_event=ignore))
    assert (dict(details.labels), [line for line in details.environment if line.startswith("NAME")]) == (
        {"org.example.key": "välue & more"},
        ["NAME=a=b&c"],
    )


def test_a_cancelled_build_stops_on_the_engine(engine: Engine) -> None:
    cancellation, endless = Cancellation(), endless_command()

    def cancel_when_it_runs(event: Event) -> None:
        if isinstance(event, LogEvent) and event.line == "running":
            threading.Thread(target=cancellation.cancel).start()

    run = f"RUN {unique()} echo running; {endless}\n"
    with pytest.raises(KeyboardInterrupt):
        build(engine, request(BASE + run), on_event=cancel_when_it_runs, cancellation=cancellation)
    assert has_ended(endless)


def test_an_interrupted_build_stops_on_the_engine(engine: Engine) -> None:
    endless = endless_command()

    def interrupt_when_it_runs(event: Event) -> None:
        if isinstance(event, LogEvent) and event.line == "running":
            raise KeyboardInterrupt

    run = f"RUN {unique()} echo running; {endless}\n"
    with pytest.raises(KeyboardInterrupt):
        build(engine, request(BASE + run), on_event=interrupt_when_it_runs)
    assert has_ended(endless)


def endless_command() -> str:
    """Make a command that only being killed ends, and that no other test runs."""
    return f"sleep 100000.{uuid4().int}"


def has_ended(command: str) -> bool:
    """Tell whether no process of this machine runs `command`, after the moment that the engine takes to end it."""
    wanted = command.replace(" ", "\0").encode() + b"\0"
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if wanted not in running_commands():
            return True
    return False


def running_commands() -> set[bytes]:
    commands = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            commands.add(path.read_bytes())
    return commands


def test_two_builds_at_once_each_get_their_own_secret_and_context(engine: Engine) -> None:
    def one(name: str) -> list[str]:
        run = f"COPY name /\nRUN --mount=type=secret,id=token {unique()} cat /name /run/secrets/token\n"
        events: list[Event] = []
        asked = request(BASE + run, {"name": f"{name} ".encode()}, secrets={"token": f"secret of {name}\n".encode()})
        build(engine, asked, on_event=events.append)
        return lines(events)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, ["one", "two"])) == [["one secret of one"], ["two secret of two"]]


def test_builds_at_once_run_a_stage_that_they_share_only_once(engine: Engine) -> None:
    bind = "--mount=type=bind,source=model,target=/in"
    run = f"RUN {bind} {unique()} mkdir /out; cat /proc/sys/kernel/random/uuid > /out/id"
    weights = os.urandom(1000)

    def one(name: str) -> str:
        dockerfile = f"{BASE.strip()} AS model\n{run}\nFROM scratch\nCOPY name /\nCOPY --link --from=model /out/ /\n"
        asked = request(dockerfile, {"model/weights": weights, "name": name.encode()}, shared_key=uuid4().hex)
        return engine.inspect_image(build(engine, asked, on_event=ignore)).layers[-1]

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(one, ["one", "two", "three", "four"]))) == 1


def test_an_engine_that_dies_mid_build_is_unreachable(
    private_engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "weights").write_bytes(bytes(20_000_000))
    asked = request("FROM scratch\nCOPY weights /\n", {"weights": tmp_path / "weights"})

    def die(_: Event) -> None:
        private_engine.die()

    monkeypatch.setenv("DOCKER_HOST", private_engine.address)
    with Engine.connect() as engine, pytest.raises(UnreachableError) as caught:
        build(engine, asked, on_event=die)
    assert caught.value.message.startswith("the Docker Engine went away: ")


def test_a_build_passes_over_tcp_with_tls(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not engine.address.startswith("unix://"):
        pytest.skip("the engine is not on a unix socket")
    tls.make_certificates(tmp_path)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    weights = os.urandom(3_000_000)
    first = f"RUN --mount=type=secret,id=token {unique()} cat /run/secrets/token\n"
    second = "FROM scratch\nCOPY weights /\nCOPY --from=0 /etc/hostname /\n"
    secrets, key = {"token": b"over TLS"}, uuid4().hex
    asked = request(BASE + first + second, {"weights": weights}, shared_key=key, secrets=secrets)
    events: list[Event] = []
    with tls.served(engine.address.removeprefix("unix://"), certificates=tmp_path) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        with Engine.connect() as encrypted:
            image = build(encrypted, asked, on_event=events.append)
            assert (weights in layer_bytes(encrypted, image), lines(events)) == (True, ["over TLS"])


def test_a_build_over_tls_can_be_cancelled(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not engine.address.startswith("unix://"):
        pytest.skip("the engine is not on a unix socket")
    tls.make_certificates(tmp_path)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    cancellation, endless = Cancellation(), endless_command()

    def cancel_when_it_runs(event: Event) -> None:
        if isinstance(event, LogEvent) and event.line == "running":
            threading.Thread(target=cancellation.cancel).start()

    with tls.served(engine.address.removeprefix("unix://"), certificates=tmp_path) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        run = f"RUN {unique()} echo running; {endless}\n"
        with Engine.connect() as encrypted, pytest.raises(KeyboardInterrupt):
            build(encrypted, request(BASE + run), on_event=cancel_when_it_runs, cancellation=cancellation)
    assert has_ended(endless)
