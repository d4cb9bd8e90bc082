"""Own a model that scores texts or pairs by labels and is ready to run: to entries, to logits, to scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime import prompting
from runtime.batch import pad
from runtime.bundle import Activation, Model
from runtime.errors import InvalidError, ModelError
from runtime.scoring import activate, answer, last_tokens
from runtime.session import open_session
from runtime.template import render
from runtime.timings import Timings
from runtime.tokenizer import Entry, Pair, Token, Tokenizer

_LEAST_ROOM = 2  # a token of each

Input = str | tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """One row an input, in order, and one column a label, in the model's order: [inputs, labels] float32."""

    scores: NDArray[np.float32]
    labels: tuple[str, ...]
    tokens: int
    truncated: int
    timings: Timings | None = None


class Classifier:
    """A classifier, or what a reranker has of one, ready to run; it packs nothing."""

    def __init__(self, model: Model, *, threads: int) -> None:
        if model.activation is None:
            raise ModelError(f"model `{model.name}`: a {model.task} needs an activation")
        self.model = model
        self.tokenizer = Tokenizer(model.tokenizer_file, max_length=model.max_length, sequences=2)
        self._activation: Activation = model.activation
        self._session = open_session(model, threads=threads)
        for name in (None, *model.prompts):
            self._check_room(name)

    def entries(self, inputs: Sequence[Input], *, prompt_name: str | None = None) -> list[Entry]:
        """Make an entry of each text or pair, after the named prompt or the default one.

        Raises InvalidError for a prompt that the model does not have, and for a text alone where it takes pairs.
        """
        pairs = iter(self.pairs([given for given in inputs if isinstance(given, tuple)], prompt_name=prompt_name))
        prompt = prompting.choose(self.model, name=prompt_name)
        texts = iter(self._texts([prompt.text + given for given in inputs if isinstance(given, str)]))
        return [next(texts) if isinstance(given, str) else next(pairs).cut() for given in inputs]

    def pairs(self, pairs: Iterable[tuple[str, str]], *, prompt_name: str | None = None) -> list[Pair]:
        """Tokenize pairs: as the template lays them out, else with the prompt before the first text."""
        prompt = prompting.choose(self.model, name=prompt_name).text
        if self.model.template is None:
            return self.tokenizer.pairs((prompt + query, document) for query, document in pairs)
        template = self.model.template
        return self.tokenizer.rendered_pairs(
            [render(template, prompt=prompt, query=query, document=document) for query, document in pairs]
        )

    def forward(self, entries: Sequence[Entry], *, beside: bool = False) -> NDArray[np.float32]:
        """Compute one logit a label, [entries, labels], in one run of the graph, `beside` another or alone.

        Raises InferenceError, and ModelError for an output that is not what the bundle says.
        """
        batch = pad(
            entries,
            pad_token_id=self.model.pad_token_id,
            side=self.model.padding_side,
            first_position=self.model.first_position,
        )
        output = self._session.run(batch, beside=beside)
        rows = last_tokens(output, attention_mask=batch.attention_mask) if output.ndim == 3 else output
        if self.model.answer_tokens and rows.ndim == 2 and max(self.model.answer_tokens) < rows.shape[1]:
            rows = answer(rows, tokens=self.model.answer_tokens)
        rows = rows.reshape(len(entries), -1)
        if rows.shape[1] != len(self.model.labels):
            raise ModelError(
                f"model `{self.model.name}`: output `{self.model.output}` has shape `{list(output.shape)}` "
                f"for `{len(entries)}` text(s), and the bundle says `{len(self.model.labels)}` label(s)"
            )
        return rows.astype(np.float32, copy=False)

    def scores(self, rows: NDArray[np.float32], *, raw_scores: bool = False) -> NDArray[np.float32]:
        """Turn logits into scores, unless logits are what is asked for."""
        return rows if raw_scores else activate(rows, activation=self._activation)

    def finish(self, rows: NDArray[np.float32], entries: Sequence[Entry], *, raw_scores: bool = False) -> Classes:
        """Name the scores of each input; raw scores are logits."""
        return Classes(
            scores=self.scores(rows, raw_scores=raw_scores),
            labels=self.model.labels,
            tokens=sum(len(entry.ids) for entry in entries),
            truncated=sum(entry.cut > 0 for entry in entries),
        )

    def _check_room(self, prompt_name: str | None) -> None:
        """Raise ModelError when what stands around a query and a document leaves no room for both."""
        (pair,) = self.pairs([("", "")], prompt_name=prompt_name)
        room = pair.frame.room - len(pair.query)
        if room < _LEAST_ROOM:
            message = f"its template and prompt leave `{room}` of `{self.model.max_length}` tokens"
            raise ModelError(f"model `{self.model.name}`: {message} for a query and a document")

    def tokens(self, text: str, *, prompt_name: str | None = None, add_special_tokens: bool = True) -> list[Token]:
        """List the tokens of a text alone, after the named prompt or the default one, of any length.

        Raises InvalidError for a prompt that the model does not have.
        """
        prompt = prompting.choose(self.model, name=prompt_name)
        return self.tokenizer.tokens(prompt.text + text, add_special_tokens=add_special_tokens)

    def text(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Make text of token ids.

        Raises InvalidError for ids that are not in the vocabulary.
        """
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    def _texts(self, texts: Sequence[str]) -> list[Entry]:
        if texts and (self.model.task == "reranker" or self.model.template is not None):
            raise InvalidError("this model takes pairs of texts, and not a text alone", param="inputs")
        return self.tokenizer.encode(texts)
