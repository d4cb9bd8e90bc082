"""What OpenAI's routes answer over HTTP, with Jina's fields."""

import base64

import numpy as np
import pytest

from tests.runtime import tiny
from tests.runtime.server import Server
from tests.runtime.wire import TOLERANCE, openai_error, status_and_body

TEXTS = ["The cat sits on the warm windowsill.", "rates"]
CARDS = [
    {
        "id": "tiny",
        "object": "model",
        "created": 0,
        "owned_by": "test",
        "task": "embedding",
        "source": "test/tiny-embedder",
        "revision": "0" * 40,
        "max_length": 24,
        "dimensions": [32, 16],
        "prompts": ["query"],
    },
    {
        "id": "ranker",
        "object": "model",
        "created": 0,
        "owned_by": "test",
        "task": "reranker",
        "source": "test/tiny-reranker",
        "revision": "1" * 40,
        "max_length": 32,
        "dimensions": [],
        "prompts": [],
    },
]


def test_embeddings_come_in_openais_shape(server: Server) -> None:
    body = server.post("/v1/embeddings", {"model": "tiny", "input": TEXTS}).body
    vectors = [item.pop("embedding") for item in body["data"]]
    assert body == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0}, {"object": "embedding", "index": 1}],
        "model": "tiny",
        "usage": {"prompt_tokens": 13, "total_tokens": 13},
    }
    np.testing.assert_allclose(vectors, [tiny.embedding(text) for text in TEXTS], atol=TOLERANCE)


def test_one_text_is_embedded_as_a_list_of_one_is(server: Server) -> None:
    alone = server.post("/v1/embeddings", {"input": "rates"})
    assert alone.body == server.post("/v1/embeddings", {"input": ["rates"]}).body


def test_base64_holds_the_same_float32(server: Server) -> None:
    numbers = server.post("/v1/embeddings", {"input": "rates"}).body["data"][0]["embedding"]
    encoded = server.post("/v1/embeddings", {"input": "rates", "encoding_format": "base64"}).body
    decoded = np.frombuffer(base64.b64decode(encoded["data"][0]["embedding"]), dtype="<f4")
    np.testing.assert_array_equal(decoded, np.array(numbers, dtype=np.float32))


def test_fewer_dimensions_are_cut_and_normalised(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": "rates", "dimensions": 16})
    reference = tiny.embedding("rates", dimensions=16)
    np.testing.assert_allclose(answer.body["data"][0]["embedding"], reference, atol=TOLERANCE)


def test_a_prompt_is_chosen_by_its_name(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": "rates", "prompt_name": "query"})
    reference = tiny.embedding("search query: rates")
    np.testing.assert_allclose(answer.body["data"][0]["embedding"], reference, atol=TOLERANCE)


def test_null_is_absent(server: Server) -> None:
    fields = ("model", "encoding_format", "dimensions", "prompt_name", "user")
    answer = server.post("/v1/embeddings", {"input": "rates", **dict.fromkeys(fields)})
    assert answer.body == server.post("/v1/embeddings", {"input": "rates"}).body


def test_truncated_texts_are_counted_in_a_header(server: Server) -> None:
    cut = server.post("/v1/embeddings", {"input": ["cat", "cat " * 99]})
    whole = server.post("/v1/embeddings", {"input": ["cat"]})
    assert (cut.headers["x-truncated"], "x-truncated" in whole.headers) == ("1", False)


@pytest.mark.parametrize(
    ("request_body", "status", "error"),
    [
        ({"input": ""}, 400, openai_error("text `0` is empty", param="input")),
        ({"input": ["a", ""]}, 400, openai_error("text `1` is empty", param="input")),
        ({"input": []}, 400, openai_error("there is nothing in it", param="input")),
        ({"input": [[]]}, 400, openai_error("text `0` is empty", param="input")),
        (
            {"input": ["a", 1]},
            400,
            openai_error("a list holds texts, lists of token ids, or the token ids of one text", param="input"),
        ),
        ({"input": 1}, 400, openai_error("Expected `str | array`, got `int`", param="input")),
        (
            {"input": ["a"] * 65},
            400,
            openai_error("`65` texts are more than `64`, the limit of a request", param="input"),
        ),
        (
            {"input": "a", "dimensions": 5},
            400,
            openai_error("`5` is not among this model's dimensions: 32, 16", param="dimensions"),
        ),
        (
            {"input": "a", "model": "ranker"},
            404,
            openai_error(
                "no embedding model here is called `ranker`, name `tiny`", param="model", code="model_not_found"
            ),
        ),
    ],
)
def test_what_is_wrong_with_an_embeddings_request_is_said_as_openai_does(
    server: Server, request_body: object, status: int, error: object
) -> None:
    assert status_and_body(server.post("/v1/embeddings", request_body)) == (status, error)


def ids_of(text: str) -> list[int]:
    return [tiny.CLS, *tiny.ids_of(text), tiny.SEP]


def test_token_ids_are_read_as_they_are(server: Server) -> None:
    by_ids = server.post("/v1/embeddings", {"input": [ids_of(text) for text in TEXTS]})
    assert by_ids.body == server.post("/v1/embeddings", {"input": TEXTS}).body


def test_a_flat_list_of_ids_is_one_text(server: Server) -> None:
    by_ids = server.post("/v1/embeddings", {"input": ids_of("rates")})
    assert by_ids.body == server.post("/v1/embeddings", {"input": "rates"}).body


# what tiktoken makes of "hello world" for the models of OpenAI
@pytest.mark.parametrize("ids", [[15339, 1917], [len(tiny.VOCABULARY)], [-1], [2**70]])
def test_ids_of_another_vocabulary_are_refused(server: Server, ids: list[int]) -> None:
    message = f"token id `{ids[0]}` is none of this model's `{len(tiny.VOCABULARY)}`"
    hint = "send text, or ids of this model's own tokenizer"
    assert status_and_body(server.post("/v1/embeddings", {"input": [ids]})) == (
        400,
        openai_error(f"{message}; {hint}", param="input"),
    )


def test_the_path_without_a_version_answers_the_same(server: Server) -> None:
    asked = {"input": TEXTS}
    assert server.post("/embeddings", asked).body == server.post("/v1/embeddings", asked).body


def test_an_empty_name_is_no_prompt(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": "rates", "prompt_name": ""})
    assert answer.body == server.post("/v1/embeddings", {"input": "rates"}).body


def test_jinas_task_chooses_a_prompt(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": [{"text": "rates"}], "task": "retrieval.query"})
    assert answer.body == server.post("/v1/embeddings", {"input": "rates", "prompt_name": "query"}).body


def test_jinas_task_without_a_prompt_of_its_name_has_none(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": "rates", "task": "text-matching"})
    assert answer.body == server.post("/v1/embeddings", {"input": "rates"}).body


def test_bits_are_the_signs_of_the_numbers(server: Server) -> None:
    numbers = server.post("/v1/embeddings", {"input": "rates"}).body["data"][0]["embedding"]
    bits = server.post("/v1/embeddings", {"input": "rates", "embedding_type": "ubinary"}).body["data"][0]["embedding"]
    assert bits == np.packbits(np.array(numbers) > 0).tolist()


def test_vectors_keep_their_length_when_they_shall(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": "rates", "normalized": False})
    states = tiny.states([tiny.CLS, *tiny.ids_of("rates"), tiny.SEP])
    np.testing.assert_allclose(answer.body["data"][0]["embedding"], states.mean(axis=0), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"late_chunking": True},
            openai_error("texts are embedded one by one here, not as chunks of one", param="late_chunking"),
        ),
        (
            {"task": "classification", "prompt_name": "query"},
            openai_error("give `task` or `prompt_name`, not both", param="task"),
        ),
        (
            {"encoding_format": "base64", "embedding_type": "binary"},
            openai_error("give `encoding_format` or `embedding_type`, not both", param="embedding_type"),
        ),
        (
            {"prompt_name": "passage"},
            openai_error("`passage` is not among this model's prompts: query", param="prompt_name"),
        ),
        (
            {"input": "cat " * 99, "truncate": False},
            openai_error("text `0` has `101` tokens, and `tiny` reads `24`"),
        ),
    ],
)
def test_what_cannot_be_done_is_refused(server: Server, fields: dict[str, object], error: object) -> None:
    assert status_and_body(server.post("/v1/embeddings", {"input": "rates", **fields})) == (400, error)


def test_the_models_are_listed(server: Server) -> None:
    answer = server.request("GET", "/v1/models")
    assert status_and_body(answer) == (200, {"object": "list", "data": CARDS})


@pytest.mark.parametrize("name", ["ranker", "test/tiny-reranker", "test%2Ftiny-reranker"])
def test_a_model_is_described_by_name_or_source(server: Server, name: str) -> None:
    assert status_and_body(server.request("GET", f"/v1/models/{name}")) == (200, CARDS[1])


def test_an_unknown_model_is_not_found(server: Server) -> None:
    message = "no model here is called `gpt`, name one of `tiny`, `ranker`"
    assert status_and_body(server.request("GET", "/v1/models/gpt")) == (
        404,
        openai_error(message, param="model", code="model_not_found"),
    )
