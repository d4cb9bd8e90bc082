"""Ctrl-C and SIGTERM in every phase of a run: what is left behind, what is told, and that a second run goes on."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.engine import Engine
from tests.engine import workshop as workshops
from tests.engine.workshop import TIMEOUT_S, Process, Workshop, interrupt
from tests.support.hub_server import BodyFault, Silence

pytestmark = pytest.mark.engine

GRAPH = "onnx/model.onnx_data"


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A moment of a run: `hold` makes the service that is asked in it keep silent, and returns what waits for that."""

    hold: Callable[[Workshop], Callable[[float], bool]]
    kind: str = "models"
    is_named: bool = False  # whether the image is tested and has its names by then
    is_told: bool = True  # whether there are images to stop
    may_arrive: bool = False  # whether the engine goes on with the one request that it is at


def of_hub(path: str) -> Callable[[Workshop], Callable[[float], bool]]:
    def hold(workshop: Workshop) -> Callable[[float], bool]:
        workshop.hub.inject(Silence(), path=path, times=None)
        return workshop.hub.fell_silent.wait

    return hold


def of_download(path: str, *, arrived_bytes: int) -> Callable[[Workshop], Callable[[float], bool]]:
    """Hold a download up when it asks for what follows its first bytes: these are certain to have arrived by then."""

    def hold(workshop: Workshop) -> Callable[[float], bool]:
        workshop.hub.inject(BodyFault(sent_bytes=arrived_bytes), path=path)
        workshop.hub.inject(BodyFault(sent_bytes=0, is_silent=True), path=path, times=None)
        return workshop.hub.fell_silent.wait

    return hold


def of_engine(request: str) -> Callable[[Workshop], Callable[[float], bool]]:
    def hold(workshop: Workshop) -> Callable[[float], bool]:
        workshop.engine_relay.hold(request)
        return workshop.engine_relay.reached.wait

    return hold


def of_registry(method: str, path: str) -> Callable[[Workshop], Callable[[float], bool]]:
    def hold(workshop: Workshop) -> Callable[[float], bool]:
        workshop.registry.hold(method, path)
        return workshop.registry.reached.wait

    return hold


PHASES = {
    "locking": Phase(hold=of_hub("/api/models/*"), is_told=False),
    "asking for the base": Phase(hold=of_engine("GET /.*/images/debian"), is_told=False),
    "asking the registry": Phase(hold=of_registry("POST", "/blobs/uploads/$"), is_told=False),
    "opening the session": Phase(hold=of_engine("POST /.*/session")),
    "asking for a build": Phase(hold=of_engine("POST /.*/grpc")),
    "building": Phase(hold=of_download(f"/content-network/*/{GRAPH}", arrived_bytes=200_000)),
    "creating the container": Phase(hold=of_engine("POST /.*/containers/create"), kind="server"),
    "starting the container": Phase(hold=of_engine("POST /.*/containers/.*/start"), kind="server"),
    "testing": Phase(hold=of_engine("POST /.*/exec/.*/start"), kind="server"),
    "comparing the container": Phase(hold=of_engine("GET /.*/containers/.*/changes"), kind="server"),
    "reading the files": Phase(hold=of_engine("GET /.*/containers/.*/archive")),
    "gates": Phase(hold=of_engine("GET /.*/images/.*/get")),
    "tagging": Phase(hold=of_engine("POST /.*/images/.*/tag"), is_named=True),
    "beginning to push": Phase(hold=of_engine("POST /.*/images/.*/push"), is_named=True, is_told=False),
    "pushing a layer": Phase(hold=of_registry("PATCH", "/blobs/uploads/"), is_named=True, is_told=False),
    "pushing the manifest": Phase(
        hold=of_registry("PUT", "/manifests/"), is_named=True, is_told=False, may_arrive=True
    ),
}


@pytest.fixture
def workshop(engine: Engine, tmp_path: Path) -> Iterator[Workshop]:
    with workshops.opened(tmp_path, engine=engine) as opened:
        yield opened


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
def test_an_interrupt_in_any_phase_leaves_nothing_and_the_next_run_goes_on(
    workshop: Workshop, phase: Phase, number: signal.Signals
) -> None:
    workshop.write(kind=phase.kind)
    before, has_begun = workshop.containers(), phase.hold(workshop)
    process = workshop.start("--push")
    assert has_begun(TIMEOUT_S)
    interrupt(process, number)
    told = wait_until_told(process) if phase.is_told else ""
    release(workshop)
    ended = workshop.end(process)
    told += ended.err
    assert (ended.code, ended.out, told.splitlines()[-1]) == (130, "", "interrupted"), told
    assert ("Traceback" in told, "bug" in told) == (False, False)
    assert workshop.is_named() == [phase.is_named] * 2
    assert sum(workshop.pushed()) <= phase.may_arrive
    assert workshop.containers() - before == set()
    sent = workshop.hub.sent_bytes[content(workshop)]
    again = workshop.run("--push")
    assert (again.code, workshop.is_named(), workshop.pushed()) == (0, [True] * 2, [True] * 2), again.err
    size = (workshop.hub.directory / workshop.organisation / "embedder" / GRAPH).stat().st_size
    assert (sent <= size, workshop.hub.sent_bytes[content(workshop)]) == (True, size)  # no byte was fetched twice


def wait_until_told(process: Process) -> str:
    """Read what a run tells until it says that it stops."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("interrupted: stopping"):
            break
    return "".join(lines)


def release(workshop: Workshop) -> None:
    workshop.hub.clear_faults()
    workshop.engine_relay.release()
    workshop.registry.release()


def content(workshop: Workshop) -> str:
    return f"/content-network/{workshop.organisation}/embedder/{GRAPH}"
