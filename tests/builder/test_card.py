from dataclasses import replace
from typing import Any

import pytest

from builder import card
from tests.support import memory_repository

LINK = "https://ai.google.dev/gemma/terms"


@pytest.mark.parametrize(
    ("data", "licence"),
    [
        ({"license": "apache-2.0"}, "apache-2.0"),
        ({"license": ["mit", "apache-2.0"]}, "mit, apache-2.0"),
        ({"license": "mit", "license_name": "not read", "license_link": "not read"}, "mit"),
        ({"license": "other"}, "other"),
        ({"license": "other", "license_name": "gemma  terms\n"}, "gemma terms"),
        ({"license": "other", "license_name": "gemma", "license_link": LINK}, f"gemma ({LINK})"),
        ({"license": "other", "license_link": "LICENSE"}, "other (LICENSE)"),
        ({"license": 5}, "5"),
        ({"license": None}, ""),
        ({"language": "en"}, ""),
    ],
)
def test_the_licence_is_what_the_card_s_data_names(data: dict[str, Any], licence: str) -> None:
    assert card.named(data) == licence


@pytest.mark.parametrize(
    "text",
    [
        "---\nlanguage: en\nlicense: mit\n---\n# A model\n",
        "\n---  \nlicense: mit\n---",
        "\ufeff---\r\nlicense: mit\r\n---\r\n# A model\r\n",
        "---\nlicense: mit\nwords: ${HOME} $$\n---\n",
    ],
    ids=["usual", "spaces", "Windows", "dollars"],
)
def test_the_card_is_the_front_matter_of_the_readme(text: str) -> None:
    assert card.licence(memory_repository.repository({"README.md": text.encode()})) == "mit"


@pytest.mark.parametrize(
    "text",
    [
        b"# A model\nlicense: mit\n",
        b"---\nlicense: mit\n",
        b"---\n[mit]\n---\n",
        b"---\nlicense: [mit\n---\n",
        b"---\nreleased: 2024-99-99\n---\n",
        b"\xff\xfe",
        b"",
    ],
    ids=["no front matter", "no end", "a list", "no YAML", "no date", "no text", "empty"],
)
def test_a_readme_without_a_card_names_no_licence(text: bytes) -> None:
    assert card.licence(memory_repository.repository({"README.md": text})) == ""


def test_the_card_of_a_revision_counts_more_than_what_a_listing_says() -> None:
    repository = memory_repository.repository({"README.md": b"---\nlicense: mit\n---\n"})
    assert card.licence(replace(repository, licence="apache-2.0")) == "mit"


@pytest.mark.parametrize("files", [{}, {"README.md": b"# A model\n"}], ids=["no readme", "no card"])
def test_without_a_card_the_listing_says_it(files: dict[str, bytes]) -> None:
    assert card.licence(replace(memory_repository.repository(files), licence="apache-2.0")) == "apache-2.0"
