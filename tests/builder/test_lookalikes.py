from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from tests.support.lookalikes import EMBEDDING_REPOSITORY, RERANKER_REPOSITORY, write_lookalikes

SENTENCES = (
    "The cat sits on the warm windowsill.",
    "A cat is sitting on a sunny windowsill.",
    "Interest rates rose by a quarter point on Tuesday.",
)
QUERY = "How do I reset my password?"
ANSWER = "To reset your password, open Settings and choose Security."
SIZE_LIMIT = 500_000


class Served:
    """A look-alike run as the server runs it: padded batches, only the inputs that the graph names."""

    def __init__(self, folder: Path) -> None:
        self._session = onnxruntime.InferenceSession(folder / "onnx/model.onnx")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def run(self, texts: Sequence[str | tuple[str, str]], *, output: str) -> NDArray[np.float32]:
        self.tokenizer.enable_padding(pad_id=self.tokenizer.token_to_id("<pad>"), pad_token="<pad>")
        batch: list[Encoding] = self.tokenizer.encode_batch(list(texts))
        feed = {
            "input_ids": np.array([encoding.ids for encoding in batch]),
            "attention_mask": np.array([encoding.attention_mask for encoding in batch]),
        }
        values: NDArray[np.float32] = self._session.run([output], feed)[0]
        return values


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hub")
    write_lookalikes(path)
    return path


@pytest.fixture(scope="module")
def embedder(directory: Path) -> Served:
    return Served(directory / EMBEDDING_REPOSITORY)


@pytest.fixture(scope="module")
def reranker(directory: Path) -> Served:
    return Served(directory / RERANKER_REPOSITORY)


@pytest.mark.parametrize("prompts", [("", "", ""), ("task: search result | query: ", *["title: none | text: "] * 2)])
def test_a_paraphrase_is_nearer_than_another_sentence(embedder: Served, prompts: tuple[str, ...]) -> None:
    texts = [prompt + sentence for prompt, sentence in zip(prompts, SENTENCES, strict=True)]
    vectors = embedder.run(texts, output="sentence_embedding")

    paraphrase, unrelated = vectors[1:] @ vectors[0]
    assert paraphrase > unrelated + 0.2


def test_embeddings_are_unit_vectors_of_the_real_width(embedder: Served) -> None:
    vectors = embedder.run(SENTENCES, output="sentence_embedding")

    assert vectors.shape == (3, 768)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_mean_of_the_token_vectors_is_not_the_embedding(embedder: Served) -> None:
    mean = embedder.run(SENTENCES[:1], output="last_hidden_state").mean(axis=1)[0]
    vector = embedder.run(SENTENCES[:1], output="sentence_embedding")[0]

    assert abs(mean @ vector) / np.linalg.norm(mean) < 0.5


def test_padding_changes_no_embedding(embedder: Served) -> None:
    alone = embedder.run(SENTENCES[:1], output="sentence_embedding")
    together = embedder.run(SENTENCES, output="sentence_embedding")[:1]

    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_a_document_that_answers_beats_one_that_does_not(reranker: Served) -> None:
    answering, unrelated = reranker.run([(QUERY, ANSWER), (QUERY, SENTENCES[2])], output="logits")[:, 0]
    assert answering > unrelated + 1


def test_padding_changes_no_score(reranker: Served) -> None:
    long_document = " ".join([ANSWER] * 20)
    alone = reranker.run([(QUERY, ANSWER)], output="logits")
    together = reranker.run([(QUERY, ANSWER), (QUERY, long_document)], output="logits")[:1]

    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_texts_and_pairs_are_framed_as_by_the_real_tokenizers(embedder: Served, reranker: Served) -> None:
    text = embedder.tokenizer.encode("cat").tokens
    pair = reranker.tokenizer.encode("cat", "dog").tokens

    assert (text, pair) == (["<bos>", "cat", "<eos>"], ["<s>", "cat", "</s>", "</s>", "dog", "</s>"])


def test_any_word_becomes_pieces_that_the_vocabulary_has(embedder: Served) -> None:
    assert embedder.tokenizer.encode("Zoë 日").tokens == ["<bos>", "z", "##o", "##e", "<unk>", "<eos>"]


@pytest.mark.parametrize("name", [EMBEDDING_REPOSITORY, RERANKER_REPOSITORY])
def test_they_are_small(directory: Path, name: str) -> None:
    assert sum(path.stat().st_size for path in (directory / name).rglob("*")) < SIZE_LIMIT


def test_writing_them_again_gives_the_same_bytes(directory: Path, tmp_path: Path) -> None:
    write_lookalikes(tmp_path)
    write_lookalikes(tmp_path)

    def contents(folder: Path) -> dict[Path, bytes]:
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(tmp_path) == contents(directory)
