from dataclasses import replace
from pathlib import Path

import pytest

from builder import deployment
from builder.deployment import DeploymentOptions
from builder.errors import InputError
from tests.builder import data

LOCAL, FETCHED = data.local(Path("/models/a")), data.fetched()


def test_each_server_has_a_port_of_its_own() -> None:
    images = [data.image(LOCAL), data.image(FETCHED, kind="models", name="weights"), data.image(FETCHED, name="other")]
    made = deployment.of_images(images, DeploymentOptions(port=9000))
    assert [(each.name, each.port) for each in made] == [("retrieval", 9000), ("other", 9001)]


def test_the_memory_limit_is_the_smoke_test_s_unless_another_is_asked_for() -> None:
    (made,) = deployment.of_images([data.image(LOCAL)], DeploymentOptions())
    (other,) = deployment.of_images([data.image(LOCAL)], DeploymentOptions(memory_mib=512))
    assert (made.memory_mib, other.memory_mib) == (1025, 512)  # 1 GiB and three times 1,000 bytes, rounded up


def test_images_of_weights_alone_deploy_nothing() -> None:
    with pytest.raises(InputError, match="none of these images serves"):
        deployment.of_images([data.image(LOCAL, kind="models")], DeploymentOptions())


def test_the_digest_of_a_cache_changes_with_a_file_and_not_with_a_decision() -> None:
    files = {**FETCHED.files, "config.json": replace(FETCHED.files["config.json"], sha256="0" * 64)}
    other_file = replace(FETCHED, files=files)
    other_decision = replace(FETCHED, recipe=replace(FETCHED.recipe, max_length=7))
    digests = [deployment.cache_digest([model]) for model in (FETCHED, other_file, other_decision)]
    assert digests[0] == digests[2] != digests[1]
