from pathlib import Path

import numpy as np
import pytest

from runtime.embedder import Embedder
from runtime.inference import embed, run
from tests.families import numbers
from tests.families.embedders import EMBEDDERS, TASKS, Family, ids_of
from tests.families.serving import served
from tests.runtime import reference

TOLERANCE = 1e-6
TEXTS = ["The cat sits on the warm windowsill.", "rates", "", "Interest rates rose by a quarter point on Tuesday."]
ADAPTED = next(family for family in EMBEDDERS if family.name.startswith("LoRA"))


@pytest.mark.parametrize("max_batch_tokens", [1, 4096], ids=["alone", "together"])
@pytest.mark.parametrize("family", EMBEDDERS, ids=[family.name for family in EMBEDDERS])
def test_a_family_answers_what_its_definition_says(tmp_path: Path, family: Family, max_batch_tokens: int) -> None:
    family.write(tmp_path / "model")
    embedder = served(tmp_path / "model", {"task": "embedding", **family.keys})
    assert isinstance(embedder, Embedder)
    answers = embed(embedder, TEXTS, max_batch_tokens=max_batch_tokens, **family.asked).vectors
    np.testing.assert_allclose(answers, [family.answer(text) for text in TEXTS], atol=TOLERANCE)


def test_texts_of_several_adapters_are_answered_each_with_its_own(tmp_path: Path) -> None:
    ADAPTED.write(tmp_path / "model")
    embedder = served(tmp_path / "model", {"task": "embedding", **ADAPTED.keys})
    assert isinstance(embedder, Embedder)
    names = ["text-matching", "separation", "text-matching", None]
    entries = [embedder.entries([text], prompt_name=name)[0] for text, name in zip(TEXTS, names, strict=True)]
    adapters = [TASKS.index(name or "text-matching") for name in names]
    expected = [
        reference.unit(numbers.encoder_states(ids_of(text), adapter=adapter).mean(axis=0))
        for text, adapter in zip(TEXTS, adapters, strict=True)
    ]
    np.testing.assert_allclose(embedder.finish(run(embedder, entries), entries).vectors, expected, atol=TOLERANCE)
