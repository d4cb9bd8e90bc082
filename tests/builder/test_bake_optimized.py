import json
from pathlib import Path

import pytest

from templates.stages import bake_optimized

REPOSITORY = "models--local--embedder"
REVISION = "a" * 40
SNAPSHOT = f"opt/hf-cache/hub/{REPOSITORY}/snapshots/{REVISION}"
TREE = f"hub/{REPOSITORY}/trees/{REVISION}.json"
LINK = "opt/hf-cache/transformers/local/embedder"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    folder = tmp_path / "original"
    files = {
        f"{SNAPSHOT}/onnx/model.onnx": "graph",
        f"{SNAPSHOT}/onnx/model.onnx_data": "weights",
        f"{SNAPSHOT}/tokenizer.json": "{}",
        f"opt/hf-cache/{TREE}": "all",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / LINK).parent.mkdir(parents=True)
    (folder / LINK).symlink_to(f"../../hub/{REPOSITORY}/snapshots/{REVISION}")
    return folder


def laid_out(tmp_path: Path, original: Path, *, graph: str | None) -> dict[str, str]:
    """Lay a model out beside what was derived, and return the text of every file, and where a link leads."""
    wanted, out = tmp_path / "wanted", tmp_path / "out"
    (wanted / "cache" / TREE).parent.mkdir(parents=True)
    (wanted / "cache" / TREE).write_text("what is left")
    (wanted / "replaces.txt").write_text("onnx/model.onnx\nonnx/model.onnx_data\n")
    derived = out / f"opt/hf-cache/optimized/{REPOSITORY}/{REVISION}/embedder"
    derived.mkdir(parents=True)
    (derived / "derived.json").write_text(json.dumps({"graph": graph}))
    bake_optimized.main(wanted, original, derived, out)
    found = (path for path in out.rglob("*") if path.is_symlink() or path.is_file())
    return {
        str(path.relative_to(out)): str(path.readlink()) if path.is_symlink() else path.read_text() for path in found
    }


def test_a_derived_graph_has_the_place_of_the_original_and_its_weights(tmp_path: Path, original: Path) -> None:
    assert laid_out(tmp_path, original, graph="model.onnx") == {
        f"{SNAPSHOT}/tokenizer.json": "{}",
        f"opt/hf-cache/{TREE}": "what is left",
        LINK: f"../../hub/{REPOSITORY}/snapshots/{REVISION}",
        f"opt/hf-cache/optimized/{REPOSITORY}/{REVISION}/embedder/derived.json": '{"graph": "model.onnx"}',
    }


def test_where_no_graph_was_derived_the_original_stays_whole(tmp_path: Path, original: Path) -> None:
    files = laid_out(tmp_path, original, graph=None)
    assert (files[f"{SNAPSHOT}/onnx/model.onnx"], files[f"{SNAPSHOT}/onnx/model.onnx_data"]) == ("graph", "weights")
    assert files[f"opt/hf-cache/{TREE}"] == "all"
