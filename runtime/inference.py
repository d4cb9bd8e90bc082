"""Own what a loaded model does: a tokenizer, a session and numerics make an embedder or reranker; no HTTP here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.batch import Batch, pack, pad
from runtime.bundle import Model
from runtime.dense import apply, load_layer
from runtime.errors import EmptyError, InferenceError, InvalidError, ModelError
from runtime.pooling import cut, pool, unit
from runtime.scoring import activate, rank
from runtime.session import Session
from runtime.tokenizer import Entry, Tokenizer

_WARM_UP = "a"


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """One row a text, in order: [texts, dimensions] float32; tokens are those the graph read, padding apart."""

    vectors: NDArray[np.float32]
    tokens: int
    truncated: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Positions of documents and their scores, the best first."""

    positions: list[int]
    scores: list[float]
    tokens: int
    truncated: int


class Embedder:
    """An embedding model, ready to run."""

    def __init__(self, model: Model, *, threads: int, max_batch_tokens: int) -> None:
        self.model = model
        self._max_batch_tokens = max_batch_tokens
        self._tokenizer = Tokenizer(model.tokenizer_file, max_length=model.max_length, sequences=1)
        self._session = Session(model.graph_file, inputs=model.inputs, output=model.output, threads=threads)
        self._layers = [load_layer(layer, folder=Path(model.path)) for layer in model.dense]

    def embed(
        self, texts: Sequence[str], *, prompt_name: str | None = None, dimensions: int | None = None
    ) -> Embeddings:
        """Embed texts, each after the named prompt, or the default one; the native width if no other is asked for.

        Raises InvalidError for a prompt or width that the model does not have.
        """
        width = self._width(dimensions)
        prompt = self._prompt(prompt_name)
        skipped = 0 if self.model.include_prompt or not prompt else self._tokenizer.count_leading(prompt)
        entries = self._tokenizer.encode([prompt + text for text in texts], skipped=skipped)
        vectors = run_in_batches(entries, self._forward, model=self.model, max_batch_tokens=self._max_batch_tokens)
        if width < self.model.dimensions[0]:
            vectors = cut(vectors, dimensions=width, normalize=self.model.normalize)
        return Embeddings(vectors=vectors, tokens=_tokens(entries), truncated=_truncated(entries))

    def _forward(self, batch: Batch) -> NDArray[np.float32]:
        output = self._session.run(batch)
        if self.model.pooling:
            _expect(output, axes=3, what="[batch, sequence, hidden]", model=self.model)
            modes, mask = self.model.pooling, batch.attention_mask
            output = pool(output, attention_mask=mask, modes=modes, skipped=batch.skipped)
        _expect(output, axes=2, what="[batch, hidden]", model=self.model)
        output = apply(self._layers, output)
        if output.shape[1] != self.model.dimensions[0]:
            raise ModelError(
                f"model `{self.model.name}`: output `{self.model.output}` is `{output.shape[1]}` wide, "
                f"and the bundle says `{self.model.dimensions[0]}`"
            )
        return unit(output) if self.model.normalize else output

    def _width(self, dimensions: int | None) -> int:
        if dimensions is None:
            return self.model.dimensions[0]
        if dimensions not in self.model.dimensions:
            known = ", ".join(map(str, self.model.dimensions))
            raise InvalidError(f"`{dimensions}` is not among this model's dimensions: {known}", param="dimensions")
        return dimensions

    def _prompt(self, name: str | None) -> str:
        chosen = self.model.default_prompt if name is None else name
        if chosen is None:
            return ""
        if chosen not in self.model.prompts:
            known = ", ".join(self.model.prompts) or "it has none"
            raise InvalidError(f"`{chosen}` is not among this model's prompts: {known}", param="prompt_name")
        return self.model.prompts[chosen]


class Reranker:
    """A cross-encoder, ready to run."""

    def __init__(self, model: Model, *, threads: int, max_batch_tokens: int) -> None:
        if model.activation is None:
            raise ModelError(f"model `{model.name}`: a reranker needs an activation")
        self.model = model
        self._activation = model.activation
        self._max_batch_tokens = max_batch_tokens
        self._tokenizer = Tokenizer(model.tokenizer_file, max_length=model.max_length, sequences=2)
        self._session = Session(model.graph_file, inputs=model.inputs, output=model.output, threads=threads)

    def rerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None, raw_scores: bool = False
    ) -> Ranking:
        """Score each document against the query and order them; raw scores are logits."""
        entries = self._tokenizer.encode_pairs(query, documents)
        logits = run_in_batches(entries, self._forward, model=self.model, max_batch_tokens=self._max_batch_tokens)
        scores = logits if raw_scores else activate(logits, activation=self._activation)
        positions = rank(scores, top_n=top_n)
        return Ranking(
            positions=positions,
            scores=scores[positions].tolist(),
            tokens=_tokens(entries),
            truncated=_truncated(entries),
        )

    def _forward(self, batch: Batch) -> NDArray[np.float32]:
        output = self._session.run(batch)
        if output.size != len(batch.input_ids):
            raise ModelError(
                f"model `{self.model.name}`: output `{self.model.output}` has shape `{list(output.shape)}` "
                f"for `{len(batch.input_ids)}` pair(s), and a reranker has one logit a pair"
            )
        return output.reshape(-1)


def load(model: Model, *, threads: int, max_batch_tokens: int) -> Embedder | Reranker:
    """Load a model and run it once, so that what does not fit its bundle is found now.

    Raises ModelError.
    """
    try:
        if model.task == "embedding":
            embedder = Embedder(model, threads=threads, max_batch_tokens=max_batch_tokens)
            embedder.embed([_WARM_UP])
            return embedder
        reranker = Reranker(model, threads=threads, max_batch_tokens=max_batch_tokens)
        reranker.rerank(_WARM_UP, [_WARM_UP])
    except InferenceError as error:
        raise ModelError(str(error)) from error
    return reranker


def run_in_batches(
    entries: Sequence[Entry],
    forward: Callable[[Batch], NDArray[np.float32]],
    *,
    model: Model,
    max_batch_tokens: int,
) -> NDArray[np.float32]:
    """Run entries in packed batches and put the rows back in the order of the entries.

    Raises EmptyError for an entry without tokens, and InferenceError for a row that holds NaN or infinity.
    """
    lengths = [len(entry.ids) for entry in entries]
    if not all(lengths):
        raise EmptyError(f"text `{lengths.index(0)}` has no tokens")
    groups = pack(lengths, max_batch_tokens=max_batch_tokens)
    batches = (
        pad([entries[position] for position in group], pad_token_id=model.pad_token_id, side=model.padding_side)
        for group in groups
    )
    packed = np.concatenate([forward(batch) for batch in batches])
    if not np.isfinite(packed).all():
        raise InferenceError(f"model `{model.name}` answered with numbers that are not finite")
    rows = np.empty_like(packed)
    rows[[position for group in groups for position in group]] = packed
    return rows


def _expect(output: NDArray[np.float32], *, axes: int, what: str, model: Model) -> None:
    if output.ndim != axes:
        raise ModelError(
            f"model `{model.name}`: output `{model.output}` has shape `{list(output.shape)}`, and the bundle "
            f"with pooling by `{', '.join(model.pooling) or 'nothing'}` needs {what}"
        )


def _tokens(entries: Sequence[Entry]) -> int:
    return sum(len(entry.ids) for entry in entries)


def _truncated(entries: Sequence[Entry]) -> int:
    return sum(entry.truncated for entry in entries)
