import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from runtime.bundle import Bundle, Model, PoolingMode, Side, read_bundle
from runtime.embedder import Embedder
from runtime.errors import EmptyError, InvalidError, ModelError
from runtime.inference import embed, load, rerank
from runtime.reranker import Reranker
from tests.runtime import reference, tiny
from tests.runtime.conftest import Folders
from tests.runtime.server import environment

TOLERANCE = 1e-6
SCORE_TOLERANCE = 1e-5
TEXTS = [
    "The cat sits on the warm windowsill.",
    "rates",
    "A cat is sitting on a sunny windowsill.",
    "unknown words only",
    "cat",
    "Interest rates rose by a quarter point on Tuesday.",
]
QUERY = "Where does the cat sit?"

BundleOf = Callable[..., Model]


@pytest.fixture
def model_of(tmp_path: Path) -> BundleOf:
    def read(entry: dict[str, Any]) -> Model:
        return read_bundle(tiny.write_bundle(tmp_path / "bundle.json", entry)).models[0]

    return read


def embedder_of(model: Model) -> Embedder:
    return Embedder(model, threads=1)


def vectors(embedder: Embedder, *texts: str) -> NDArray[np.float32]:
    return embed(embedder, texts).vectors


def load_message(model: Model) -> str:
    with pytest.raises(ModelError) as caught:
        load(model, threads=1)
    return str(caught.value)


def test_embeddings_equal_an_independent_computation(embedder: Embedder) -> None:
    reference = [tiny.embedding(text) for text in TEXTS]
    np.testing.assert_allclose(vectors(embedder, *TEXTS), reference, atol=TOLERANCE)


@pytest.mark.parametrize("max_batch_tokens", [1, 20, 40, 4096])
def test_a_batch_of_n_equals_n_singles(bundle: Bundle, max_batch_tokens: int) -> None:
    embedder = embedder_of(bundle.models[0])
    singles = np.concatenate([vectors(embedder, text) for text in TEXTS])
    np.testing.assert_allclose(
        embed(embedder, TEXTS, max_batch_tokens=max_batch_tokens).vectors, singles, atol=TOLERANCE
    )


def test_permuting_texts_permutes_the_rows(embedder: Embedder) -> None:
    order = [3, 0, 5, 1, 4, 2]
    permuted = vectors(embedder, *[TEXTS[position] for position in order])
    np.testing.assert_allclose(permuted, vectors(embedder, *TEXTS)[order], atol=TOLERANCE)


def test_a_longer_neighbour_changes_nothing(embedder: Embedder) -> None:
    np.testing.assert_allclose(vectors(embedder, "cat", TEXTS[5])[:1], vectors(embedder, "cat"), atol=TOLERANCE)


def test_a_matryoshka_cut_is_normalised_again(embedder: Embedder) -> None:
    reference = [tiny.embedding(text, dimensions=16) for text in TEXTS]
    np.testing.assert_allclose(embed(embedder, TEXTS, dimensions=16).vectors, reference, atol=TOLERANCE)


def test_a_width_that_the_model_was_not_trained_for_is_refused(embedder: Embedder) -> None:
    with pytest.raises(InvalidError) as caught:
        embed(embedder, ["cat"], dimensions=8)
    assert (caught.value.message, caught.value.param) == (
        "`8` is not among this model's dimensions: 32, 16",
        "dimensions",
    )


def test_a_prompt_stands_before_each_text(embedder: Embedder) -> None:
    prompted = embed(embedder, ["cat"], prompt_name="query").vectors
    np.testing.assert_array_equal(prompted, vectors(embedder, "search query: cat"))


def test_the_default_prompt_is_used_when_none_is_named(folders: Folders, model_of: BundleOf) -> None:
    defaulting = embedder_of(model_of(tiny.embedder_entry(folders.embedder, default_prompt="query")))
    np.testing.assert_allclose(vectors(defaulting, "cat"), [tiny.embedding("search query: cat")], atol=TOLERANCE)


def test_an_unknown_prompt_is_refused(embedder: Embedder) -> None:
    with pytest.raises(InvalidError) as caught:
        embed(embedder, ["cat"], prompt_name="passage")
    assert (caught.value.message, caught.value.param) == (
        "`passage` is not among this model's prompts: query",
        "prompt_name",
    )


def test_tokens_are_counted_after_the_cut_and_with_special_ones(embedder: Embedder) -> None:
    embeddings = embed(embedder, ["the cat", "cat " * 100])
    assert (embeddings.tokens, embeddings.truncated) == (4 + 24, 1)


def test_an_output_that_is_pooled_in_the_graph_is_taken_as_it_is(folders: Folders, model_of: BundleOf) -> None:
    entry = tiny.embedder_entry(folders.embedder, output="sentence_embedding", pooling=[])
    reference = [tiny.embedding(text) for text in TEXTS]
    np.testing.assert_allclose(vectors(embedder_of(model_of(entry)), *TEXTS), reference, atol=TOLERANCE)


@pytest.mark.parametrize("side", get_args(Side))
@pytest.mark.parametrize("modes", [*([mode] for mode in get_args(PoolingMode)), ["mean", "cls", "lasttoken"]])
def test_every_pooling_equals_an_independent_computation(
    folders: Folders, model_of: BundleOf, modes: list[str], side: str
) -> None:
    width = {"dimensions": [tiny.HIDDEN * len(modes)]}
    entry = tiny.embedder_entry(folders.embedder, pooling=modes, normalize=False, padding_side=side, **width)
    expected = [reference.pooled(tiny.states([tiny.CLS, *tiny.ids_of(text), tiny.SEP]), modes) for text in TEXTS]
    np.testing.assert_allclose(vectors(embedder_of(model_of(entry)), *TEXTS), expected, atol=TOLERANCE)


@pytest.mark.parametrize("side", get_args(Side))
@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_a_prompt_that_is_not_pooled_is_still_read(folders: Folders, model_of: BundleOf, mode: str, side: str) -> None:
    changes = {"pooling": [mode], "include_prompt": False, "normalize": False, "padding_side": side}
    embedder = embedder_of(model_of(tiny.embedder_entry(folders.embedder, **changes)))
    texts = [tiny.ids_of(f"search query: {text}") for text in TEXTS]
    prompt_tokens = len([tiny.CLS, *tiny.ids_of("search query: ")])
    expected = [
        reference.pooled(tiny.states([tiny.CLS, *ids, tiny.SEP]), [mode], skipped=prompt_tokens) for ids in texts
    ]
    np.testing.assert_allclose(embed(embedder, TEXTS, prompt_name="query").vectors, expected, atol=TOLERANCE)


def test_without_a_prompt_everything_is_pooled(folders: Folders, model_of: BundleOf) -> None:
    without = embedder_of(model_of(tiny.embedder_entry(folders.embedder, include_prompt=False)))
    np.testing.assert_allclose(vectors(without, *TEXTS), [tiny.embedding(text) for text in TEXTS], atol=TOLERANCE)


@pytest.mark.parametrize("side", get_args(Side))
@pytest.mark.parametrize("max_batch_tokens", [1, 4096])
def test_a_decoder_gets_its_positions_and_an_empty_cache(
    tmp_path: Path, model_of: BundleOf, side: str, max_batch_tokens: int
) -> None:
    tiny.write_decoder(tmp_path)
    inputs = tiny.token_inputs("input_ids", "attention_mask", "position_ids")
    inputs["past_key_values.0.key"] = {"feed": "zeros", "dtype": "float16", "shape": ["batch", 2, 0, 4]}
    entry = tiny.embedder_entry(tmp_path, inputs=inputs, pooling=["lasttoken"], padding_side=side)
    expected = [reference.unit(tiny.decoder_states([tiny.CLS, *tiny.ids_of(text), tiny.SEP])[-1]) for text in TEXTS]
    together = embed(embedder_of(model_of(entry)), TEXTS, max_batch_tokens=max_batch_tokens).vectors
    np.testing.assert_allclose(together, expected, atol=TOLERANCE)


def test_dense_layers_come_between_pooling_and_the_unit_length(tmp_path: Path, model_of: BundleOf) -> None:
    tiny.write_embedder(tmp_path)
    random = np.random.default_rng(3)
    wide, bias = random.normal(size=(48, 32)).astype(np.float32) / 8, random.normal(size=48).astype(np.float32)
    narrow = random.normal(size=(24, 48)).astype(np.float32) / 8
    save_file({"linear.weight": wide, "linear.bias": bias}, tmp_path / "2.safetensors")
    save_file({"linear.weight": narrow}, tmp_path / "3.safetensors")
    sizes = ({"in_features": 32, "out_features": 48}, {"in_features": 48, "out_features": 24})
    settled = {"kind": "dense", "residual": False}
    layers = [
        {**settled, "weights": "2.safetensors", **sizes[0], "bias": True, "activation": "tanh"},
        {**settled, "weights": "3.safetensors", **sizes[1], "bias": False, "activation": "identity"},
    ]
    embedder = embedder_of(model_of(tiny.embedder_entry(tmp_path, layers=layers, dimensions=[24, 8])))
    means = np.array([tiny.states([tiny.CLS, *tiny.ids_of(text), tiny.SEP]).mean(axis=0) for text in TEXTS])
    layered = np.tanh(means @ wide.astype(np.float64).T + bias) @ narrow.astype(np.float64).T
    np.testing.assert_allclose(vectors(embedder, *TEXTS), [reference.unit(row) for row in layered], atol=TOLERANCE)
    cut = embed(embedder, TEXTS, dimensions=8).vectors
    np.testing.assert_allclose(cut, [reference.unit(row[:8]) for row in layered], atol=TOLERANCE)


def test_logits_equal_an_independent_computation(reranker: Reranker) -> None:
    ranking = rerank(reranker, QUERY, TEXTS, raw_scores=True)
    reference = [tiny.logit(QUERY, TEXTS[position]) for position in ranking.positions]
    np.testing.assert_allclose(ranking.scores, reference, atol=SCORE_TOLERANCE)


def test_documents_come_best_first(reranker: Reranker) -> None:
    logits = [tiny.logit(QUERY, text) for text in TEXTS]
    expected = sorted(range(len(TEXTS)), key=lambda position: -logits[position])
    assert rerank(reranker, QUERY, TEXTS, raw_scores=True).positions == expected


def test_scores_are_activated_as_the_bundle_says(reranker: Reranker) -> None:
    raw = np.array(rerank(reranker, QUERY, TEXTS, raw_scores=True).scores)
    np.testing.assert_allclose(rerank(reranker, QUERY, TEXTS).scores, 1 / (1 + np.exp(-raw)), atol=TOLERANCE)


def test_equal_documents_keep_their_order(reranker: Reranker) -> None:
    assert rerank(reranker, "cat", ["rates", "cat", "rates", "cat"]).positions == [1, 3, 0, 2]


def test_a_batch_of_pairs_equals_single_pairs(reranker: Reranker) -> None:
    ranking = rerank(reranker, QUERY, TEXTS, raw_scores=True)
    singles = [rerank(reranker, QUERY, [TEXTS[at]], raw_scores=True).scores[0] for at in ranking.positions]
    np.testing.assert_allclose(ranking.scores, singles, atol=SCORE_TOLERANCE)


def test_only_the_top_n_are_kept_and_all_are_counted(reranker: Reranker) -> None:
    ranking = rerank(reranker, "cat", ["rates", "cat"], top_n=1)
    assert (ranking.positions, len(ranking.scores), ranking.tokens) == ([1], 1, 10)


def test_loading_gives_what_the_task_says(bundle: Bundle) -> None:
    loaded = [load(model, threads=1) for model in bundle.models]
    assert [type(model) for model in loaded] == [Embedder, Reranker]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dimensions": [768]},
            "model `tiny`: output `last_hidden_state` is `32` wide, and the bundle says `768`",
        ),
        (
            {"pooling": []},
            "model `tiny`: output `last_hidden_state` has shape `[1, 3, 32]`, "
            "and the bundle with pooling by `nothing` needs [batch, hidden]",
        ),
        (
            {"output": "sentence_embedding"},
            "model `tiny`: output `sentence_embedding` has shape `[1, 32]`, "
            "and the bundle with pooling by `mean` needs [batch, sequence, hidden]",
        ),
    ],
)
def test_an_output_that_does_not_fit_the_bundle_fails_the_load(
    folders: Folders, model_of: BundleOf, changes: dict[str, Any], message: str
) -> None:
    assert load_message(model_of(tiny.embedder_entry(folders.embedder, **changes))) == message


def test_a_reranker_with_several_labels_fails_the_load(folders: Folders, model_of: BundleOf) -> None:
    entry = tiny.reranker_entry(folders.embedder, output="sentence_embedding")
    assert load_message(model_of(entry)) == (
        "model `ranker`: output `sentence_embedding` has shape `[1, 32]` for `1` text(s), "
        "and the bundle says `1` label(s)"
    )


def test_numbers_that_are_not_finite_fail_the_load(tmp_path: Path, model_of: BundleOf) -> None:
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("Sub", ["word", "word"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["last_hidden_state"]),
    ]
    tiny.write_graph(tmp_path / "onnx" / "model.onnx", nodes=nodes, outputs={"last_hidden_state": ["a", "b", "c"]})
    tiny.write_tokenizer(tmp_path)
    assert load_message(model_of(tiny.embedder_entry(tmp_path))) == (
        "model `tiny` answered with numbers that are not finite"
    )


def test_a_text_without_a_single_token_is_refused(tmp_path: Path, model_of: BundleOf) -> None:
    tiny.write_embedder(tmp_path)
    bare = Tokenizer(models.WordLevel(tiny.VOCABULARY, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    bare.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(EmptyError) as caught:
        embed(embedder_of(model_of(tiny.embedder_entry(tmp_path))), ["cat", " "])
    assert caught.value.message == "text `1` has no tokens"


def test_the_model_side_needs_none_of_the_packages_that_the_image_leaves_out() -> None:
    absent = ("huggingface_hub", "google.protobuf", "flatbuffers", "packaging", "transformers", "torch", "builder")
    script = f"import runtime.selftest, sys; print(sorted(set(sys.modules) & set({absent})))"
    command = [sys.executable, "-c", script]
    output = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    assert output == "[]\n"
