"""Real clients of each dialect, from the package index, get this server's own numbers and raise their own errors."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.clients.conftest import Outcomes, Run
from tests.clients.programs.outcome import DOCUMENTS, QUERY, TEXTS
from tests.runtime.wire import TOLERANCE, score

Floats = Callable[..., list[list[float]]]


@pytest.fixture(scope="module")
def of_openai(run: Run) -> Outcomes:
    return run("with_openai")


@pytest.fixture(scope="module")
def of_cohere(run: Run) -> Outcomes:
    return run("with_cohere")


@pytest.fixture(scope="module")
def of_langchain(run: Run) -> Outcomes:
    return run("with_langchain")


@pytest.fixture(scope="module")
def of_llama_index(run: Run) -> Outcomes:
    return run("with_llama_index")


@pytest.fixture(scope="module")
def of_huggingface_hub(run: Run) -> Outcomes:
    return run("with_huggingface_hub")


@pytest.fixture(scope="module")
def of_litellm(run: Run) -> Outcomes:
    return run("with_litellm")


def errors_of(outcomes: Outcomes) -> dict[str, str]:
    """Name the class of each error that a client raised."""
    return {
        name: outcome["error"] for name, outcome in outcomes.items() if isinstance(outcome, dict) and "error" in outcome
    }


def assert_ranked(outcome: Any) -> None:
    reference = [(place, score(QUERY, document)) for place, document in enumerate(DOCUMENTS)]
    places, scores = zip(*sorted(reference, key=lambda item: -item[1]), strict=True)
    assert tuple(place for place, _ in outcome) == places
    np.testing.assert_allclose([number for _, number in outcome], scores, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("call", "fields"), [("by default", {}), ("as numbers", {}), ("with user", {}), ("shorter", {"dimensions": 16})]
)
def test_openai_gets_our_numbers(of_openai: Outcomes, floats: Floats, call: str, fields: dict[str, int]) -> None:
    assert of_openai[call]["vectors"] == floats(TEXTS, **fields)


def test_openai_gets_the_numbers_of_token_ids(of_openai: Outcomes, floats: Floats) -> None:
    assert of_openai["of ids"] == {"vectors": floats([[2, 10, 3], [2, 11, 3]]), "tokens": 6}


def test_openai_lists_the_models(of_openai: Outcomes) -> None:
    assert (of_openai["models"], of_openai["model"]) == (["tiny", "ranker"], "ranker")


def test_openai_raises_its_own_errors(of_openai: Outcomes) -> None:
    assert errors_of(of_openai) == {
        "wrong key": "AuthenticationError",
        "unknown model": "NotFoundError",
        "unknown width": "BadRequestError",
        "ids of tiktoken": "BadRequestError",
        "nothing": "BadRequestError",
        "too long": "APIStatusError",
    }


def test_cohere_gets_our_numbers(of_cohere: Outcomes, floats: Floats) -> None:
    assert of_cohere["embed"]["float"] == floats(TEXTS)
    assert of_cohere["embed a query"]["float"] == floats(TEXTS, prompt_name="query", dimensions=16)


def test_cohere_gets_each_type(of_cohere: Outcomes, floats: Floats) -> None:
    vectors = np.array(floats(TEXTS), dtype="<f4")
    outcome = of_cohere["embed in types"]
    assert outcome["float"] == vectors.tolist()
    assert outcome["base64"] == [base64.b64encode(row.tobytes()).decode() for row in vectors]
    assert outcome["ubinary"] == np.packbits(vectors > 0, axis=1).tolist()
    assert outcome["binary"] == (np.packbits(vectors > 0, axis=1).astype(int) - 128).tolist()


def test_cohere_is_told_what_was_cut(of_cohere: Outcomes) -> None:
    warnings = ["1 of the texts had more tokens than are read of one, and were cut"]
    assert [of_cohere[call]["warnings"] for call in ("embed", "embed a long text")] == [None, warnings]


@pytest.mark.parametrize("call", ["rerank", "rerank in version 1"])
def test_cohere_gets_our_ranking(of_cohere: Outcomes, call: str) -> None:
    assert_ranked(of_cohere[call])


def test_cohere_gets_its_documents_back(of_cohere: Outcomes) -> None:
    assert of_cohere["rerank objects"] == [{"text": DOCUMENTS[1], "number": 1}]


def test_cohere_raises_its_own_errors(of_cohere: Outcomes) -> None:
    assert errors_of(of_cohere) == {
        "wrong key": "UnauthorizedError",
        "unknown model": "NotFoundError",
        "scaled bytes": "BadRequestError",
        "too long": "BadRequestError",
    }


def test_langchain_gets_our_numbers_when_it_sends_text(of_langchain: Outcomes, floats: Floats) -> None:
    assert of_langchain["documents"] == floats(TEXTS)
    assert of_langchain["query"] == floats(TEXTS[:1])[0]
    assert of_langchain["shorter"] == floats(TEXTS, dimensions=16)


def test_langchain_is_told_that_its_default_sends_ids_of_another_tokenizer(of_langchain: Outcomes) -> None:
    assert errors_of(of_langchain) == {"by default": "BadRequestError", "wrong key": "AuthenticationError"}
    assert "send text, or ids of this model's own tokenizer" in of_langchain["by default"]["message"]


@pytest.mark.parametrize("dialect", ["TEI", "OpenAI"])
def test_llama_index_gets_our_numbers(of_llama_index: Outcomes, floats: Floats, dialect: str) -> None:
    assert of_llama_index[f"texts of {dialect}"] == floats(TEXTS)


def test_llama_index_gets_our_numbers_of_a_query(of_llama_index: Outcomes, floats: Floats) -> None:
    assert of_llama_index["query of TEI"] == floats(["search query: rates"])[0]
    assert of_llama_index["query of OpenAI"] == floats(TEXTS[:1])[0]


def test_llama_index_gets_our_ranking(of_llama_index: Outcomes) -> None:
    assert_ranked(of_llama_index["rerank of TEI"])


def test_llama_index_raises_openais_errors(of_llama_index: Outcomes) -> None:
    assert errors_of(of_llama_index) == {"wrong key": "AuthenticationError"}


@pytest.mark.parametrize("call", ["at the root", "at a path"])
def test_huggingface_hub_gets_our_numbers(of_huggingface_hub: Outcomes, floats: Floats, call: str) -> None:
    assert of_huggingface_hub[call] == floats(TEXTS)


def test_huggingface_hub_chooses_a_prompt(of_huggingface_hub: Outcomes, floats: Floats) -> None:
    assert of_huggingface_hub["with fields"] == floats(["rates"], prompt_name="query")


def test_huggingface_hub_compares_sentences(of_huggingface_hub: Outcomes, floats: Floats) -> None:
    first, second = np.array(floats(TEXTS))
    np.testing.assert_allclose(of_huggingface_hub["similarity"], [1, first @ second], atol=TOLERANCE)


def test_huggingface_hub_reads_the_state_of_the_server(of_huggingface_hub: Outcomes) -> None:
    assert (of_huggingface_hub["info"], of_huggingface_hub["health"]) == ("test/tiny-embedder", True)


def test_huggingface_hub_raises_its_own_errors(of_huggingface_hub: Outcomes) -> None:
    assert errors_of(of_huggingface_hub) == {"wrong key": "HfHubHTTPError", "empty": "BadRequestError"}
    assert "`inputs`: text `0` is empty" in of_huggingface_hub["empty"]["message"]


@pytest.mark.parametrize("provider", ["openai", "cohere", "jina", "infinity", "vllm"])
def test_litellm_gets_our_numbers_as_each_provider(of_litellm: Outcomes, floats: Floats, provider: str) -> None:
    assert of_litellm[f"embed as {provider}"] == floats(TEXTS)


@pytest.mark.parametrize("provider", ["cohere", "jina", "vllm", "huggingface"])
def test_litellm_gets_our_ranking_as_each_provider(of_litellm: Outcomes, provider: str) -> None:
    assert_ranked(of_litellm[f"rerank as {provider}"])


def test_litellm_raises_its_own_errors(of_litellm: Outcomes) -> None:
    assert errors_of(of_litellm) == {
        "wrong key": "AuthenticationError",
        "unknown model": "NotFoundError",
        "nothing": "BadRequestError",
    }
