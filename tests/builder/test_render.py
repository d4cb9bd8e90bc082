from dataclasses import replace
from pathlib import Path

import pytest

from builder import render
from builder.plan import ImagePlan, Supplied
from tests.builder import data, optimized
from tests.conftest import Golden

IMAGES = {
    "local": data.image(data.local(Path("/models/a"))),
    "fetched": data.image(data.fetched()),
    "both": data.image(data.local(Path("/models/a")), data.fetched()),
    "two-fetched": data.image(data.fetched("first"), data.fetched("second")),
}
SUPPLIED = replace(
    data.image(data.local(Path("/models/a"))),
    supplied=Supplied(base="localhost/build-image/base:0123456789ab", files={}),
)
OPTIMIZED = data.image(optimized.model(), data.fetched())
WEIGHTS = data.image(data.local(Path("/models/a")), data.fetched(), kind="models")


@pytest.mark.parametrize("name", IMAGES)
def test_a_dockerfile_is_as_it_was(name: str, golden: Golden) -> None:
    golden.check(render.dockerfile(IMAGES[name], version="1.2.3"), f"Dockerfile.{name}")


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_the_stages_are_the_contract_s(image: ImagePlan) -> None:
    text = render.dockerfile(image, version="1.2.3")
    stages = [line.rpartition(" AS ")[2] for line in text.splitlines() if line.startswith("FROM ")]
    models = [f"model-{model.name}" for model in image.models]
    assert [stage for stage in stages if stage not in {"hub-client", "app"}] == [
        "python-deps",
        *models,
        "runtime-packages",
        "assembled",
        "golden",
        "sbom",
        "runtime",
    ]


@pytest.mark.parametrize("image", [*IMAGES.values(), WEIGHTS, OPTIMIZED], ids=[*IMAGES, "weights", "optimized"])
def test_an_image_has_as_many_layers_of_its_own_as_its_last_stages_copy(image: ImagePlan) -> None:
    last_stages = render.dockerfile(image, version="1.2.3").partition(
        " AS assembled" if image.kind == "server" else " scratch "
    )[2]
    assert last_stages.count("\nCOPY --link ") == image.own_layers


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_no_secret_is_an_argument_or_a_variable(image: ImagePlan) -> None:
    text = render.dockerfile(image, version="1.2.3")
    assert "ARG " not in text
    assert {line.split()[1].partition("=")[0] for line in text.splitlines() if line.startswith("ENV ")} == set(
        render.ENVIRONMENT
    )


def test_shared_files_are_asked_for_by_their_name_and_nothing_else_differs() -> None:
    whole, lean = (
        render.dockerfile(IMAGES["both"], version="1.2.3", files_are_shared=shared).splitlines()
        for shared in (False, True)
    )
    changed = [(before, after) for before, after in zip(whole, lean, strict=True) if before != after]
    mount = "RUN --network=none --mount=type=bind,{},target=/files \\"
    assert changed == [(mount.format("source=files/embedder"), mount.format("from=files-embedder"))]


def test_a_dockerfile_of_weights_is_as_it_was(golden: Golden) -> None:
    golden.check(render.dockerfile(WEIGHTS, version="1.2.3"), "Dockerfile.weights")


def test_a_dockerfile_without_a_network_is_as_it_was(golden: Golden) -> None:
    golden.check(render.dockerfile(SUPPLIED, version="1.2.3"), "Dockerfile.supplied")


def test_a_dockerfile_with_an_optimised_model_is_as_it_was(golden: Golden) -> None:
    golden.check(render.dockerfile(OPTIMIZED, version="1.2.3"), "Dockerfile.optimized")


def test_a_graph_is_derived_without_the_server_s_code_and_a_network() -> None:
    text = render.dockerfile(OPTIMIZED, version="1")
    (stage,) = [block for block in text.split("\n\n") if " AS optimize-embedder\n" in block]
    assert "FROM optimizer AS" in stage
    assert "RUN --network=none " in stage
    assert [word for word in ("source=app", "assembled", "python-deps") if word in stage] == []


def test_a_model_s_own_stage_is_the_same_whether_it_is_optimised_or_not() -> None:
    texts = [render.dockerfile(image, version="1") for image in (OPTIMIZED, IMAGES["both"])]
    stages = [text[text.index("# embedder: local/") :].partition("\n\n")[0] for text in texts]
    assert stages[0] == stages[1]


def test_the_dockerfile_that_gathers_an_optimiser_s_packages_is_as_it_was(golden: Golden) -> None:
    text = render.supplies_dockerfile("debian:bookworm-slim", version="1.2.3", optimizes=True)
    golden.check(text, "Dockerfile.supplies-optimized")


def test_without_a_network_no_step_has_one_or_a_secret_and_no_stage_begins_from_a_registry() -> None:
    steps = render.dockerfile(SUPPLIED, version="1.2.3").replace("\\\n", "").splitlines()
    runs = [step for step in steps if step.startswith("RUN ")]
    assert [step for step in runs if "--network=none" not in step or "type=secret" in step] == []
    bases = {step.split()[1] for step in steps if step.startswith("FROM ")}
    assert bases == {"localhost/build-image/base:0123456789ab", "python-deps", "assembled"}


def test_a_model_s_stage_is_the_same_with_a_network_and_without() -> None:
    online, offline = (render.dockerfile(image, version="1") for image in (IMAGES["local"], SUPPLIED))
    stage = online[online.index("# embedder: ") : online.index("FROM python-deps AS app")]
    base = "FROM --platform=$BUILDPLATFORM debian:bookworm-slim"
    assert stage.replace(base, "FROM localhost/build-image/base:0123456789ab") in offline


def test_the_dockerfile_that_gathers_supplies_is_as_it_was(golden: Golden) -> None:
    golden.check(render.supplies_dockerfile("debian:bookworm-slim", version="1.2.3"), "Dockerfile.supplies")


def test_an_image_of_weights_sets_no_variable_and_has_no_other_stage() -> None:
    lines = render.dockerfile(WEIGHTS, version="1.2.3").splitlines()
    stages = [line.rpartition(" AS ")[2] for line in lines if line.startswith("FROM ")]
    assert stages == ["hub-client", "model-embedder", "model-reranker", "models"]
    assert [line for line in lines if line.startswith(("ENV ", "USER ", "ENTRYPOINT "))] == []


def test_a_model_s_stage_is_the_same_text_in_either_kind_of_image() -> None:
    of_server, of_weights = (render.dockerfile(image, version="1").split("\n\n") for image in (IMAGES["both"], WEIGHTS))
    stages = [block for block in of_weights if block.startswith("# ") and " AS model-" in block]
    assert len(stages) == 2
    assert [stage for stage in stages if stage not in of_server] == []


def test_no_syntax_line_is_written_because_it_needs_a_registry() -> None:
    assert "syntax=" not in render.dockerfile(IMAGES["both"], version="1.2.3")


def test_what_a_template_asks_for_is_known() -> None:
    assert render.variables("{{ git.sha }}-{{ lock.digest }}") == {"git", "lock"}
    assert render.variables("latest") == set()


def test_the_lock_s_digest_changes_with_a_decision() -> None:
    other = data.lock(data.fetched(recipe=data.EMBEDDER_RECIPE))
    assert data.lock(data.fetched()).digest != other.digest


@pytest.mark.parametrize("image", [*IMAGES.values(), WEIGHTS, OPTIMIZED], ids=[*IMAGES, "weights", "optimized"])
def test_the_stages_that_a_plan_tells_are_those_of_the_dockerfile(image: ImagePlan) -> None:
    lines = render.dockerfile(image, version="1").splitlines()
    stages = [line.rpartition(" AS ")[2] for line in lines if line.startswith("FROM ")]
    own = {"assembled", "golden", "compared", "runtime", "models", "sbom"}  # made of what is this image's alone
    assert list(image.shareable_stages) == [stage for stage in stages if stage not in own]
