"""Own the texts of the serving benchmark: passages of the documentation that comes with Python (`pydoc_data`).

They are real prose and code of mixed length, are there wherever Python is, and are the same for the same Python.
"""

import hashlib
import json
import random
import re
from dataclasses import dataclass
from pydoc_data.topics import topics

SEED = 20261123
LEAST_CHARACTERS = 20
PARAGRAPHS = (1, 2, 3, 6)  # of one passage
WEIGHTS = (80, 12, 5, 3)  # how often
LONGEST_QUERY = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """Passages to embed, in random order, and short texts to ask for one by one."""

    passages: tuple[str, ...]
    queries: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Tell one workload from another."""
        return hashlib.sha256(json.dumps([self.passages, self.queries]).encode()).hexdigest()[:12]


def read_workload(*, passages: int, queries: int) -> Workload:
    """Cut the documentation into passages, and choose from them."""
    chance = random.Random(SEED)  # noqa: S311 - to be the same every time
    found = []
    for name in sorted(topics):
        paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", topics[name])]
        paragraphs = [paragraph for paragraph in paragraphs if len(paragraph) >= LEAST_CHARACTERS]
        while paragraphs:
            (count,) = chance.choices(PARAGRAPHS, weights=WEIGHTS)
            found.append(" ".join(paragraphs[:count]))
            del paragraphs[:count]
    found = list(dict.fromkeys(found))
    chance.shuffle(found)
    short = [text for text in found if len(text) <= LONGEST_QUERY]
    if len(found) < passages or len(short) < queries:
        raise SystemExit(f"Python's documentation has {len(found)} passages and {len(short)} short ones")
    return Workload(passages=tuple(found[:passages]), queries=tuple(short[:queries]))
