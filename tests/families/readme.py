"""Own the README's table of families, of which each row is a parameter of the tests beside it.

`python -m tests.families.readme` prints it.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

from tests.families.classifiers import CLASSIFIERS
from tests.families.embedders import EMBEDDERS
from tests.families.rerankers import RERANKERS


class Family(Protocol):
    """What the table shows of a family, whatever it answers."""

    @property
    def name(self) -> str: ...
    @property
    def examples(self) -> Sequence[str]: ...
    @property
    def decided(self) -> str: ...


FAMILIES: dict[str, Sequence[Family]] = {"embedding": EMBEDDERS, "reranker": RERANKERS, "classifier": CLASSIFIERS}


def table() -> str:
    """Write a row a family."""
    return "".join(f"{line}\n" for line in _lines())


def examples() -> set[str]:
    """Name every repository that the table names."""
    return {example for families in FAMILIES.values() for family in families for example in family.examples}


def _lines() -> Iterator[str]:
    yield "| task | family | for example | what is decided |"
    yield "|---|---|---|---|"
    for task, families in FAMILIES.items():
        for family in families:
            named = ", ".join(f"`{example}`" for example in family.examples)
            yield f"| {task} | {family.name} | {named} | {family.decided} |"


if __name__ == "__main__":
    sys.stdout.write(table())
