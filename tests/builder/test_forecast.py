import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from builder import forecast, preview
from builder.api import HeldImage, ImageDetails
from builder.forecast import HUB_CLIENT_BYTES, PACKAGES_BYTES, SERVER_LAYERS_BYTES, Forecast, There
from builder.labels import BUNDLE_LABEL, MODELS_LABEL
from builder.plan import ImagePlan, Plan
from tests.builder import data
from tests.conftest import Golden

LOCAL = data.local(Path("/models/embedder"))
FETCHED = data.fetched()
SERVER = data.image(LOCAL, FETCHED)
WEIGHTS = replace(data.image(FETCHED, name="weights", kind="models"), immutable=("example/weights:latest",))
BASE_BYTES = 75_000_000
NOTHING = There(images=(), base_bytes=None, free_bytes=10**9, is_unchanged=False)


def held(*names: str, labels: dict[str, str]) -> HeldImage:
    return HeldImage(id="sha256:1", names=names, labels=labels, size_bytes=1, own_bytes=1)


def made(*images: ImagePlan, there: There | None = None) -> Forecast:
    return forecast.make(Plan(images=images, is_repeatable=True), there)


def with_images(*images: HeldImage) -> There:
    return replace(NOTHING, images=images, base_bytes=BASE_BYTES)


def states(there: There | None, *images: ImagePlan) -> list[str | None]:
    return [image.state for image in made(*images, there=there).images]


def test_a_stage_is_told_with_every_image_that_it_is_made_for() -> None:
    assert made(SERVER, WEIGHTS).stages == {
        "python-deps": ("retrieval",),
        "hub-client": ("retrieval", "weights"),
        "model-embedder": ("retrieval",),
        "model-reranker": ("retrieval", "weights"),
        "app": ("retrieval",),
        "runtime-packages": ("retrieval",),
    }


def test_a_model_is_told_once_with_its_images() -> None:
    found = [(model.model.name, model.images) for model in made(SERVER, WEIGHTS).models]
    assert found == [("embedder", ("retrieval",)), ("reranker", ("retrieval", "weights"))]


def test_a_first_run_fetches_models_packages_and_the_hub_s_client() -> None:
    assert dict(made(SERVER, there=NOTHING).fetched.parts) == {
        "models": FETCHED.size_bytes,
        "packages": PACKAGES_BYTES,
        "the Hub's client": HUB_CLIENT_BYTES,
    }


def test_a_model_that_an_image_holds_is_not_fetched_again() -> None:
    other = held("other:latest", labels={MODELS_LABEL: FETCHED.identity})
    found = made(SERVER, there=with_images(other))
    assert (found.fetched.total_bytes, [model.is_held for model in found.models]) == (0, [False, True])


def test_a_run_that_changes_nothing_fetches_nothing() -> None:
    found = made(SERVER, there=replace(NOTHING, is_unchanged=True))
    assert (found.fetched.total_bytes, found.images[0].state) == (0, "unchanged")


def test_an_image_s_size_is_that_of_its_base_its_server_and_its_models() -> None:
    server, weights = made(SERVER, WEIGHTS, there=with_images()).images
    models_bytes = LOCAL.size_bytes + FETCHED.size_bytes
    assert server.size_bytes == BASE_BYTES + SERVER_LAYERS_BYTES + models_bytes
    assert weights.size_bytes == FETCHED.size_bytes


def test_a_size_is_not_told_where_that_of_the_base_is_not_known() -> None:
    (server,) = made(SERVER, there=NOTHING).images
    assert (server.size_bytes, server.added_bytes) == (None, SERVER_LAYERS_BYTES + 2 * FETCHED.size_bytes)


def test_an_image_is_new_there_or_replaces_another_one() -> None:
    labels = dict(SERVER.labels)
    alike = held("docker.io/example/retrieval:latest", labels={**labels, "more": "x"})
    other = held("example/retrieval:latest", labels={MODELS_LABEL: "a@b"})
    assert states(with_images(), SERVER) == ["new"]
    assert states(with_images(alike), SERVER) == ["there"]
    assert states(with_images(other), SERVER) == ["replaced"]


def test_an_image_that_lacks_one_of_its_names_is_not_there_yet() -> None:
    image = replace(SERVER, references=("example/retrieval:1", "example/retrieval:latest"))
    assert states(with_images(held("example/retrieval:1", labels=dict(image.labels))), image) == ["replaced"]


def test_without_an_engine_what_it_has_is_left_open() -> None:
    found = made(SERVER)
    assert (found.images[0].state, found.models[0].is_held, found.has_base, found.free_bytes) == (None,) * 4


class Engine:
    """An engine on another machine with the base image and one of ours."""

    def local_root(self) -> Path | None:
        return None

    def images(self, *, label: str) -> Sequence[HeldImage]:
        return [held("example/retrieval:latest", labels={label: FETCHED.identity})]

    def has_image(self, reference: str, /) -> bool:
        return reference == SERVER.base

    def inspect_image(self, reference: str, /) -> ImageDetails:
        return ImageDetails(
            id=reference,
            platform="linux/amd64",
            size_bytes=BASE_BYTES,
            layers=(),
            labels={},
            environment=(),
            digest="",
        )


def test_an_engine_is_asked_for_images_base_and_space() -> None:
    there = forecast.ask(Engine(), Plan(images=(SERVER,), is_repeatable=True), is_unchanged=False)
    assert there == There(
        images=(held("example/retrieval:latest", labels={MODELS_LABEL: FETCHED.identity}),),
        base_bytes=BASE_BYTES,
        free_bytes=None,
        is_unchanged=False,
    )


def shown() -> Forecast:
    """Return a forecast in which everything is told."""
    plan = Plan(images=(SERVER, WEIGHTS), is_repeatable=True)
    other = held("example/weights:latest", labels={MODELS_LABEL: LOCAL.identity})
    return forecast.make(plan, replace(NOTHING, images=(other,)), lock_changes=("models.embedder: added",))


def test_the_text_is_as_it_was(golden: Golden) -> None:
    golden.check(preview.text(shown()) + "\n", "plan.txt")


def test_the_json_is_as_it_was(golden: Golden) -> None:
    text = preview.document(shown()).replace(SERVER.labels[BUNDLE_LABEL], "the digest of bundle.json")
    golden.check(text + "\n", "plan.json")


def test_the_json_of_a_run_without_an_engine_has_null_for_what_it_can_t_tell() -> None:
    read = json.loads(preview.document(made(SERVER)))
    assert [read["images"][0][key] for key in ("size_bytes", "state")] == [None, None]
    assert (read["disk"]["free_bytes"], read["has_base"], read["models"][0]["is_held"]) == (None, None, None)
