import itertools
from pathlib import Path

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from runtime.errors import ModelError
from runtime.tokenizer import Entry, Tokenizer, longest_first
from tests.runtime import tiny

WORDS = " ".join(itertools.islice(itertools.cycle(tiny.WORDS), 40))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def words(count: int) -> str:
    return " ".join(WORDS.split()[:count])


def test_a_text_stands_between_its_special_tokens(file: Path) -> None:
    (entry,) = Tokenizer(file, max_length=16, sequences=1).encode(["The cat."])
    the, cat, stop = tiny.ids_of("The cat.")
    assert entry == Entry(ids=(tiny.CLS, the, cat, stop, tiny.SEP), type_ids=(0,) * 5, truncated=False)


def test_a_pair_has_real_segment_ids(file: Path) -> None:
    (entry,) = Tokenizer(file, max_length=16, sequences=2).encode_pairs("the cat", ["rates"])
    ids = (tiny.CLS, *tiny.ids_of("the cat"), tiny.SEP, *tiny.ids_of("rates"), tiny.SEP)
    assert entry == Entry(ids=ids, type_ids=(0, 0, 0, 0, 1, 1), truncated=False)


@pytest.mark.parametrize(("count", "truncated"), [(5, False), (6, False), (7, True)])
def test_truncation_counts_special_tokens_and_is_reported(file: Path, count: int, *, truncated: bool) -> None:
    (entry,) = Tokenizer(file, max_length=8, sequences=1).encode([words(count)])
    assert (len(entry.ids), entry.ids[-1], entry.truncated) == (min(count, 6) + 2, tiny.SEP, truncated)


def test_tokens_that_are_not_pooled_are_passed_on(file: Path) -> None:
    entries = Tokenizer(file, max_length=16, sequences=1).encode(["the cat", "rates"], skipped=2)
    assert [entry.skipped for entry in entries] == [2, 2]


def test_a_beginning_is_counted_with_the_special_tokens_before_it(file: Path) -> None:
    assert Tokenizer(file, max_length=16, sequences=1).count_leading("search query: ") == 1 + 3


def test_an_empty_text_is_only_special_tokens(file: Path) -> None:
    (entry,) = Tokenizer(file, max_length=8, sequences=1).encode([""])
    assert entry == Entry(ids=(tiny.CLS, tiny.SEP), type_ids=(0, 0), truncated=False)


@pytest.mark.parametrize("max_length", [5, 6, 7, 12, 13, 64])
def test_pairs_are_cut_as_the_library_cuts_them(file: Path, max_length: int) -> None:
    library = tokenizers.Tokenizer.from_file(str(file))
    library.no_padding()
    library.enable_truncation(max_length, strategy="longest_first")
    ours = Tokenizer(file, max_length=max_length, sequences=2)
    lengths = list(itertools.product(range(9), repeat=2))
    expected = [library.encode(words(query), words(document)) for query, document in lengths]
    entries = [ours.encode_pairs(words(query), [words(document)])[0] for query, document in lengths]
    assert entries == [
        Entry(ids=tuple(pair.ids), type_ids=tuple(pair.type_ids), truncated=bool(pair.overflowing)) for pair in expected
    ]


@pytest.mark.parametrize(
    ("lengths", "limit", "kept"),
    [((3, 4), 7, (3, 4)), ((3, 9), 7, (3, 4)), ((9, 3), 7, (4, 3)), ((9, 8), 7, (4, 3)), ((8, 8), 7, (3, 4))],
)
def test_the_longer_text_is_cut_first(lengths: tuple[int, int], limit: int, kept: tuple[int, int]) -> None:
    assert longest_first(*lengths, limit=limit) == kept


def test_two_long_texts_cost_no_more_than_they_are_long(file: Path) -> None:
    (entry,) = Tokenizer(file, max_length=32, sequences=2).encode_pairs("cat " * 20_000, ["cat " * 20_000])
    assert (len(entry.ids), entry.truncated) == (32, True)


def test_a_template_of_several_special_tokens_in_a_row_is_kept(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "a": 2, "b": 3}, unk_token="a"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    library.save(str(tmp_path / "tokenizer.json"))
    (entry,) = Tokenizer(tmp_path / "tokenizer.json", max_length=9, sequences=2).encode_pairs("b", ["b b"])
    assert entry.ids == tuple(library.encode("b", "b b").ids) == (0, 3, 1, 1, 3, 3, 1)


def test_a_tokenizer_without_special_tokens_works(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.save(str(tmp_path / "tokenizer.json"))
    (entry,) = Tokenizer(tmp_path / "tokenizer.json", max_length=2, sequences=1).encode(["b a b"])
    assert entry == Entry(ids=(1, 0), type_ids=(0, 0), truncated=True)


def test_a_template_without_a_place_for_the_text_is_refused(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.WordLevel({"[CLS]": 0, "a": 1}, unk_token="a"))
    library.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $B $A", special_tokens=[("[CLS]", 0)]
    )
    file = tmp_path / "tokenizer.json"
    library.save(str(file))
    with pytest.raises(ModelError) as caught:
        Tokenizer(file, max_length=8, sequences=2)
    assert str(caught.value) == f"`{file}`: its template does not hold 2 text(s) once, in order"


def test_a_length_without_room_for_text_is_refused(file: Path) -> None:
    with pytest.raises(ModelError) as caught:
        Tokenizer(file, max_length=4, sequences=2)
    assert str(caught.value) == f"`{file}`: 3 special tokens leave no room within `4`"


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(ModelError, match=f"^`{file}`: "):
        Tokenizer(file, max_length=8, sequences=1)
