"""Two runs at once on one engine: of one manifest, of two with the same models, of two that want the same name."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.engine import Engine
from tests.engine import workshop as workshops
from tests.engine.command import Ended
from tests.engine.workshop import TIMEOUT_S, Workshop, interrupt
from tests.support.hub_server import BodyFault

pytestmark = pytest.mark.engine


@pytest.fixture
def workshop(engine: Engine, tmp_path: Path) -> Iterator[Workshop]:
    with workshops.opened(tmp_path, engine=engine) as opened:
        yield opened


def run_both(workshop: Workshop, *manifests: str) -> list[Ended]:
    processes = [workshop.start("--push", manifest=name) for name in manifests]
    return [workshop.end(process) for process in processes]


def graphs(workshop: Workshop) -> int:
    """Count how often the Hub was asked for a model's weights."""
    paths = [request.path for request in workshop.hub.requests if request.method == "GET"]
    return sum("content-network" in path and path.endswith("embedder/onnx/model.onnx_data") for path in paths)


def check_whole(workshop: Workshop, image_id: str) -> None:
    """Hold every name, in the engine and in the registry, to be the image that was tested."""
    assert [workshop.engine.image_id(name) for name in workshop.names] == [image_id] * 2
    assert workshop.pushed() == [True, True]


@pytest.mark.parametrize("kind", ["models", "server"])
def test_two_runs_of_one_manifest_make_one_image_and_fetch_each_model_once(workshop: Workshop, kind: str) -> None:
    workshop.write(kind=kind)
    before = workshop.containers()
    both = run_both(workshop, "models", "models")
    assert [ended.code for ended in both] == [0, 0], "\n".join(ended.err for ended in both)
    check_whole(workshop, workshop.image()["id"])
    assert (graphs(workshop), workshop.containers() - before) == (1, set())
    assert set(json.loads((workshop.folder / "models.lock").read_text())["models"]) == {"embedder", "reranker"}
    assert [path.name for path in workshop.folder.iterdir() if path.name.startswith(".models")] == []


def test_two_runs_of_different_manifests_share_what_they_have_in_common(workshop: Workshop) -> None:
    names = [f"{workshop.registry.host}/{workshop.organisation}-{number}" for number in range(2)]
    for number, name in enumerate(names):
        workshop.write(
            f"manifest-{number}", kind="models", repository=name, models=["embedder", "reranker"][: number + 1]
        )
    both = run_both(workshop, "manifest-0", "manifest-1")
    assert [ended.code for ended in both] == [0, 0], "\n".join(ended.err for ended in both)
    images = [workshop.image(f"manifest-{number}") for number in range(2)]
    assert [workshop.engine.image_id(f"{name}:latest") for name in names] == [image["id"] for image in images]
    assert (images[0]["layers"], graphs(workshop)) == (images[1]["layers"][:1], 1)


def test_two_runs_that_want_one_name_leave_it_with_a_tested_image_and_whoever_lost_it_is_told(
    workshop: Workshop,
) -> None:
    workshop.write("one", kind="models")
    workshop.write("other", kind="models", models=["reranker"])
    both = run_both(workshop, "one", "other")
    assert "Traceback" not in both[0].err + both[1].err
    ids = {workshop.image(name)["id"] for name in ("one", "other")}
    assert {workshop.engine.image_id(name) for name in workshop.names} <= ids
    for ended in both:
        assert (ended.code, "is another image by now" in ended.err) in {(0, False), (1, True)}, ended.err
    alone = workshop.end(workshop.start("--push", manifest="other"))
    assert alone.code == 0, alone.err
    check_whole(workshop, workshop.image("other")["id"])


@pytest.mark.parametrize("which", [0, 1], ids=["the one that came first", "the one that waits"])
def test_a_run_goes_on_where_another_that_shares_its_steps_is_interrupted(workshop: Workshop, which: int) -> None:
    workshop.hub.inject(BodyFault(sent_bytes=200_000, is_silent=True), path="/content-network/*/model.onnx_data")
    workshop.write(kind="models")
    processes = [workshop.start("--push")]
    assert workshop.hub.fell_silent.wait(TIMEOUT_S)
    processes.append(workshop.start("--push"))
    assert any("building" in line for line in processes[1].stderr or ())
    interrupt(processes[which], signal.SIGINT)
    codes = [workshop.end(process).code for process in (processes[which], processes[1 - which])]
    assert codes == [130, 0]
    check_whole(workshop, workshop.image()["id"])
