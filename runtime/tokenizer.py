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

from runtime.errors import ModelError

_SAMPLE = "a"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One text, or one pair of texts, as a graph reads it: special tokens included, padding not.

    `skipped` is how many tokens at its start are read but not pooled.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    truncated: bool
    skipped: int = 0


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
        self._pieces = _pieces(self._tokenizer.encode(_SAMPLE, _SAMPLE if sequences == 2 else None))
        if [piece.sequence for piece in self._pieces if piece.sequence is not None] != list(range(sequences)):
            raise ModelError(f"`{file}`: its template does not hold {sequences} text(s) once, in order")
        special_tokens = sum(len(piece.ids) for piece in self._pieces if piece.sequence is None)
        self._limit = max_length - special_tokens
        if self._limit < sequences:
            raise ModelError(f"`{file}`: {special_tokens} special tokens leave no room within `{max_length}`")

    def encode(self, texts: Sequence[str], *, skipped: int = 0) -> list[Entry]:
        """Make an entry of each text, of whose tokens the first `skipped` are not pooled."""
        return [
            self._lay(ids[: self._limit], truncated=len(ids) > self._limit, skipped=skipped)
            for ids in self._bare(texts)
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
            truncated = len(query_ids) + len(document_ids) > self._limit
            entries.append(self._lay(query_ids[: kept[0]], document_ids[: kept[1]], truncated=truncated))
        return entries

    def _bare(self, texts: Sequence[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _lay(self, *texts_ids: list[int], truncated: bool, skipped: int = 0) -> Entry:
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
        return Entry(ids=tuple(ids), type_ids=tuple(type_ids), truncated=truncated, skipped=skipped)


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
