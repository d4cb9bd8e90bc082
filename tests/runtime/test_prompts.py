from pathlib import Path

import msgspec
import pytest

from runtime.bundle import Model
from runtime.errors import InvalidError
from runtime.prompts import Prompt, choose
from tests.runtime import tiny


def model(**changes: object) -> Model:
    return msgspec.convert(tiny.embedder_entry(Path("/models/tiny"), **changes), Model)


TWO = {"prompts": {"query": "Q: ", "passage": ""}, "default_prompt": "passage", "adapters": {"query": 1, "passage": 4}}


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        (None, Prompt(text="", adapter=4)),
        ("query", Prompt(text="Q: ", adapter=1)),
        ("passage", Prompt(text="", adapter=4)),
    ],
)
def test_a_name_means_a_text_and_an_adapter(name: str | None, prompt: Prompt) -> None:
    assert choose(model(**TWO), name=name) == prompt


def test_without_a_default_there_is_none() -> None:
    assert choose(model(), name=None) == Prompt(text="", adapter=0)


@pytest.mark.parametrize(("changes", "known"), [(TWO, "query, passage"), ({"prompts": {}}, "it has none")])
def test_a_name_that_is_not_known_is_answered_with_those_that_are(changes: dict[str, object], known: str) -> None:
    with pytest.raises(InvalidError) as caught:
        choose(model(**changes), name="cluster")
    assert caught.value.message == f"`cluster` is not among this model's prompts: {known}"
    assert caught.value.param == "prompt_name"
