"""Own texts and pairs to entries: special tokens, segment ids and truncation; it knows no prompt's name and no padding.

The library's own truncation is not used. It also encodes every part that it cuts off, and for a pair every combination
of parts: a query and a document of 10,000 words each take it 53 seconds. So texts are encoded bare, and the special
tokens are laid around them here as the library lays them around a sample. That also encodes a query once for all of
its documents.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer as _Tokenizer

from runtime.bundle import Side
from runtime.errors import InvalidError, ModelError
from runtime.template import Rendered

_SAMPLE = "a"


Text = str | Sequence[int]  # a text, or the token ids of one, special tokens included


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One text, or one pair of texts, as a graph reads it: special tokens included, padding not.

    `cut` is how many tokens were cut off, and `skipped` how many at its start are read but not pooled. `document` is
    the number of the document that it is read for, which several can be. `group` is the LoRA adapter that it is read
    with: entries of two groups never share a run.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    cut: int = 0
    skipped: int = 0
    document: int = 0
    group: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One token of a text, and where it lies there, in bytes of UTF-8; special ones lie nowhere."""

    id: int
    text: str
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A run of special tokens, or, where `sequence` says which, the place of a text with its segment id."""

    sequence: int | None
    ids: tuple[int, ...]
    type_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What stands around texts in an entry of at most `max_length` tokens."""

    pieces: tuple[Piece, ...]
    max_length: int

    @cached_property
    def special_tokens(self) -> int:
        """How many tokens are not of a text."""
        return sum(len(piece.ids) for piece in self.pieces if piece.sequence is None)

    @cached_property
    def room(self) -> int:
        """How many tokens of texts there may be."""
        return self.max_length - self.special_tokens

    def lay(self, *texts_ids: Sequence[int], cut: int, skipped: int = 0, document: int = 0, group: int = 0) -> Entry:
        """Put texts into their places."""
        ids: list[int] = []
        type_ids: list[int] = []
        for piece in self.pieces:
            if piece.sequence is None:
                ids.extend(piece.ids)
                type_ids.extend(piece.type_ids)
            else:
                text_ids = texts_ids[piece.sequence]
                ids.extend(text_ids)
                type_ids.extend(piece.type_ids[:1] * len(text_ids))
        return Entry(ids=tuple(ids), type_ids=tuple(type_ids), cut=cut, skipped=skipped, document=document, group=group)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A query and a document of any length, what stands around them, and how many tokens were `dropped` before."""

    frame: Frame
    query: Sequence[int]
    document: Sequence[int]
    dropped: int = 0

    def shortened(self, limit: int | None) -> "Pair":
        """Leave out what is over `limit` tokens of the document, where there is one."""
        dropped = 0 if limit is None else max(0, len(self.document) - limit)
        return replace(self, document=self.document[: len(self.document) - dropped], dropped=self.dropped + dropped)

    def cut(self, *, document: int = 0, keep: Side = "left") -> Entry:
        """Make an entry; of what is too long, the longer text is cut first, and `keep` its side."""
        first, second = longest_first(len(self.query), len(self.document), limit=self.frame.room)
        cut = len(self.query) + len(self.document) + self.dropped - first - second
        kept = _kept(self.query, first, keep=keep), _kept(self.document, second, keep=keep)
        return self.frame.lay(*kept, cut=cut, document=document)


class Tokenizer:
    """One `tokenizer.json`, for single texts, and for pairs where `sequences` is 2.

    Entries are cut to `max_length` tokens, special ones included.
    """

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
        self._frames = [self._frame(file, sequences=count) for count in range(1, sequences + 1)]

    @property
    def special_tokens(self) -> int:
        """How many special tokens stand around a single text."""
        return self._frames[0].special_tokens

    def encode(self, texts: Sequence[Text], *, skipped: int = 0, keep: Side = "left", group: int = 0) -> list[Entry]:
        """Make an entry of each text, of whose tokens the first `skipped` are not pooled; `keep` is the side left over.

        Token ids are taken as they are. Raises InvalidError for ids that the vocabulary does not have.
        """
        bare = iter(self._bare([text for text in texts if isinstance(text, str)]))
        return [
            self._text_entry(next(bare), skipped=skipped, keep=keep, group=group)
            if isinstance(text, str)
            else self._ids_entry(text, keep=keep, group=group)
            for text in texts
        ]

    def count_leading(self, text: str) -> int:
        """Count the tokens of an entry up to the end of `text`, when the entry starts with it.

        As in sentence-transformers, `text` is tokenized alone.
        """
        leading = self._frames[0].pieces[0]
        special_tokens = len(leading.ids) if leading.sequence is None else 0
        (ids,) = self._bare([text])
        return special_tokens + len(ids)

    def tokens(self, text: str, *, add_special_tokens: bool = True) -> list[Token]:
        """List the tokens of one text, of any length."""
        encoding = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        places = _byte_places(text)
        columns = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
        return [
            Token(id=token_id, text=token)
            if special
            else Token(id=token_id, text=text[start:stop], start=places[start], stop=places[stop])
            for token_id, token, special, (start, stop) in columns
        ]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Make text of token ids.

        Raises InvalidError for ids that the vocabulary does not have.
        """
        self._check_ids(ids)
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> list[Pair]:
        """Tokenize pairs, and each of their texts once."""
        listed = list(pairs)
        texts = list(dict.fromkeys(text for pair in listed for text in pair))
        ids_of = dict(zip(texts, self._bare(texts), strict=True))
        return [Pair(frame=self._frames[1], query=ids_of[query], document=ids_of[text]) for query, text in listed]

    def rendered_pairs(self, texts: Sequence[Rendered]) -> list[Pair]:
        """Tokenize pairs that a template has laid out, without special tokens but those that it spells out.

        A token belongs to the query or the document if a letter of it does: a space of the template and the word that
        follows can be one token.
        """
        encodings = self._tokenizer.encode_batch([rendered.text for rendered in texts], add_special_tokens=False)
        return [
            self._rendered_pair(encoding.ids, [rendered.owner(*span) for span in encoding.offsets])
            for rendered, encoding in zip(texts, encodings, strict=True)
        ]

    def _rendered_pair(self, ids: list[int], owners: list[int | None]) -> Pair:
        pieces = _pieces(owners, ids, [0] * len(ids))
        frame = Frame(pieces=pieces, max_length=self._max_length)
        query, document = ([token for token, owner in zip(ids, owners, strict=True) if owner == n] for n in (0, 1))
        return Pair(frame=frame, query=query, document=document)

    def _frame(self, file: Path, *, sequences: int) -> Frame:
        sample = self._tokenizer.encode(_SAMPLE, _SAMPLE if sequences == 2 else None)
        frame = Frame(
            pieces=_pieces(sample.sequence_ids, sample.ids, sample.type_ids),
            max_length=self._max_length,
        )
        if [piece.sequence for piece in frame.pieces if piece.sequence is not None] != list(range(sequences)):
            raise ModelError(f"`{file}`: its template does not hold {sequences} text(s) once, in order")
        if frame.room < sequences:
            message = f"{frame.special_tokens} special tokens leave no room within `{self._max_length}`"
            raise ModelError(f"`{file}`: {message}")
        return frame

    def _text_entry(self, ids: list[int], *, skipped: int, keep: Side, group: int) -> Entry:
        frame = self._frames[0]
        kept = _kept(ids, frame.room, keep=keep)
        return frame.lay(kept, cut=len(ids) - len(kept), skipped=skipped, group=group)

    def _ids_entry(self, ids: Sequence[int], *, keep: Side, group: int) -> Entry:
        """Take ids as they are; where they are too many, the special tokens at the end that is cut stay."""
        self._check_ids(ids)
        cut = max(0, len(ids) - self._max_length)
        if cut:
            piece = self._frames[0].pieces[-1 if keep == "left" else 0]
            special = [] if piece.sequence is not None else list(piece.ids)
            room = self._max_length - len(special)
            if keep == "left" and list(ids[-len(special) :]) == special:
                ids = [*ids[:room], *special]
            elif keep == "right" and list(ids[: len(special)]) == special:
                ids = [*special, *ids[-room:]]
            else:
                ids = _kept(list(ids), self._max_length, keep=keep)
        return Entry(ids=tuple(ids), type_ids=(0,) * len(ids), cut=cut, group=group)

    def _check_ids(self, ids: Sequence[int]) -> None:
        for token_id in ids:
            if not 0 <= token_id < self._vocabulary_size:
                message = f"token id `{token_id}` is none of this model's `{self._vocabulary_size}`"
                raise InvalidError(f"{message}; send text, or ids of this model's own tokenizer", param="input")

    def _bare(self, texts: Sequence[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


def _kept(ids: Sequence[int], limit: int, *, keep: Side) -> Sequence[int]:
    """Cut ids to a limit, and keep those of one side."""
    excess = max(0, len(ids) - limit)
    return ids[: len(ids) - excess] if keep == "left" else ids[excess:]


def _byte_places(text: str) -> Sequence[int]:
    """Say at which byte of UTF-8 each letter begins, and where the last one ends."""
    if text.isascii():
        return range(len(text) + 1)
    return [0, *accumulate(len(letter.encode()) for letter in text)]


def longest_first(first: int, second: int, *, limit: int) -> tuple[int, int]:
    """Share a limit between two lengths as the library's strategy of this name does.

    The shorter one is kept whole while it fits in its half; an odd token goes to the one that is longer, or second.
    """
    if first + second <= limit:
        return first, second
    shorter = min(first, second, limit // 2)
    return (limit - shorter, shorter) if first > second else (shorter, limit - shorter)


def _pieces(sequences: Sequence[int | None], ids: Sequence[int], type_ids: Sequence[int]) -> tuple[Piece, ...]:
    pieces = []
    for sequence, group in groupby(zip(sequences, ids, type_ids, strict=True), key=lambda token: token[0]):
        _, ids_of_piece, type_ids_of_piece = zip(*group, strict=True)
        pieces.append(Piece(sequence=sequence, ids=ids_of_piece, type_ids=type_ids_of_piece))
    return tuple(pieces)
