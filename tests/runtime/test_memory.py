import json

import pytest

from runtime.embedder import Embedder
from runtime.memory import largest_batch
from runtime.reranker import Reranker
from tests.runtime.conftest import Folders
from tests.runtime.server import run_command


@pytest.mark.parametrize(("budget", "count"), [(1, 1), (24, 1), (47, 1), (48, 2), (512, 21)])
def test_the_largest_batch_is_of_the_longest_texts_that_the_budget_holds(
    embedder: Embedder, budget: int, count: int
) -> None:
    lengths = [(len(entry.ids), len(entry.type_ids)) for entry in largest_batch(embedder, max_batch_tokens=budget)]
    assert lengths == [(24, 24)] * count


def test_the_largest_batch_of_a_reranker_can_run(reranker: Reranker) -> None:
    assert reranker.forward(largest_batch(reranker, max_batch_tokens=64)).shape == (2, 1)


def test_the_most_memory_is_measured_by_a_command(folders: Folders) -> None:
    measured = json.loads(run_command("memory", bundle=str(folders.bundle), max_batch_tokens="128").stdout)
    assert (measured.pop("most_bytes") >= measured.pop("loaded_bytes") > 0, measured) == (
        True,
        {"ceiling_bytes": None, "max_batch_tokens": 128, "lanes": 2},
    )
