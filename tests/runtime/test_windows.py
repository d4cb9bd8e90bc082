from collections.abc import Sequence

import pytest

from runtime.tokenizer import Entry, Frame, Pair, Piece
from runtime.windows import read_in_windows

QUERY_START, DOCUMENT_START = 100, 200
FRAME = Frame(
    pieces=(
        Piece(sequence=None, ids=(1,), type_ids=(0,)),
        Piece(sequence=0, ids=(0,), type_ids=(0,)),
        Piece(sequence=None, ids=(2, 2), type_ids=(0, 0)),
        Piece(sequence=1, ids=(0,), type_ids=(0,)),
        Piece(sequence=None, ids=(2,), type_ids=(0,)),
    ),
    max_length=24,
)


def pair(query: int, document: int) -> Pair:
    return Pair(
        frame=FRAME,
        query=range(QUERY_START, QUERY_START + query),
        document=range(DOCUMENT_START, DOCUMENT_START + document),
    )


def read(query: int, document: int, *, query_limit: int = 10, overlap: int = 80) -> list[Entry]:
    return read_in_windows(pair(query, document), query_limit=query_limit, overlap=overlap, document=7)


def windows(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Name the first and last token of the document in each entry."""
    tokens = [[token - DOCUMENT_START for token in entry.ids if token >= DOCUMENT_START] for entry in entries]
    return [(each[0], each[-1]) for each in tokens]


def test_a_document_that_fits_is_one_entry() -> None:
    (entry,) = read(4, 16)
    assert entry == Entry(ids=(1, *range(100, 104), 2, 2, *range(200, 216), 2), type_ids=(0,) * 24, cut=0, document=7)


def test_a_document_without_tokens_is_one_entry() -> None:
    (entry,) = read(4, 0)
    assert entry.ids == (1, 100, 101, 102, 103, 2, 2, 2)


@pytest.mark.parametrize(
    ("document", "overlap", "expected"),
    [
        (17, 80, [(0, 15), (1, 16)]),
        (28, 80, [(0, 15), (12, 27)]),
        (29, 80, [(0, 15), (12, 27), (13, 28)]),
        (40, 80, [(0, 15), (12, 27), (24, 39)]),
        (29, 2, [(0, 15), (13, 28)]),
        (33, 0, [(0, 15), (16, 31), (17, 32)]),
    ],
)
def test_neighbours_overlap_and_the_last_window_ends_the_document(
    document: int, overlap: int, expected: list[tuple[int, int]]
) -> None:
    entries = read(4, document, overlap=overlap)
    assert windows(entries) == expected
    assert {(len(entry.ids), entry.cut, entry.document) for entry in entries} == {(24, 0, 7)}


def test_a_query_is_cut_and_that_is_counted() -> None:
    entries = read(13, 20)
    assert {entry.ids[1:11] for entry in entries} == {tuple(range(100, 110))}
    assert [entry.cut for entry in entries] == [3, 3, 3]


def test_what_was_cut_before_is_counted_too() -> None:
    shortened = pair(4, 30).shortened(20)
    entries = read_in_windows(shortened, query_limit=10, overlap=80, document=0)
    assert (windows(entries), [entry.cut for entry in entries]) == ([(0, 15), (4, 19)], [10, 10])


def test_a_query_never_takes_more_than_half_of_the_room() -> None:
    assert {entry.ids[1:11] for entry in read(30, 20, query_limit=19)} == {tuple(range(100, 110))}
