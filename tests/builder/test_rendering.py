from pathlib import Path

import pytest
import yaml

from builder import deployment, rendering
from builder.deployment import DeploymentOptions
from builder.errors import FailedError, InputError
from builder.plan import ImagePlan
from builder.rendering import Rendering
from tests.builder import data, optimized
from tests.conftest import Golden

LOCAL, FETCHED = data.local(Path("/models/a")), data.fetched()
SERVER = data.image(LOCAL, FETCHED)
OTHER = data.image(FETCHED, name="reranking")
WEIGHTS = data.image(LOCAL, FETCHED, name="weights", kind="models")


def written(folder: Path, wanted: Rendering) -> str:
    (path,) = rendering.write(wanted, folder)
    return path.read_text()


def asked(kind: rendering.Format, *images: ImagePlan, **options: object) -> Rendering:
    deployment = DeploymentOptions(**options)  # type: ignore[arg-type]  # as each test writes them
    return Rendering(format=kind, version="1.2.3", images=images, deployment=deployment)


@pytest.mark.parametrize("kind", ["compose", "stack", "kubernetes"])
def test_a_deployment_is_as_it_was(kind: rendering.Format, tmp_path: Path, golden: Golden) -> None:
    golden.check(written(tmp_path, asked(kind, SERVER, OTHER, WEIGHTS)), f"{kind}.yaml")


def test_weights_have_no_optimised_graph_to_serve(tmp_path: Path) -> None:
    images = (data.image(optimized.model(), FETCHED), WEIGHTS)
    with pytest.raises(InputError) as caught:
        written(tmp_path, Rendering(format="kubernetes", version="1.2.3", images=images, weights="weights"))
    assert caught.value.message == "`weights` has the original of `embedder`, not its optimised graph"


def test_an_optimised_model_s_cache_has_a_name_of_its_own() -> None:
    assert deployment.cache_digest([optimized.model()]) != deployment.cache_digest([LOCAL])


def test_an_internal_network_publishes_no_port(tmp_path: Path) -> None:
    found = yaml.safe_load(written(tmp_path, asked("compose", SERVER, is_internal=True)))
    assert found["networks"] == {"default": {"internal": True}}
    assert "ports" not in found["services"]["retrieval"]


def test_a_file_that_was_rendered_is_rendered_anew(tmp_path: Path) -> None:
    before = written(tmp_path, asked("compose", SERVER))
    assert written(tmp_path, asked("compose", SERVER, port=9000)) != before


def test_a_file_of_another_s_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    with pytest.raises(InputError, match="is not a file that build-image rendered"):
        written(tmp_path, asked("compose", SERVER))
    assert (tmp_path / "compose.yaml").read_text() == "services: {}\n"


def test_a_file_that_can_t_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(FailedError) as caught:
        written(tmp_path / "out", asked("stack", SERVER))
    assert caught.value.message == f"`{tmp_path}/out/stack.yaml` can't be written: File exists"
