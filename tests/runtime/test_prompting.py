from pathlib import Path

import msgspec
import pytest

from runtime.bundle import Model
from runtime.prompting import Purpose, prompt_for
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
