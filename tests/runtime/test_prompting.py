from pathlib import Path

import msgspec
import pytest

from runtime.bundle import Model
from runtime.errors import InvalidError
from runtime.prompting import Prompt, Purpose, choose, prompt_for
from tests.runtime import tiny

# the names of prompts as the models' own files have them
GEMMA = "query document BitextMining Clustering Classification STS Summarization".split()
E5 = ["query", "passage"]
NOMIC = ["search_query", "search_document", "classification", "clustering"]
JINA_V3 = ["retrieval.query", "retrieval.passage", "separation", "classification", "text-matching"]
ARCTIC = ["query"]


def model_with(prompts: list[str], tmp_path: Path, default: str | None = None) -> Model:
    entry = tiny.embedder_entry(tmp_path, prompts=dict.fromkeys(prompts, "text: "), default_prompt=default)
    return msgspec.convert(entry, Model)


@pytest.mark.parametrize(
    ("prompts", "meant"),
    [
        (GEMMA, ["query", "document", "Classification", "Clustering", "STS"]),
        (E5, ["query", "passage", "", "", ""]),
        (NOMIC, ["search_query", "search_document", "classification", "clustering", ""]),
        (JINA_V3, ["retrieval.query", "retrieval.passage", "classification", "separation", "text-matching"]),
        (ARCTIC, ["query", "", "", "", ""]),
        ([], ["", "", "", "", ""]),
    ],
)
def test_a_purpose_means_the_prompt_of_its_name(prompts: list[str], meant: list[str], tmp_path: Path) -> None:
    purposes: list[Purpose] = ["search_query", "search_document", "classification", "clustering", "similarity"]
    model = model_with(prompts, tmp_path)
    assert [prompt_for(model, purpose) for purpose in purposes] == meant


def test_a_document_does_not_get_a_default_prompt_that_is_for_queries(tmp_path: Path) -> None:
    assert prompt_for(model_with(["query"], tmp_path, default="query"), "search_document") == ""


def decided(**changes: object) -> Model:
    return msgspec.convert(tiny.embedder_entry(Path("/models/tiny"), **changes), Model)


TWO = {"prompts": {"query": "Q: ", "passage": ""}, "default_prompt": "passage", "adapters": {"query": 1, "passage": 4}}


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        (None, Prompt(text="", adapter=4)),
        ("query", Prompt(text="Q: ", adapter=1)),
        ("passage", Prompt(text="", adapter=4)),
        ("", Prompt(text="", adapter=4)),
    ],
)
def test_a_name_means_a_text_and_an_adapter(name: str | None, prompt: Prompt) -> None:
    assert choose(decided(**TWO), name=name) == prompt


def test_without_a_default_there_is_none() -> None:
    assert choose(decided(), name=None) == Prompt(text="", adapter=0)


@pytest.mark.parametrize(("changes", "known"), [(TWO, "query, passage"), ({"prompts": {}}, "it has none")])
def test_a_name_that_is_not_known_is_answered_with_those_that_are(changes: dict[str, object], known: str) -> None:
    with pytest.raises(InvalidError) as caught:
        choose(decided(**changes), name="cluster")
    assert caught.value.message == f"`cluster` is not among this model's prompts: {known}"
    assert caught.value.param == "prompt_name"
