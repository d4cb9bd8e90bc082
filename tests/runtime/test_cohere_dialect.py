"""What Cohere's routes answer over HTTP, and Jina's rerank."""

import base64
import json
import uuid

import numpy as np
import pytest

from tests.runtime import tiny
from tests.runtime.server import Server
from tests.runtime.wire import TOLERANCE, cohere_error, score, status_and_body


@pytest.mark.parametrize(("path", "version"), [("/rerank", "1"), ("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_documents_are_ranked_in_coheres_and_jinas_shape(server: Server, path: str, version: str) -> None:
    asked = {"model": "ranker", "query": "interest", "documents": ["cat", "rates", "interest"]}
    body = server.post(path, asked).body
    scores = [item.pop("relevance_score") for item in body["results"]]
    assert str(uuid.UUID(body.pop("id"))) != ""
    assert body == {
        "model": "ranker",
        "results": [{"index": 2}, {"index": 0}, {"index": 1}],
        "meta": {
            "api_version": {"version": version},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": 15, "output_tokens": 0},
        },
        "usage": {"prompt_tokens": 15, "total_tokens": 15},
    }
    reference = [score("interest", document) for document in ("interest", "cat", "rates")]
    np.testing.assert_allclose(scores, reference, atol=TOLERANCE)


def test_documents_are_returned_when_asked_for(server: Server) -> None:
    asked = {"query": "cat", "documents": ["rates", {"text": "cat"}], "return_documents": True, "top_n": 1}
    (result,) = server.post("/v1/rerank", asked).body["results"]
    assert (result["index"], result["document"]) == (1, {"text": "cat"})


def test_an_object_comes_back_as_it_was(server: Server) -> None:
    document = b'{"id": 123456789012345678901234567890, "text": "cat", "tags": [1.0, null, {"a": "\\u00e9"}]}'
    body = b'{"query": "cat", "return_documents": true, "documents": [%s]}' % document
    (result,) = server.post_bytes("/v1/rerank", body).body["results"]
    assert result["document"] == json.loads(document)


def test_the_fields_of_a_document_that_are_named_are_read_in_their_order(server: Server) -> None:
    documents = [{"title": "rates", "author": "cat", "text": "sits"}, {"author": "interest"}]
    answer = server.post(
        "/v1/rerank", {"query": "cat", "documents": documents, "rank_fields": ["author", "title"], "raw_scores": True}
    )
    scores = {item["index"]: item["relevance_score"] for item in answer.body["results"]}
    reference = [tiny.logit("cat", "cat rates"), tiny.logit("cat", "interest")]
    np.testing.assert_allclose([scores[0], scores[1]], reference, atol=1e-5)


def test_a_document_is_cut_to_the_tokens_that_are_asked_for(server: Server) -> None:
    cut = server.post("/v2/rerank", {"query": "cat", "documents": ["rates cat cat"], "max_tokens_per_doc": 1}).body
    (whole,) = server.post("/v2/rerank", {"query": "cat", "documents": ["rates"]}).body["results"]
    assert cut["results"] == [whole]
    assert cut["meta"]["warnings"] == ["1 of the texts had more tokens than are read of one, and were cut"]


def test_searches_are_counted_by_the_hundred(server: Server) -> None:
    body = {"query": "cat", "documents": ["rates"] * 64}
    assert server.post("/v2/rerank", body).body["meta"]["billed_units"] == {"search_units": 1}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"documents": ["a"]}, 400, cohere_error("Object missing required field `query`")),
        ({"query": "a", "documents": []}, 400, cohere_error("`documents`: there is nothing in it")),
        ({"query": "", "documents": ["a"]}, 400, cohere_error("`query`: the query is empty")),
        (
            {"query": "a", "documents": ["a", {"title": "b"}]},
            400,
            cohere_error("`documents[1]`: Object missing required field `text`"),
        ),
        (
            {"query": "a", "documents": [{"text": 1}]},
            400,
            cohere_error("`documents[0].text`: Expected `str`, got `int`"),
        ),
        (
            {"query": "a", "documents": ["a"], "relevant_spans": {"max_spans": 1}},
            400,
            cohere_error("`relevant_spans`: no spans are found here, only documents are scored"),
        ),
        (
            {"query": "a", "documents": ["a"], "model": "rerank-v3.5"},
            404,
            cohere_error("`model`: no reranker here is called `rerank-v3.5`, name `ranker`"),
        ),
    ],
)
def test_what_is_wrong_with_a_rerank_request_is_said_as_cohere_does(
    server: Server, body: object, status: int, error: object
) -> None:
    assert status_and_body(server.post("/v2/rerank", body)) == (status, error)


def test_vectors_come_in_each_type_that_is_asked_for(server: Server) -> None:
    asked = {"model": "tiny", "texts": ["rates"], "embedding_types": ["float", "base64", "binary", "ubinary"]}
    body = server.post("/v2/embed", asked).body
    vectors = body.pop("embeddings")
    assert str(uuid.UUID(body.pop("id"))) != ""
    assert body == {
        "response_type": "embeddings_by_type",
        "texts": ["rates"],
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"input_tokens": 3},
            "tokens": {"input_tokens": 3, "output_tokens": 0},
        },
    }
    np.testing.assert_allclose(vectors["float"], [tiny.embedding("rates")], atol=TOLERANCE)
    decoded = np.frombuffer(base64.b64decode(vectors["base64"][0]), dtype="<f4")
    np.testing.assert_array_equal(decoded, np.array(vectors["float"][0], dtype=np.float32))
    unsigned = np.packbits(tiny.embedding("rates") > 0)
    assert vectors["ubinary"] == [unsigned.tolist()]
    assert vectors["binary"] == [(unsigned.astype(int) - 128).tolist()]


def test_floats_come_when_no_type_is_named(server: Server) -> None:
    assert list(server.post("/v2/embed", {"texts": ["rates"]}).body["embeddings"]) == ["float"]


@pytest.mark.parametrize(("input_type", "prompt"), [("search_query", "search query: "), ("search_document", "")])
def test_the_kind_of_input_chooses_a_prompt(server: Server, input_type: str, prompt: str) -> None:
    asked = {"texts": ["rates"], "input_type": input_type, "output_dimension": 16}
    vectors = server.post("/v2/embed", asked).body["embeddings"]["float"]
    np.testing.assert_allclose(vectors, [tiny.embedding(f"{prompt}rates", dimensions=16)], atol=TOLERANCE)


@pytest.mark.parametrize(("truncate", "kept"), [("END", "cat " * 22), ("START", "cat " * 21 + "rates")])
def test_a_long_text_loses_the_end_that_is_named(server: Server, truncate: str, kept: str) -> None:
    body = server.post("/v2/embed", {"texts": ["cat " * 30 + "rates"], "truncate": truncate}).body
    np.testing.assert_allclose(body["embeddings"]["float"], [tiny.embedding(kept)], atol=TOLERANCE)
    assert body["meta"]["warnings"] == ["1 of the texts had more tokens than are read of one, and were cut"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"truncate": "NONE", "texts": ["cat " * 30]},
            "text `0` has `32` tokens, and `tiny` reads `24`",
        ),
        (
            {"embedding_types": ["float", "int8"]},
            "`embedding_types`: `int8` needs the range of each dimension, and no image holds it; `binary` does not",
        ),
        ({"input_type": "image"}, "`input_type`: images are not read here, send `texts`"),
        ({"images": ["data:image/png;base64,"]}, "`images`: images are not read here, send `texts`"),
        ({"inputs": [{"content": []}]}, "`inputs`: mixed inputs are not read here, send `texts`"),
        ({"texts": None}, "Object missing required field `texts`"),
        ({"texts": ["a", ""]}, "`texts`: text `1` is empty"),
        ({"max_tokens": 5}, "`max_tokens`: texts are cut at `24` tokens, and not before"),
        ({"output_dimension": 5}, "`output_dimension`: `5` is not among this model's dimensions: 32, 16"),
    ],
)
def test_what_cannot_be_done_is_refused(server: Server, fields: dict[str, object], error: str) -> None:
    assert status_and_body(server.post("/v2/embed", {"texts": ["a"], **fields})) == (400, cohere_error(error))
