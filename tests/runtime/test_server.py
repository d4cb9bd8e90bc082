"""What a real process answers over HTTP."""

import base64
import http.client

import numpy as np
import pytest

from tests.runtime import tiny
from tests.runtime.server import Answer, Server

TOLERANCE = 1e-6
TEXTS = ["The cat sits on the warm windowsill.", "rates"]


def openai_error(message: str, *, param: str | None = None, code: str | None = None) -> dict[str, object]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def native_error(message: str, *, error_type: str = "Validation") -> dict[str, str]:
    return {"error": message, "error_type": error_type, "message": message}


def status_and_body(answer: Answer) -> tuple[int, object]:
    return answer.status, answer.body


def test_health_is_ok_once_models_are_loaded(server: Server) -> None:
    assert status_and_body(server.request("GET", "/health")) == (200, {"status": "ok"})


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
        ({"input": [1, 2]}, 400, openai_error("token ids are not read here, send text", param="input")),
        ({"input": [[1], [2]]}, 400, openai_error("token ids are not read here, send text", param="input")),
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


def sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def test_documents_are_ranked_in_coheres_and_jinas_shape(server: Server) -> None:
    answer = server.post("/rerank", {"model": "ranker", "query": "interest", "documents": ["cat", "rates", "interest"]})
    scores = [item.pop("relevance_score") for item in answer.body["results"]]
    assert answer.body == {
        "model": "ranker",
        "results": [{"index": 2}, {"index": 0}, {"index": 1}],
        "usage": {"prompt_tokens": 15, "total_tokens": 15},
    }
    reference = [sigmoid(tiny.logit("interest", document)) for document in ("interest", "cat", "rates")]
    np.testing.assert_allclose(scores, reference, atol=TOLERANCE)


def test_documents_are_returned_when_asked_for(server: Server) -> None:
    asked = {"query": "cat", "documents": ["rates", {"text": "cat"}], "return_documents": True, "top_n": 1}
    (result,) = server.post("/rerank", asked).body["results"]
    assert (result["index"], result["document"]) == (1, {"text": "cat"})


def test_texts_are_ranked_in_teis_shape(server: Server) -> None:
    ranked = server.post("/rerank", {"query": "cat", "texts": ["rates", "cat"], "return_text": True}).body
    scores = [item.pop("score") for item in ranked]
    assert ranked == [{"index": 1, "text": "cat"}, {"index": 0, "text": "rates"}]
    reference = [sigmoid(tiny.logit("cat", text)) for text in ("cat", "rates")]
    np.testing.assert_allclose(scores, reference, atol=TOLERANCE)


def test_raw_scores_are_logits(server: Server) -> None:
    (item,) = server.post("/rerank", {"query": "cat", "texts": ["rates"], "raw_scores": True}).body
    assert set(item) == {"index", "score"}
    assert item["score"] == pytest.approx(tiny.logit("cat", "rates"), abs=1e-5)


def test_equal_scores_keep_the_order_of_the_documents(server: Server) -> None:
    ranked = server.post("/rerank", {"query": "cat", "texts": ["rates", "cat", "rates", "cat"]}).body
    assert [item["index"] for item in ranked] == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("request_body", "status", "error"),
    [
        ({"documents": ["a"]}, 422, native_error("Object missing required field `query`")),
        ({"query": "a"}, 422, native_error("Object missing required field `documents` (or `texts`)")),
        (
            {"query": "a", "documents": ["a"], "texts": ["a"]},
            422,
            native_error("`texts`: give `documents` or `texts`, not both"),
        ),
        ({"query": "a", "texts": []}, 400, native_error("`texts`: there is nothing in it", error_type="Empty")),
        ({"query": "", "texts": ["a"]}, 400, native_error("`query`: the query is empty", error_type="Empty")),
        ({"query": "a", "texts": ["a", 1]}, 422, native_error("`texts[1]`: Expected `str`, got `int`")),
        ({"query": "a", "documents": ["a"], "top_n": 0}, 422, native_error("`top_n`: Expected `int` >= 1")),
        (
            {"query": "a", "documents": ["a"], "model": "tiny"},
            404,
            native_error("`model`: no reranker here is called `tiny`, name `ranker`"),
        ),
    ],
)
def test_what_is_wrong_with_a_rerank_request_is_said_in_both_dialects(
    server: Server, request_body: object, status: int, error: object
) -> None:
    assert status_and_body(server.post("/rerank", request_body)) == (status, error)


def test_an_unknown_path_under_v1_is_refused_as_openai_does(server: Server) -> None:
    assert status_and_body(server.post("/v1/completions", {})) == (
        404,
        openai_error("there is no `/v1/completions` here", code="unknown_url"),
    )


def test_an_unknown_path_is_refused(server: Server) -> None:
    assert status_and_body(server.request("GET", "/")) == (404, native_error("there is no `/` here"))


def test_another_method_is_refused_with_those_that_are_taken(server: Server) -> None:
    answer = server.request("GET", "/v1/embeddings")
    assert (answer.headers["allow"], *status_and_body(answer)) == (
        "POST",
        405,
        openai_error("`/v1/embeddings` does not take `GET`", code="method_not_allowed"),
    )


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/jsonl"}])
def test_a_body_that_does_not_claim_to_be_json_is_refused(server: Server, headers: dict[str, str]) -> None:
    answer = server.request("POST", "/rerank", b"{}", headers)
    given = headers.get("Content-Type", "")
    assert status_and_body(answer) == (415, native_error(f"send `Content-Type: application/json`, not `{given}`"))


def test_a_charset_beside_the_type_is_taken(server: Server) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert server.request("POST", "/v1/embeddings", b'{"input": "cat"}', headers).status == 200


@pytest.mark.parametrize("path", ["/v1/embeddings", "/rerank"])
def test_a_body_that_is_not_json_is_refused(server: Server, path: str) -> None:
    answer = server.post_bytes(path, b"{")
    assert (answer.status, "the body is not JSON" in str(answer.body)) == (400, True)


def test_a_body_above_the_limit_is_refused_and_still_answered(server: Server) -> None:
    answer = server.post("/v1/embeddings", {"input": "a" * 3_000_000})
    assert status_and_body(answer) == (
        413,
        openai_error("the body is longer than `100000` bytes", code="payload_too_large"),
    )


def test_a_body_of_undeclared_length_is_limited_too(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", "/rerank", iter([b" " * 60_000] * 3), {"Content-Type": "application/json"})
    assert connection.getresponse().status == 413
    connection.close()
