import re
import textwrap
from pathlib import Path

import yaml

from tests.builder.reranker_repositories import QWEN_KEYS
from tests.builder.test_repositories import EVERY
from tests.families.readme import examples, table

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_has_the_table_of_families() -> None:
    assert table() in README.read_text()


def test_every_repository_that_the_table_names_has_a_layout() -> None:
    assert examples() <= {layout.name for layout, _ in EVERY}


def test_the_causal_reranker_that_the_readme_shows_is_the_one_that_is_tested() -> None:
    (shown,) = re.findall(r"^    qwen3-reranker:\n(?:      .*\n)+", README.read_text(), re.MULTILINE)
    model = yaml.safe_load(textwrap.dedent(shown))["qwen3-reranker"]
    assert model == {
        "task": "reranker",
        "repo": "onnx-community/Qwen3-Reranker-0.6B-ONNX",
        "dtype": "q4",
        **QWEN_KEYS,
        "max_length": 2048,
    }
