import asyncio
from pathlib import Path

import msgspec
import numpy as np
import pytest

from runtime.admission import Admission
from runtime.bundle import Bundle, read_bundle
from runtime.classifier import Classes, Input
from runtime.errors import InvalidError, ModelError, UnknownModelError
from runtime.metrics import Metrics
from runtime.service import Service, choose
from tests.runtime import tiny
from tests.runtime.conftest import Folders


@pytest.fixture
def two_embedders(folders: Folders, tmp_path: Path) -> Bundle:
    file = tiny.write_bundle(
        tmp_path / "bundle.json",
        tiny.embedder_entry(folders.embedder, name="small", source="test/both"),
        tiny.embedder_entry(folders.embedder, name="large", source="test/both"),
        tiny.embedder_entry(folders.embedder, name="other", source="test/other"),
    )
    return read_bundle(file)


@pytest.mark.parametrize("name", [None, "tiny", "test/tiny-embedder"])
def test_the_only_model_of_its_task_needs_no_name(bundle: Bundle, name: str | None) -> None:
    assert choose(bundle, task="embedding", name=name) is bundle.models[0]


@pytest.mark.parametrize(("name", "position"), [("small", 0), ("large", 1), ("test/other", 2)])
def test_one_of_several_is_chosen_by_name_or_source(two_embedders: Bundle, name: str, position: int) -> None:
    assert choose(two_embedders, task="embedding", name=name) is two_embedders.models[position]


@pytest.mark.parametrize("name", ["ranker", "gpt", "", "test/tiny-reranker"])
def test_a_name_of_no_model_of_the_task_is_unknown(bundle: Bundle, name: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        choose(bundle, task="embedding", name=name)
    assert caught.value.message == f"no embedding model here is called `{name}`, name `tiny`"


def test_a_source_of_two_models_is_not_enough(two_embedders: Bundle) -> None:
    with pytest.raises(InvalidError) as caught:
        choose(two_embedders, task="embedding", name="test/both")
    assert caught.value.message == "`test/both` is the source of several, name one of `small`, `large`"


def test_one_of_several_has_to_be_named(two_embedders: Bundle) -> None:
    with pytest.raises(InvalidError) as caught:
        choose(two_embedders, task="embedding", name=None)
    assert caught.value.message == "there is more than one embedding model here, name one of `small`, `large`, `other`"


def test_a_task_without_models_is_said(two_embedders: Bundle) -> None:
    with pytest.raises(UnknownModelError) as caught:
        choose(two_embedders, task="reranker", name=None)
    assert caught.value.message == "there is no reranker here"


PAIR = ("cat", "rates")


async def asked(bundle: Bundle, name: str | None, *inputs: Input) -> tuple[str, Classes]:
    admission = Admission(max_entries=64, max_tokens=4096)
    service = Service(
        bundle, golden=Path("/nowhere"), threads=1, max_batch_tokens=64, admission=admission, metrics=Metrics()
    )
    await service.load(on_death=lambda error: pytest.fail(str(error)))
    model, classes = await service.classify(inputs or [PAIR], model=name)
    return model.name, classes


def test_models_are_ready_in_their_order_however_many_are_loaded_at_a_time(three_tasks: Bundle) -> None:
    async def loaded() -> list[str]:
        admission = Admission(max_entries=64, max_tokens=4096)
        service = Service(
            three_tasks, golden=Path("/nowhere"), threads=3, max_batch_tokens=64, admission=admission, metrics=Metrics()
        )
        await service.load(on_death=lambda error: pytest.fail(str(error)))
        return [service.loaded(model.name).model.name for model in service.models]

    assert asyncio.run(loaded()) == ["tiny", "ranker", "sorter"]


def test_one_model_that_can_t_be_loaded_fails_the_load(three_tasks: Bundle) -> None:
    models = (*three_tasks.models[:2], msgspec.structs.replace(three_tasks.models[2], output="nothing"))

    async def load() -> None:
        admission = Admission(max_entries=64, max_tokens=4096)
        bundle = msgspec.structs.replace(three_tasks, models=models)
        service = Service(
            bundle, golden=Path("/nowhere"), threads=3, max_batch_tokens=64, admission=admission, metrics=Metrics()
        )
        await service.load(on_death=lambda error: pytest.fail(str(error)))

    with pytest.raises(ModelError, match="it has no output `nothing`"):
        asyncio.run(load())


@pytest.fixture
def three_tasks(folders: Folders, tmp_path: Path) -> Bundle:
    entries = [
        tiny.embedder_entry(folders.embedder),
        tiny.reranker_entry(folders.reranker),
        tiny.classifier_entry(folders.classifier),
    ]
    return read_bundle(tiny.write_bundle(tmp_path / "bundle.json", *entries))


@pytest.mark.parametrize("name", [None, "sorter", "test/tiny-classifier"])
def test_a_classifier_scores_texts_and_pairs(three_tasks: Bundle, name: str | None) -> None:
    model, classes = asyncio.run(asked(three_tasks, name, "cat", PAIR))
    logits = np.array([tiny.class_logits("cat"), tiny.class_logits("cat", "rates")])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classes.scores, expected, atol=1e-6)
    assert (model, classes.labels, classes.tokens) == ("sorter", tiny.LABELS, 3 + 5)


def test_a_reranker_that_is_named_classifies_too(three_tasks: Bundle) -> None:
    model, classes = asyncio.run(asked(three_tasks, "ranker"))
    np.testing.assert_allclose(classes.scores, [[1 / (1 + np.exp(-tiny.logit(*PAIR)))]], atol=1e-6)
    assert (model, classes.labels) == ("ranker", ("LABEL_0",))


def test_where_there_is_no_classifier_the_reranker_is_meant(bundle: Bundle) -> None:
    assert asyncio.run(asked(bundle, None))[0] == "ranker"


def test_a_name_of_neither_is_no_classifier_s(three_tasks: Bundle) -> None:
    with pytest.raises(UnknownModelError) as caught:
        asyncio.run(asked(three_tasks, "tiny"))
    assert caught.value.message == "no classifier here is called `tiny`, name `sorter`"
