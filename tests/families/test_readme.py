from pathlib import Path

from tests.builder.test_repositories import EVERY
from tests.families.readme import examples, table

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_has_the_table_of_families() -> None:
    assert table() in README.read_text()


def test_every_repository_that_the_table_names_has_a_layout() -> None:
    assert examples() <= {layout.name for layout, _ in EVERY}
