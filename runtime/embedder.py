"""Own an embedding model that is ready to run: texts to entries, entries to rows, rows to vectors; it packs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime import prompting
from runtime.batch import Batch, pad
from runtime.bundle import Model, Side
from runtime.encoding import Encoded, Format, encode
from runtime.errors import InvalidError, ModelError
from runtime.layers import apply, load_layer
from runtime.pooling import cut, pool, unit
from runtime.session import open_session
from runtime.timings import Timings
from runtime.tokenizer import Entry, Text, Token, Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """One row a text, in order: [texts, dimensions] float32; tokens are those the graph read, padding apart."""

    vectors: NDArray[np.float32]
    tokens: int
    truncated: int
    timings: Timings | None = None

    def encoded(self, kind: Format) -> list[Encoded]:
        """Write each row in a format; raises as `encoding.encode` does."""
        return encode(self.vectors, kind)


class Embedder:
    """An embedding model, ready to run."""

    def __init__(self, model: Model, *, threads: int) -> None:
        self.model = model
        self._tokenizer = Tokenizer(model.tokenizer_file, max_length=model.max_length, sequences=1)
        self._session = open_session(model, threads=threads)
        self._layers = [load_layer(layer, folder=Path(model.path)) for layer in model.layers]

    def entries(self, texts: Sequence[Text], *, prompt_name: str | None = None, keep: Side = "left") -> list[Entry]:
        """Make an entry of each text, after the named prompt, or the default one; too long ones `keep` that side.

        The name chooses the adapter too, where the model has several; an empty one is no prompt. Token ids are taken as
        they are, without a prompt. Raises InvalidError for a prompt that the model does not have and for ids that are
        not in its vocabulary.
        """
        prompt = prompting.choose(self.model, name=prompt_name)
        skipped = 0 if self.model.include_prompt or not prompt.text else self._tokenizer.count_leading(prompt.text)
        prompted = [prompt.text + text if isinstance(text, str) else text for text in texts]
        return self._tokenizer.encode(prompted, skipped=skipped, keep=keep, group=prompt.adapter)

    def forward(self, entries: Sequence[Entry], *, beside: bool = False) -> NDArray[np.float32]:
        """Compute [entries, hidden] in one run of the graph, `beside` another or alone; neither cut nor normalised.

        Raises InferenceError, and ModelError for an output that is not what the bundle says.
        """
        batch = pad(
            entries,
            pad_token_id=self.model.pad_token_id,
            side=self.model.padding_side,
            first_position=self.model.first_position,
        )
        states = self._session.run(batch, beside=beside).astype(np.float32, copy=False)
        output = apply(self._layers, self._pooled(states, batch))
        if output.shape[1] != self.model.dimensions[0]:
            raise ModelError(
                f"model `{self.model.name}`: output `{self.model.output}` is `{output.shape[1]}` wide, "
                f"and the bundle says `{self.model.dimensions[0]}`"
            )
        return output

    def finish(
        self,
        rows: NDArray[np.float32],
        entries: Sequence[Entry],
        *,
        dimensions: int | None = None,
        normalize: bool | None = None,
        timings: Timings | None = None,
    ) -> Embeddings:
        """Make vectors of rows: normalised as the model is unless asked otherwise, and cut to one of its widths.

        Raises InvalidError for another width.
        """
        is_unit = self.model.normalize if normalize is None else normalize
        vectors = unit(rows) if is_unit else rows
        width = self.width(dimensions)
        return Embeddings(
            vectors=vectors if width == rows.shape[1] else cut(vectors, dimensions=width, normalize=is_unit),
            tokens=sum(len(entry.ids) for entry in entries),
            truncated=sum(entry.cut > 0 for entry in entries),
            timings=timings,
        )

    def width(self, dimensions: int | None) -> int:
        """Return the width that is asked for, the native one without; raises InvalidError for one it does not have."""
        if dimensions is None:
            return self.model.dimensions[0]
        if dimensions not in self.model.dimensions:
            known = ", ".join(map(str, self.model.dimensions))
            raise InvalidError(f"`{dimensions}` is not among this model's dimensions: {known}", param="dimensions")
        return dimensions

    def tokens(self, text: str, *, prompt_name: str | None = None, add_special_tokens: bool = True) -> list[Token]:
        """List the tokens of a text with its prompt, of any length; raises as `entries` does."""
        return self._tokenizer.tokens(
            prompting.choose(self.model, name=prompt_name).text + text, add_special_tokens=add_special_tokens
        )

    def text(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Make text of token ids.

        Raises InvalidError for ids that are not in the vocabulary.
        """
        return self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    def _pooled(self, output: NDArray[np.float32], batch: Batch) -> NDArray[np.float32]:
        modes = self.model.pooling
        if modes:
            _expect(output, axes=3, what="[batch, sequence, hidden]", model=self.model)
            output = pool(output, attention_mask=batch.attention_mask, modes=modes, skipped=batch.skipped)
        _expect(output, axes=2, what="[batch, hidden]", model=self.model)
        return output


def _expect(output: NDArray[np.float32], *, axes: int, what: str, model: Model) -> None:
    if output.ndim != axes:
        raise ModelError(
            f"model `{model.name}`: output `{model.output}` has shape `{list(output.shape)}`, and the bundle "
            f"with pooling by `{', '.join(model.pooling) or 'nothing'}` needs {what}"
        )
