"""What the routes of text-embeddings-inference (TEI) answer over HTTP."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from runtime import __version__
from tests.runtime import tiny
from tests.runtime.conftest import Folders
from tests.runtime.server import Server, running_server
from tests.runtime.wire import TOLERANCE, native_error, score, status_and_body

TEXTS = ["The cat sits on the warm windowsill.", "rates"]
LONG = "cat " * 30 + "rates"  # 31 tokens and two special ones, of which 24 are read


@pytest.mark.parametrize("path", ["/embed", "/"])
def test_vectors_come_as_a_bare_list(server: Server, path: str) -> None:
    answer = server.post(path, {"inputs": TEXTS})
    np.testing.assert_allclose(answer.body, [tiny.embedding(text) for text in TEXTS], atol=TOLERANCE)


def test_one_text_is_a_list_of_one(server: Server) -> None:
    assert server.post("/embed", {"inputs": "rates"}).body == server.post("/embed", {"inputs": ["rates"]}).body


def test_token_ids_are_embedded(server: Server) -> None:
    ids = [tiny.CLS, *tiny.ids_of("rates"), tiny.SEP]
    assert server.post("/embed", {"inputs": ids}).body == server.post("/embed", {"inputs": "rates"}).body


def test_every_field_of_embed_is_heeded(server: Server) -> None:
    answer = server.post(
        "/embed", {"inputs": "rates", "prompt_name": "query", "dimensions": 16, "normalize": False, "model": "tiny"}
    )
    ids = [tiny.CLS, *tiny.ids_of("search query: rates"), tiny.SEP]
    np.testing.assert_allclose(answer.body, [tiny.states(ids).mean(axis=0)[:16]], atol=TOLERANCE)


@pytest.mark.parametrize(("direction", "kept"), [("Right", "cat " * 22), ("left", "cat " * 21 + "rates")])
def test_a_long_text_loses_the_side_that_is_named(server: Server, direction: str, kept: str) -> None:
    answer = server.post("/embed", {"inputs": LONG, "truncation_direction": direction})
    np.testing.assert_allclose(answer.body, [tiny.embedding(kept)], atol=TOLERANCE)


def test_a_long_text_is_refused_when_it_may_not_be_cut(server: Server) -> None:
    answer = server.post("/embed", {"inputs": LONG, "truncate": False})
    assert status_and_body(answer) == (422, native_error("text `0` has `33` tokens, and `tiny` reads `24`"))


def test_what_a_request_cost_is_in_its_headers(server: Server) -> None:
    headers = server.post("/embed", {"inputs": ["cat", LONG]}).headers
    names = ("x-compute-type", "x-compute-characters", "x-compute-tokens", "x-truncated")
    assert [headers[name] for name in names] == ["cpu", "128", "27", "1"]
    assert float(headers["x-total-time"]) > 0


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"inputs": []}, 400, native_error("`inputs`: there is nothing in it", error_type="Empty")),
        ({"inputs": ["cat", ""]}, 400, native_error("`inputs`: text `1` is empty", error_type="Empty")),
        (
            {"inputs": "cat", "dimensions": 5},
            422,
            native_error("`dimensions`: `5` is not among this model's dimensions: 32, 16"),
        ),
        (
            {"inputs": [[99]]},
            422,
            native_error(
                "`inputs`: token id `99` is none of this model's `29`; send text, or ids of this model's own tokenizer"
            ),
        ),
        (
            {"inputs": "cat", "model": "ranker"},
            404,
            native_error("`model`: no embedding model here is called `ranker`, name `tiny`"),
        ),
    ],
)
def test_what_is_wrong_with_an_embed_request_is_said(server: Server, body: object, status: int, error: object) -> None:
    assert status_and_body(server.post("/embed", body)) == (status, error)


def test_texts_are_ranked_in_teis_shape(server: Server) -> None:
    ranked = server.post("/rerank", {"query": "cat", "texts": ["rates", "cat"], "return_text": True}).body
    scores = [item.pop("score") for item in ranked]
    assert ranked == [{"index": 1, "text": "cat"}, {"index": 0, "text": "rates"}]
    reference = [score("cat", text) for text in ("cat", "rates")]
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


def test_the_side_of_a_pair_that_goes_is_named_too(server: Server) -> None:
    cut = server.post("/rerank", {"query": "cat", "texts": ["rates " * 40 + "cat"], "truncation_direction": "Left"})
    kept = server.post("/rerank", {"query": "cat", "texts": ["rates " * 27 + "cat"]})
    assert (cut.body, cut.headers["x-truncated"]) == (kept.body, "1")


@pytest.mark.parametrize(
    ("inputs", "pairs"),
    [
        (["cat", "rates"], None),
        ([["cat", "rates"], ["rates", "cat"]], [("cat", "rates"), ("rates", "cat")]),
        ([["cat", "rates"]], [("cat", "rates")]),
    ],
)
def test_pairs_are_predicted_with_the_one_label(
    server: Server, inputs: object, pairs: list[tuple[str, str]] | None
) -> None:
    answer = server.post("/predict", {"inputs": inputs}).body
    rows = [answer] if pairs is None else answer
    assert [[item["label"] for item in row] for row in rows] == [["LABEL_0"]] * len(rows)
    reference = [[score(*pair)] for pair in pairs or [("cat", "rates")]]
    np.testing.assert_allclose([[item["score"] for item in row] for row in rows], reference, atol=TOLERANCE)


def test_raw_predictions_are_logits(server: Server) -> None:
    ((item,),) = server.post("/predict", {"inputs": [["cat", "rates"]], "raw_scores": True}).body
    assert item["score"] == pytest.approx(tiny.logit("cat", "rates"), abs=1e-5)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (
            {"inputs": "cat"},
            422,
            native_error("`inputs`: this model takes pairs of texts, and not a text alone"),
        ),
        (
            {"inputs": ["a", "b", "c"]},
            422,
            native_error("`inputs`: `3` texts are neither one nor a pair; a batch is a list of lists"),
        ),
        (
            {"inputs": ["a", ["b", "c"]]},
            422,
            native_error("`inputs`: a batch holds lists of one or two texts, and nothing else"),
        ),
        ({"inputs": []}, 400, native_error("`inputs`: there is nothing in it", error_type="Empty")),
        (
            {"inputs": ["a", "b"], "truncation_direction": "Left"},
            422,
            native_error("`truncation_direction`: what is scored is cut at its end"),
        ),
    ],
)
def test_what_cannot_be_predicted_is_refused(server: Server, body: object, status: int, error: object) -> None:
    assert status_and_body(server.post("/predict", body)) == (status, error)


def test_similarity_is_the_cosine(server: Server) -> None:
    inputs = {"source_sentence": "cat", "sentences": ["rates", "The cat sits.", "cat"]}
    answer = server.post("/similarity", {"inputs": inputs, "parameters": {"prompt_name": "query"}})
    source, *others = [tiny.embedding(f"search query: {text}") for text in ("cat", *inputs["sentences"])]
    np.testing.assert_allclose(answer.body, [source @ other for other in others], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (
            {"inputs": {"source_sentence": "", "sentences": ["a"]}},
            400,
            native_error("`inputs.source_sentence`: text `0` is empty", error_type="Empty"),
        ),
        (
            {"inputs": {"source_sentence": "a", "sentences": []}},
            400,
            native_error("`inputs.sentences`: there is nothing in it", error_type="Empty"),
        ),
        (
            {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {"prompt_name": "no"}},
            422,
            native_error("`parameters.prompt_name`: `no` is not among this model's prompts: query"),
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(server: Server, body: object, status: int, error: object) -> None:
    assert status_and_body(server.post("/similarity", body)) == (status, error)


def test_tokens_come_with_their_places_in_bytes(server: Server) -> None:
    answer = server.post("/tokenize", {"inputs": "Käse, cat"})
    unknown = {"id": tiny.UNK, "special": False}
    assert answer.body == [
        [
            {"id": tiny.CLS, "text": "[CLS]", "special": True, "start": None, "stop": None},
            {**unknown, "text": "Käse", "start": 0, "stop": 5},
            {**unknown, "text": ",", "start": 5, "stop": 6},
            {"id": tiny.VOCABULARY["cat"], "text": "cat", "special": False, "start": 7, "stop": 10},
            {"id": tiny.SEP, "text": "[SEP]", "special": True, "start": None, "stop": None},
        ]
    ]


def test_tokens_are_those_that_are_embedded(server: Server) -> None:
    (tokens,) = server.post("/tokenize", {"inputs": "rates", "prompt_name": "query"}).body
    by_ids = server.post("/embed", {"inputs": [[token["id"] for token in tokens]]})
    assert by_ids.body == server.post("/embed", {"inputs": "rates", "prompt_name": "query"}).body


def test_a_rerankers_tokens_are_listed_too(server: Server) -> None:
    answer = server.post("/tokenize", {"inputs": ["cat"], "model": "ranker", "add_special_tokens": False})
    assert [[token["text"] for token in tokens] for tokens in answer.body] == [["cat"]]


@pytest.mark.parametrize(("ids", "texts"), [([2, 24, 3], ["[CLS] the [SEP]"]), ([[24], [24, 4]], ["the", "the ."])])
def test_ids_become_text(server: Server, ids: object, texts: list[str]) -> None:
    assert server.post("/decode", {"ids": ids, "skip_special_tokens": False}).body == texts


@pytest.mark.parametrize("path", ["/tokenize", "/decode"])
def test_tokens_of_an_unknown_model_are_not_found(server: Server, path: str) -> None:
    answer = server.post(path, {"inputs": "cat", "ids": [1], "model": "gpt"})
    message = "`model`: no model here is called `gpt`, name one of `tiny`, `ranker`"
    assert status_and_body(answer) == (404, native_error(message))


def test_a_prompt_that_a_reranker_does_not_have_is_refused(server: Server) -> None:
    answer = server.post("/tokenize", {"inputs": "cat", "model": "ranker", "prompt_name": "query"})
    assert status_and_body(answer) == (
        422,
        native_error("`prompt_name`: `query` is not among this model's prompts: it has none"),
    )


def test_info_describes_the_embedding_model_and_the_limits(server: Server) -> None:
    assert status_and_body(server.request("GET", "/info")) == (
        200,
        {
            "model_id": "test/tiny-embedder",
            "model_sha": "0" * 40,
            "model_dtype": None,
            "served_model_name": "tiny",
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_input_length": 24,
            "max_batch_tokens": 512,
            "max_client_batch_size": 64,
            "payload_limit": 100000,
            "auto_truncate": True,
            "dimensions": [32, 16],
            "prompts": ["query"],
            "version": __version__,
            "models": ["tiny", "ranker"],
            "optimization": None,
        },
    )


def test_info_describes_the_model_that_is_named(server: Server) -> None:
    body = server.request("GET", "/info?model=ranker").body
    assert (body["model_id"], body["model_type"]) == (
        "test/tiny-reranker",
        {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
    )


@pytest.fixture(scope="module")
def sorter(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a classifier alone."""
    file = tmp_path_factory.mktemp("sorter") / "bundle.json"
    with running_server(tiny.write_bundle(file, tiny.classifier_entry(folders.classifier))) as server:
        yield server


@pytest.mark.parametrize(
    ("inputs", "texts"),
    [
        ("cat", [("cat",)]),
        (["cat", "rates"], [("cat", "rates")]),
        ([["cat"], ["rates", "cat"]], [("cat",), ("rates", "cat")]),
    ],
)
def test_every_label_is_predicted_the_best_first(sorter: Server, inputs: object, texts: list[tuple[str, ...]]) -> None:
    answer = sorter.post("/predict", {"inputs": inputs}).body
    rows = answer if len(texts) > 1 else [answer]
    expected = [np.exp(tiny.class_logits(*each)) / np.exp(tiny.class_logits(*each)).sum() for each in texts]
    ranked = [sorted(zip(tiny.LABELS, row, strict=True), key=lambda pair: -pair[1]) for row in expected]
    assert [[item["label"] for item in row] for row in rows] == [[label for label, _ in row] for row in ranked]
    scores = [[item["score"] for item in row] for row in rows]
    np.testing.assert_allclose(scores, [[score for _, score in row] for row in ranked], atol=TOLERANCE)


def test_info_names_the_labels_of_a_classifier(sorter: Server) -> None:
    names = {str(number): label for number, label in enumerate(tiny.LABELS)}
    numbers = {label: number for number, label in enumerate(tiny.LABELS)}
    assert sorter.request("GET", "/info").body["model_type"] == {"classifier": {"id2label": names, "label2id": numbers}}


def test_a_classifier_ranks_nothing(sorter: Server) -> None:
    answer = sorter.post("/rerank", {"query": "cat", "texts": ["rates"]})
    assert status_and_body(answer) == (404, native_error("`model`: there is no reranker here"))


def test_a_classifier_s_tokenizer_is_asked_without_a_name(sorter: Server) -> None:
    (tokens,) = sorter.post("/tokenize", {"inputs": "cat"}).body
    assert [token["id"] for token in tokens] == [tiny.CLS, *tiny.ids_of("cat"), tiny.SEP]


@pytest.fixture(scope="module")
def other_models(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    bundle = tiny.write_bundle(
        tmp_path_factory.mktemp("others") / "bundle.json",
        tiny.classifier_entry(folders.classifier),
        tiny.reranker_entry(folders.reranker, prompts={"cats": "cat "}),
    )
    with running_server(bundle) as server:
        yield server


def test_a_reranker_s_prompt_is_chosen_by_its_name(other_models: Server) -> None:
    def ranked(**fields: object) -> list[Any]:
        bare = other_models.post("/rerank", {"texts": ["The cat sits.", "interest"], **fields}).body
        return [
            bare,
            other_models.post("/rerank", {"documents": ["The cat sits.", "interest"], **fields}).body["results"],
        ]

    assert ranked(query="rates", prompt_name="cats") == ranked(query="cat rates")
