"""Own texts and pairs to entries: special tokens, segment ids and truncation; it knows no prompt's name and no padding.

The library's own truncation is not used. It also encodes every part that it cuts off, and for a pair every combination
of parts: a query and a document of 10,000 words each take it 53 seconds. So texts are encoded bare, and the special
tokens are laid around them here as the library lays them around a sample. That also encodes a query once for all of
its documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from tokenizers import Encoding
from tokenizers import Tokenizer as _Tokenizer

from runtime.bundle import Side
from runtime.errors import InvalidError, ModelError

_SAMPLE = "a"


Text = str | Sequence[int]  # a text, or the token ids of one, special tokens included


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One text, or one pair of texts, as a graph reads it: special tokens included, padding not.

    `cut` is how many tokens were cut off, and `skipped` how many at its start are read but not pooled. Entries of two
    groups never share a run.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    cut: int = 0
    skipped: int = 0
    group: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A run of special tokens, or, where `sequence` says which, the place of a text with its segment id."""

    sequence: int | None
    ids: tuple[int, ...]
    type_ids: tuple[int, ...]


class Tokenizer:
    """One `tokenizer.json`, for single texts or for pairs, cut to `max_length` tokens special ones included."""

    def __init__(self, file: Path, *, max_length: int, sequences: Literal[1, 2]) -> None:
        try:
            self._tokenizer = _Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises no narrower class
            raise ModelError(f"`{file}`: {error}") from error
        # the file may ask for a fixed length
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._max_length = max_length
        self._vocabulary_size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self._pieces = _pieces(self._tokenizer.encode(_SAMPLE, _SAMPLE if sequences == 2 else None))
        if [piece.sequence for piece in self._pieces if piece.sequence is not None] != list(range(sequences)):
            raise ModelError(f"`{file}`: its template does not hold {sequences} text(s) once, in order")
        special_tokens = sum(len(piece.ids) for piece in self._pieces if piece.sequence is None)
        self._limit = max_length - special_tokens
        if self._limit < sequences:
            raise ModelError(f"`{file}`: {special_tokens} special tokens leave no room within `{max_length}`")

    def encode(self, texts: Sequence[Text], *, skipped: int = 0, keep: Side = "left") -> list[Entry]:
        """Make an entry of each text, of whose tokens the first `skipped` are not pooled; `keep` is the side left over.

        Token ids are taken as they are. Raises InvalidError for ids that the vocabulary does not have.
        """
        bare = iter(self._bare([text for text in texts if isinstance(text, str)]))
        return [
            self._text_entry(next(bare), skipped=skipped, keep=keep)
            if isinstance(text, str)
            else self._ids_entry(text, keep=keep)
            for text in texts
        ]

    def count_leading(self, text: str) -> int:
        """Count the tokens of an entry up to the end of `text`, when the entry starts with it.

        As in sentence-transformers, `text` is tokenized alone.
        """
        leading = self._pieces[0]
        special_tokens = len(leading.ids) if leading.sequence is None else 0
        (ids,) = self._bare([text])
        return special_tokens + len(ids)

    def encode_pairs(self, query: str, documents: Sequence[str]) -> list[Entry]:
        """Make an entry of the query with each document; the longer of the two is cut first."""
        query_ids, *documents_ids = self._bare([query, *documents])
        entries = []
        for document_ids in documents_ids:
            kept = longest_first(len(query_ids), len(document_ids), limit=self._limit)
            cut = len(query_ids) + len(document_ids) - sum(kept)
            entries.append(self._lay(query_ids[: kept[0]], document_ids[: kept[1]], cut=cut))
        return entries

    def _text_entry(self, ids: list[int], *, skipped: int, keep: Side) -> Entry:
        return self._lay(_kept(ids, self._limit, keep=keep), cut=max(0, len(ids) - self._limit), skipped=skipped)

    def _ids_entry(self, ids: Sequence[int], *, keep: Side) -> Entry:
        """Take ids as they are; where they are too many, the special tokens at the end that is cut stay."""
        for token_id in ids:
            if not 0 <= token_id < self._vocabulary_size:
                message = f"token id `{token_id}` is none of this model's `{self._vocabulary_size}`"
                raise InvalidError(f"{message}; send text, or ids of this model's own tokenizer", param="input")
        cut = max(0, len(ids) - self._max_length)
        if cut:
            piece = self._pieces[-1 if keep == "left" else 0]
            special = [] if piece.sequence is not None else list(piece.ids)
            room = self._max_length - len(special)
            if keep == "left" and list(ids[-len(special) :]) == special:
                ids = [*ids[:room], *special]
            elif keep == "right" and list(ids[: len(special)]) == special:
                ids = [*special, *ids[-room:]]
            else:
                ids = _kept(list(ids), self._max_length, keep=keep)
        return Entry(ids=tuple(ids), type_ids=(0,) * len(ids), cut=cut)

    def _bare(self, texts: Sequence[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _lay(self, *texts_ids: list[int], cut: int, skipped: int = 0) -> Entry:
        ids: list[int] = []
        type_ids: list[int] = []
        for piece in self._pieces:
            if piece.sequence is None:
                ids.extend(piece.ids)
                type_ids.extend(piece.type_ids)
            else:
                text_ids = texts_ids[piece.sequence]
                ids.extend(text_ids)
                type_ids.extend(piece.type_ids[:1] * len(text_ids))
        return Entry(ids=tuple(ids), type_ids=tuple(type_ids), cut=cut, skipped=skipped)


def _kept(ids: list[int], limit: int, *, keep: Side) -> list[int]:
    """Cut ids to a limit, and keep those of one side."""
    if len(ids) <= limit:
        return ids
    return ids[:limit] if keep == "left" else ids[-limit:]


def longest_first(first: int, second: int, *, limit: int) -> tuple[int, int]:
    """Share a limit between two lengths as the library's strategy of this name does.

    The shorter one is kept whole while it fits in its half; an odd token goes to the one that is longer, or second.
    """
    if first + second <= limit:
        return first, second
    shorter = min(first, second, limit // 2)
    return (limit - shorter, shorter) if first > second else (shorter, limit - shorter)


def _pieces(sample: Encoding) -> tuple[_Piece, ...]:
    tokens = zip(sample.sequence_ids, sample.ids, sample.type_ids, strict=True)
    pieces = []
    for sequence, group in groupby(tokens, key=lambda token: token[0]):
        _, ids, type_ids = zip(*group, strict=True)
        pieces.append(_Piece(sequence=sequence, ids=ids, type_ids=type_ids))
    return tuple(pieces)
