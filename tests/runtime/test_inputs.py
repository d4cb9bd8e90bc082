import pytest

from runtime.errors import EmptyError, InvalidError
from runtime.inputs import predicted_of, texts_of
from runtime.schemas import TextDocument


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], "a", []], [[1, 2], "a", []]),
        ([TextDocument(text="a")], ["a"]),
        ([], []),
    ],
)
def test_a_field_holds_texts_or_ids_alone_or_in_a_list(given: list[str], texts: list[object]) -> None:
    assert texts_of(given, param="input") == texts


@pytest.mark.parametrize("given", [["a", 1], [1, [2]]])
def test_single_ids_beside_texts_are_nobodys(given: list[str]) -> None:
    with pytest.raises(InvalidError) as caught:
        texts_of(given, param="input")
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    ("given", "inputs", "is_batch"),
    [
        ("a", ["a"], False),
        (["a"], ["a"], False),
        (["a", "b"], [("a", "b")], False),
        ([["a"], ["a", "b"]], ["a", ("a", "b")], True),
    ],
)
def test_a_flat_list_of_two_is_a_pair(given: list[str], inputs: list[object], *, is_batch: bool) -> None:
    assert predicted_of(given, param="inputs") == (inputs, is_batch)


@pytest.mark.parametrize(
    ("given", "param"), [(["a", "b", "c"], "inputs"), ([["a"], []], "inputs[1]"), (["a", ["b"]], "inputs")]
)
def test_what_is_neither_one_nor_a_pair_is_refused(given: list[str], param: str) -> None:
    with pytest.raises(InvalidError) as caught:
        predicted_of(given, param="inputs")
    assert caught.value.param == param


def test_nothing_is_empty() -> None:
    with pytest.raises(EmptyError):
        predicted_of([], param="inputs")
