import itertools
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from runtime.bundle import Side
from runtime.errors import InvalidError, ModelError
from runtime.template import render
from runtime.tokenizer import Entry, Pair, Token, Tokenizer, longest_first
from tests.runtime import tiny

WORDS = " ".join(itertools.islice(itertools.cycle(tiny.WORDS), 40))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def words(count: int) -> str:
    return " ".join(WORDS.split()[:count])


def paired(tokenizer: Tokenizer, query: str, document: str) -> Entry:
    (pair,) = tokenizer.pairs([(query, document)])
    return pair.cut()


def test_a_text_stands_between_its_special_tokens(file: Path) -> None:
    (entry,) = Tokenizer(file, max_length=16, sequences=1).encode(["The cat."])
    the, cat, stop = tiny.ids_of("The cat.")
    assert entry == Entry(ids=(tiny.CLS, the, cat, stop, tiny.SEP), type_ids=(0,) * 5)


def test_a_pair_has_real_segment_ids(file: Path) -> None:
    entry = paired(Tokenizer(file, max_length=16, sequences=2), "the cat", "rates")
    ids = (tiny.CLS, *tiny.ids_of("the cat"), tiny.SEP, *tiny.ids_of("rates"), tiny.SEP)
    assert entry == Entry(ids=ids, type_ids=(0, 0, 0, 0, 1, 1))


@pytest.mark.parametrize(("count", "cut"), [(5, 0), (6, 0), (7, 1)])
def test_truncation_counts_special_tokens_and_is_reported(file: Path, count: int, cut: int) -> None:
    (entry,) = Tokenizer(file, max_length=8, sequences=1).encode([words(count)])
    assert (len(entry.ids), entry.ids[-1], entry.cut) == (min(count, 6) + 2, tiny.SEP, cut)


def test_tokens_that_are_not_pooled_are_passed_on(file: Path) -> None:
    entries = Tokenizer(file, max_length=16, sequences=1).encode(["the cat", "rates"], skipped=2)
    assert [entry.skipped for entry in entries] == [2, 2]


def test_a_beginning_is_counted_with_the_special_tokens_before_it(file: Path) -> None:
    assert Tokenizer(file, max_length=16, sequences=1).count_leading("search query: ") == 1 + 3


def test_an_empty_text_is_only_special_tokens(file: Path) -> None:
    (entry,) = Tokenizer(file, max_length=8, sequences=1).encode([""])
    assert entry == Entry(ids=(tiny.CLS, tiny.SEP), type_ids=(0, 0))


@pytest.mark.parametrize("max_length", [5, 6, 7, 12, 13, 64])
def test_pairs_are_cut_as_the_library_cuts_them(file: Path, max_length: int) -> None:
    library = tokenizers.Tokenizer.from_file(str(file))
    library.no_padding()
    library.enable_truncation(max_length, strategy="longest_first")
    ours = Tokenizer(file, max_length=max_length, sequences=2)
    lengths = list(itertools.product(range(9), repeat=2))
    expected = [library.encode(words(query), words(document)) for query, document in lengths]
    entries = [paired(ours, words(query), words(document)) for query, document in lengths]
    assert entries == [
        Entry(ids=tuple(pair.ids), type_ids=tuple(pair.type_ids), cut=max(0, sum(length) + 3 - max_length))
        for pair, length in zip(expected, lengths, strict=True)
    ]


@pytest.mark.parametrize(
    ("lengths", "limit", "kept"),
    [((3, 4), 7, (3, 4)), ((3, 9), 7, (3, 4)), ((9, 3), 7, (4, 3)), ((9, 8), 7, (4, 3)), ((8, 8), 7, (3, 4))],
)
def test_the_longer_text_is_cut_first(lengths: tuple[int, int], limit: int, kept: tuple[int, int]) -> None:
    assert longest_first(*lengths, limit=limit) == kept


def test_two_long_texts_cost_no_more_than_they_are_long(file: Path) -> None:
    entry = paired(Tokenizer(file, max_length=32, sequences=2), "cat " * 20_000, "cat " * 20_000)
    assert (len(entry.ids), entry.cut) == (32, 40_000 + 3 - 32)


@pytest.fixture(scope="module")
def byte_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a byte-level tokenizer, as decoders have: a space and the word after it are one token."""
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    texts = ["Query: why is the cat here? Document: because the cat likes the warm windowsill"] * 4
    library.train_from_iterator(texts, trainer)
    file = tmp_path_factory.mktemp("byte-pairs") / "tokenizer.json"
    library.save(str(file))
    return file


LAYOUT = "Query: {query}\nDocument: {document}<|end|>\n"


def rendered(file: Path, query: str, document: str, *, max_length: int) -> Pair:
    text = render(LAYOUT, prompt="", query=query, document=document)
    (pair,) = Tokenizer(file, max_length=max_length, sequences=2).rendered_pairs([text])
    return pair


@pytest.mark.parametrize("document", ["because the cat likes the warm windowsill", "", "naïve ✓ 猫", "<|end|>"])
def test_a_template_is_tokenized_as_the_text_that_it_makes(byte_pairs: Path, document: str) -> None:
    entry = rendered(byte_pairs, "why is it here?", document, max_length=200).cut()
    whole = LAYOUT.replace("{query}", "why is it here?").replace("{document}", document)
    library = tokenizers.Tokenizer.from_file(str(byte_pairs))
    ids = library.encode(whole, add_special_tokens=False).ids
    assert entry == Entry(ids=tuple(ids), type_ids=(0,) * len(ids))


@pytest.mark.parametrize("max_length", [20, 40])
def test_of_a_template_only_texts_are_cut(byte_pairs: Path, max_length: int) -> None:
    library = tokenizers.Tokenizer.from_file(str(byte_pairs))
    entry = rendered(byte_pairs, "why", "the cat likes " * 50, max_length=max_length).cut()
    kept = library.decode(list(entry.ids), skip_special_tokens=False)
    assert (len(entry.ids), entry.cut > 0) == (max_length, True)
    assert kept.startswith("Query: why\nDocument: the cat")
    assert kept.endswith("<|end|>\n")


def test_a_template_of_several_special_tokens_in_a_row_is_kept(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "a": 2, "b": 3}, unk_token="a"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    library.save(str(tmp_path / "tokenizer.json"))
    entry = paired(Tokenizer(tmp_path / "tokenizer.json", max_length=9, sequences=2), "b", "b b")
    assert entry.ids == tuple(library.encode("b", "b b").ids) == (0, 3, 1, 1, 3, 3, 1)


def test_a_tokenizer_without_special_tokens_works(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.save(str(tmp_path / "tokenizer.json"))
    (entry,) = Tokenizer(tmp_path / "tokenizer.json", max_length=2, sequences=1).encode(["b a b"])
    assert entry == Entry(ids=(1, 0), type_ids=(0, 0), cut=1)


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


def test_ids_are_taken_as_they_are(file: Path) -> None:
    entries = Tokenizer(file, max_length=8, sequences=1).encode([[tiny.CLS, 9, tiny.SEP], "the", [9]])
    assert [entry.ids for entry in entries] == [
        (tiny.CLS, 9, tiny.SEP),
        (tiny.CLS, *tiny.ids_of("the"), tiny.SEP),
        (9,),
    ]


@pytest.mark.parametrize(
    ("ids", "keep", "kept"),
    [
        ([tiny.CLS, 5, 6, 7, 8, tiny.SEP], "left", (tiny.CLS, 5, 6, tiny.SEP)),
        ([tiny.CLS, 5, 6, 7, 8, tiny.SEP], "right", (tiny.CLS, 7, 8, tiny.SEP)),
        ([5, 6, 7, 8, 9, 10], "left", (5, 6, 7, 8)),
        ([5, 6, 7, 8, 9, 10], "right", (7, 8, 9, 10)),
    ],
)
def test_too_many_ids_are_cut_between_their_special_tokens(
    file: Path, ids: list[int], keep: Side, kept: tuple[int, ...]
) -> None:
    (entry,) = Tokenizer(file, max_length=4, sequences=1).encode([ids], keep=keep)
    assert (entry.ids, entry.cut) == (kept, 2)


def test_a_text_can_be_cut_at_its_beginning(file: Path) -> None:
    (entry,) = Tokenizer(file, max_length=4, sequences=1).encode(["the cat rates"], keep="right")
    assert entry.ids == (tiny.CLS, *tiny.ids_of("cat rates"), tiny.SEP)


@pytest.mark.parametrize("token_id", [-1, len(tiny.VOCABULARY), 100_257])
def test_an_id_that_is_none_of_the_vocabulary_is_refused(file: Path, token_id: int) -> None:
    with pytest.raises(InvalidError) as caught:
        Tokenizer(file, max_length=8, sequences=1).encode([[5, token_id]])
    assert (caught.value.message, caught.value.param) == (
        f"token id `{token_id}` is none of this model's `{len(tiny.VOCABULARY)}`; "
        "send text, or ids of this model's own tokenizer",
        "input",
    )


def test_a_document_is_cut_before_the_pair_is(file: Path) -> None:
    tokenizer = Tokenizer(file, max_length=16, sequences=2)
    long, short = tokenizer.pairs([("cat", words(5)), ("cat", words(2))])
    cut = long.shortened(2).cut()
    assert (cut.ids, cut.cut) == (short.cut().ids, 3)


def test_a_pair_can_be_cut_at_its_beginnings(file: Path) -> None:
    tokenizer = Tokenizer(file, max_length=9, sequences=2)
    (pair,) = tokenizer.pairs([(words(5), words(5))])
    entry = pair.cut(keep="right")
    ids = tiny.ids_of(words(5))
    assert entry.ids == (tiny.CLS, *ids[-3:], tiny.SEP, *ids[-3:], tiny.SEP)


def test_tokens_lie_where_their_bytes_do(file: Path) -> None:
    tokens = Tokenizer(file, max_length=4, sequences=1).tokens("é cat 😀 sits cat")
    cat, sits = tiny.ids_of("cat sits")
    assert tokens == [
        Token(id=tiny.CLS, text="[CLS]"),
        Token(id=tiny.UNK, text="é", start=0, stop=2),
        Token(id=cat, text="cat", start=3, stop=6),
        Token(id=tiny.UNK, text="😀", start=7, stop=11),
        Token(id=sits, text="sits", start=12, stop=16),
        Token(id=cat, text="cat", start=17, stop=20),
        Token(id=tiny.SEP, text="[SEP]"),
    ]


def test_ids_are_made_text_again(file: Path) -> None:
    tokenizer = Tokenizer(file, max_length=4, sequences=1)
    assert tokenizer.decode(tiny.ids_of("the cat sits")) == "the cat sits"


def test_an_id_without_text_is_refused(file: Path) -> None:
    with pytest.raises(InvalidError):
        Tokenizer(file, max_length=4, sequences=1).decode([len(tiny.VOCABULARY)])
