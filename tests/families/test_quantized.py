"""What a graph that quantises dynamically answers: measured on one that ONNX Runtime's own tool has quantised."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from builder import recipe
from builder.folder import open_folder
from builder.recipe import Recipe, decide
from runtime import selftest
from runtime.admission import Admission
from runtime.bundle import Bundle
from runtime.embedder import Embedder
from runtime.inference import embed
from runtime.metrics import Metrics
from runtime.service import Service
from tests.families import graphs
from tests.families.graphs import IDS_AND_MASK, TOKENS, node
from tests.families.serving import bundled, configs, served
from tests.support.memory_repository import manifest_model

KEYS = {"task": "embedding", "dtype": "q8", "pooling": "mean", "normalize": True}
COMPANY = ["cat", "The cat sits.", "Interest rates rose by a quarter point on Tuesday.", "rates rose"] * 4
TEXTS = ["The cat sits on the warm windowsill.", "rates", "Interest rates rose by a quarter point on Tuesday."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose last layer has 8-bit weights and 8-bit activations, of a range found while it runs."""
    made = tmp_path_factory.mktemp("quantized") / "model"
    graphs.tokenizer(made)
    configs(made)
    states = [*graphs.encoder("states"), node("MatMul", ["states", "queries"], ["last_hidden_state"])]
    graphs.write(made / "onnx/model.onnx", nodes=states, inputs=IDS_AND_MASK, outputs={"last_hidden_state": TOKENS})
    quantize_dynamic(
        made / "onnx/model.onnx",
        made / "onnx/model_quantized.onnx",
        op_types_to_quantize=["MatMul"],
        weight_type=QuantType.QInt8,
    )
    return made


def decided(folder: Path, **keys: object) -> Recipe:
    repository = open_folder(folder, name="m", cache_directory=folder.parent / "cache")
    return decide(manifest_model(**{**KEYS, **keys}), repository)


def embedder(folder: Path, **keys: object) -> Embedder:
    loaded = served(folder, {**KEYS, **keys})
    assert isinstance(loaded, Embedder)
    return loaded


def far(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(np.abs(first - second).max())


def test_a_dynamically_quantised_graph_is_recognised(folder: Path) -> None:
    plain, quantised, allowed = decided(folder, dtype="fp32"), decided(folder), decided(folder, batching=True)
    assert [(made.quantizes_dynamically, made.batching) for made in (plain, quantised, allowed)] == [
        (False, True),
        (True, False),
        (True, True),
    ]


def test_whoever_locks_it_is_told(folder: Path) -> None:
    told = [list(recipe.warnings(decided(folder, **keys))) for keys in ({"dtype": "fp32"}, {}, {"batching": True})]
    scale = "`onnx/model_quantized.onnx` quantises what it computes by the range of a whole run"
    assert told == [
        [],
        [f"{scale}: each text runs alone, or its answer would depend on others (`batching: true` allows that)"],
        [f"{scale}: with `batching: true` an answer depends on the texts that share its run"],
    ]


def test_its_answers_do_not_depend_on_their_company(folder: Path) -> None:
    model = embedder(folder)
    alone = np.concatenate([embed(model, [text]).vectors for text in TEXTS])
    np.testing.assert_array_equal(embed(model, TEXTS).vectors, alone)


def test_with_batching_they_do(folder: Path) -> None:
    model = embedder(folder, batching=True)
    alone = np.concatenate([embed(model, [text]).vectors for text in TEXTS])
    assert far(embed(model, TEXTS).vectors, alone) > 1e-3


async def asked_at_once(bundle: Bundle) -> NDArray[np.float32]:
    """Ask a service for the same texts in requests that wait together."""
    admission = Admission(max_entries=64, max_tokens=4096)
    service = Service(
        bundle, golden=Path("/nowhere"), threads=1, max_batch_tokens=4096, admission=admission, metrics=Metrics()
    )
    await service.load(on_death=lambda error: pytest.fail(str(error)))
    answers = await asyncio.gather(*(service.embed(COMPANY, model=None) for _ in range(4)))
    return np.array([embeddings.vectors for _, embeddings in answers])


def test_a_service_runs_its_texts_one_by_one_too(folder: Path) -> None:
    alone = np.concatenate([embed(embedder(folder), [text]).vectors for text in COMPANY])
    answers = asyncio.run(asked_at_once(bundled(folder, KEYS)))
    np.testing.assert_array_equal(answers, [alone] * 4)


def test_a_graph_that_is_not_quantised_can_be_run_one_text_at_a_time(folder: Path) -> None:
    alone = embedder(folder, dtype="fp32", batching=False)
    together = embedder(folder, dtype="fp32")
    np.testing.assert_allclose(embed(alone, TEXTS).vectors, embed(together, TEXTS).vectors, atol=1e-6)


@pytest.mark.parametrize(("batching", "expected"), [(False, True), (True, False)])
def test_the_selftest_wants_a_batch_to_equal_singles_unless_the_manifest_gave_that_up(
    folder: Path, *, batching: bool, expected: bool
) -> None:
    report = selftest.check_model(embedder(folder, batching=batching).model, threads=1)
    assert ("batch_equals_singles" in {check.name for check in report.checks}) is expected
    assert report.passed
