import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from builder import optimization
from builder.manifest import Model, Optimize
from tests.builder.optimized import OPTIMIZATION


def decided(directory: Path = Path(), **wishes: Any) -> optimization.Optimization:
    model = Model(task="embedding", path="a", optimize=Optimize.model_validate(wishes))
    found = optimization.of_model(model, directory=directory)
    assert found is not None
    return found


def test_a_model_that_does_not_ask_is_not_optimised() -> None:
    assert optimization.of_model(Model(task="embedding", path="a"), directory=Path()) is None


def test_the_digest_of_samples_is_part_of_the_decision(tmp_path: Path) -> None:
    (tmp_path / "texts").write_bytes(b"one\n")
    assert decided(tmp_path, samples="texts").samples_sha256 == hashlib.sha256(b"one\n").hexdigest()


def test_the_versions_are_those_of_the_libraries_that_make_graphs() -> None:
    assert {"onnx", "onnxruntime"} <= set(decided().versions)


def test_the_optimiser_s_onnx_runtime_is_the_server_s() -> None:
    requirements = (Path(__file__).parents[2] / "runtime/requirements.txt").read_text()
    assert f"\nonnxruntime=={decided().versions['onnxruntime']} " in requirements


@pytest.mark.parametrize(
    "changes", [{"quantize": "q4"}, {"exclude": ()}, {"program": "0" * 12}, {"samples_sha256": "0" * 64}]
)
def test_the_digest_changes_with_whatever_a_graph_is_made_by(changes: dict[str, Any]) -> None:
    assert replace(OPTIMIZATION, **changes).digest != OPTIMIZATION.digest


def test_it_is_read_as_a_lock_has_it() -> None:
    written = {**asdict(OPTIMIZATION), "exclude": list(OPTIMIZATION.exclude), "variants": []}
    assert optimization.read(written) == OPTIMIZATION


def test_it_is_told_in_a_few_words() -> None:
    assert str(replace(OPTIMIZATION, variants=("int8-vnni",))) == "graph, int8, int8-vnni, pooling"
    assert str(replace(OPTIMIZATION, graph=False, quantize="none")) == "pooling"


def test_every_program_of_the_stage_is_known() -> None:
    assert {"bake-optimized.sh", "bake_optimized.py", "normalise.sh", "optimize_model.py"} <= set(
        optimization.programs()
    )
