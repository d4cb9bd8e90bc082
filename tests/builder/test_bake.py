import json
from dataclasses import replace
from pathlib import Path

import pytest

from builder import bake
from builder.bake import BakeOptions
from builder.errors import InputError
from builder.plan import ImagePlan
from tests.builder import data
from tests.conftest import Golden

LOCAL, FETCHED = data.local(Path("/models/a")), data.fetched()
IMAGES = [
    data.image(LOCAL, FETCHED),
    data.image(FETCHED, name="weights", kind="models"),
]


def targets(*images: ImagePlan) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(bake.document(images, BakeOptions()))["target"]
    return found


def test_a_bake_file_is_as_it_was(golden: Golden) -> None:
    wanted = BakeOptions(
        platforms=("linux/amd64", "linux/arm64"), cache_from=("example/cache",), cache_to="example/cache"
    )
    golden.check(bake.document(IMAGES, wanted).decode(), "docker-bake.json")


def test_a_stage_that_one_image_has_is_no_target() -> None:
    assert list(targets(IMAGES[0])) == ["_common", "retrieval"]


def test_without_a_platform_the_builder_s_own_is_built() -> None:
    assert "platforms" not in targets(IMAGES[0])["retrieval"]


def test_the_manifest_s_platform_is_built() -> None:
    image = replace(IMAGES[0], platform="linux/arm64")
    assert targets(image)["retrieval"]["platforms"] == ["linux/arm64"]


def test_what_looks_like_an_expression_of_bake_stays_text() -> None:
    image = replace(IMAGES[0], base="${base}")
    labels = targets(image)["retrieval"]["labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.base.name"] == "$${base}"


def test_a_dot_which_bake_does_not_take_is_written_otherwise_in_the_target_alone() -> None:
    found = targets(data.image(LOCAL, name="e5.1"), data.image(LOCAL, name="e6"))
    assert list(found) == ["_common", "_model-embedder", "e5_1", "e6"]
    assert found["e5_1"]["context"] == "e5.1"


def test_two_images_that_would_be_one_target_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        targets(data.image(LOCAL, name="a.b"), data.image(LOCAL, name="a_b"))
    assert caught.value.message == "two of `a.b`, `a_b` have one name for bake, which knows no `.`"
