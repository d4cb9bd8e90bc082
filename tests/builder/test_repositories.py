from dataclasses import replace

import pytest

from builder.errors import InputError
from builder.manifest import Task
from builder.recipe import Recipe, decide
from tests.builder.decoder_repositories import DECODERS
from tests.builder.layouts import Layout
from tests.builder.long_repositories import LONG_ENCODERS
from tests.builder.repositories import ENCODERS
from tests.builder.reranker_repositories import REFUSED, RERANKERS
from tests.support.memory_repository import manifest_model, repository

EVERY = (*ENCODERS, *LONG_ENCODERS, *DECODERS, *RERANKERS)


def decided(layout: Layout, task: Task) -> Recipe:
    listed = replace(repository(layout.contents), source=layout.name)
    return decide(manifest_model(task=task, **layout.keys), listed)


@pytest.mark.parametrize(("layout", "recipe"), EVERY, ids=[layout.name for layout, _ in EVERY])
def test_a_public_repository_is_decided_whole(layout: Layout, recipe: Recipe) -> None:
    assert decided(layout, recipe.task) == recipe


@pytest.mark.parametrize(("layout", "task", "message"), REFUSED, ids=[layout.name for layout, *_ in REFUSED])
def test_a_public_repository_that_can_not_be_served_is_refused(layout: Layout, task: Task, message: str) -> None:
    with pytest.raises(InputError) as caught:
        decided(layout, task)
    assert caught.value.message == message
