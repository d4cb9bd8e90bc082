import pytest

from runtime.template import render


def test_every_placeholder_is_filled_in_and_the_places_of_the_texts_are_known() -> None:
    rendered = render("<{prompt}> Q: {query}\nD: {document}.", prompt="Judge", query="why?", document="because")
    assert rendered.text == "<Judge> Q: why?\nD: because."
    assert rendered.text[slice(*rendered.query)] == "why?"
    assert rendered.text[slice(*rendered.document)] == "because"


def test_the_document_may_come_first() -> None:
    rendered = render("{document} answers {query}", prompt="", query="why?", document="because")
    assert (rendered.text, rendered.query, rendered.document) == ("because answers why?", (16, 20), (0, 7))


def test_what_looks_like_a_placeholder_in_a_text_stays() -> None:
    rendered = render("{query}|{document}", prompt="", query="{document}", document="{query}{prompt}")
    assert rendered.text == "{document}|{query}{prompt}"


def test_other_braces_are_text() -> None:
    assert render("{a} {{query}} {document}", prompt="", query="q", document="d").text == "{a} {q} d"


@pytest.mark.parametrize(
    ("span", "owner"),
    [
        ((0, 1), None),
        ((1, 2), 0),
        ((0, 3), 0),
        ((2, 4), 0),
        ((3, 4), None),
        ((4, 6), 1),
        ((6, 7), None),
        ((4, 4), None),
    ],
)
def test_a_token_is_that_text_s_of_which_it_has_a_letter(span: tuple[int, int], owner: int | None) -> None:
    assert render(" {query} {document} ", prompt="", query="ab", document="cd").owner(*span) == owner
