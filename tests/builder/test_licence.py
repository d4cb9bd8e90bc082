import pytest

from builder import licence


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("apache-2.0", ("apache-2.0",)),
        ("mit, cc-by-4.0", ("mit", "cc-by-4.0")),
        ("house terms (https://example.com/terms)", ("house terms",)),
        ("", ()),
    ],
)
def test_the_licences_of_a_model_are_called_as_its_card_does(text: str, names: tuple[str, ...]) -> None:
    assert licence.names(text) == names


@pytest.mark.parametrize(
    ("texts", "expression"),
    [
        (["apache-2.0", "mit", "apache-2.0"], "Apache-2.0 AND MIT"),
        (["gemma", "cc-by-nc-4.0"], "LicenseRef-gemma AND CC-BY-NC-4.0"),
        (["gpl-3.0", "GPL-3.0-only"], "GPL-3.0-only"),
        (["house terms (https://example.com/terms)"], "LicenseRef-house-terms"),
        ([""], "LicenseRef-none-named"),
        (["mit, cc-by-4.0"], "MIT AND CC-BY-4.0"),
    ],
)
def test_the_licences_of_an_image_are_an_expression_of_spdx(texts: list[str], expression: str) -> None:
    assert licence.expression(texts) == expression
