"""Models whose graph was derived in the build: how the bundle reads them."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime import bundle, processor
from runtime.bundle import read_bundle
from runtime.embedder import Embedder
from runtime.errors import BundleError
from runtime.files import problems
from runtime.inference import embed
from tests.runtime import overlays, tiny
from tests.runtime.conftest import Folders


def write(root: Path, folders: Folders, **facts: Any) -> Path:
    entry = overlays.write(root, tiny.embedder_entry(folders.embedder), **facts)
    return tiny.write_bundle(root / "bundle.json", entry)


def test_a_derived_graph_has_the_place_of_the_model_s_own(tmp_path: Path, folders: Folders) -> None:
    (model,) = read_bundle(write(tmp_path, folders)).models
    assert model.graph_file == tmp_path / "optimized/tiny/model.onnx"
    assert (model.original_graph, model.level) == ("onnx/model.onnx", "disabled")
    assert "onnx/model.onnx" not in model.files
    assert list(problems(model)) == []
    assert embed(Embedder(model, threads=1), ["cat"]).vectors.shape == (1, tiny.HIDDEN)


def test_the_digests_of_derived_files_are_checked(tmp_path: Path, folders: Folders) -> None:
    (model,) = read_bundle(write(tmp_path, folders)).models
    model.graph_file.write_bytes(model.graph_file.read_bytes()[:-1] + b"x")
    (line,) = problems(model)
    assert line.startswith(f"`{model.graph_file}` has sha256 ")


def test_where_no_graph_was_derived_the_model_keeps_its_own(tmp_path: Path, folders: Folders) -> None:
    file = write(tmp_path, folders, graph=None)
    entry = json.loads(file.read_text())["models"][0]
    Path(entry["path"], entry["graph"]).write_bytes((folders.embedder / "onnx/model.onnx").read_bytes())
    (model,) = read_bundle(file).models
    assert (model.graph, model.derivation, model.level) == ("onnx/model.onnx", None, "all")
    assert "onnx/model.onnx" in model.files


def test_an_original_is_read_from_where_it_is_mounted(tmp_path: Path, folders: Folders) -> None:
    (model,) = read_bundle(write(tmp_path, folders), originals=tmp_path / "originals").models
    assert model.derivation is None
    assert model.graph_file.is_file()
    assert model.path.startswith(f"{tmp_path}/originals/tiny/")


def test_a_variant_is_for_processors_with_every_flag_that_it_requires(tmp_path: Path, folders: Folders) -> None:
    here = sorted(processor.flags())[:2]
    requires = [[overlays.FLAG], [*here, overlays.FLAG], here]
    (model,) = read_bundle(write(tmp_path, folders, variants=overlays.variants(*requires))).models
    assert model.derivation is not None
    assert model.derivation.requires == tuple(here)


def test_without_a_variant_that_fits_every_processor_s_graph_is_taken(tmp_path: Path, folders: Folders) -> None:
    (model,) = read_bundle(write(tmp_path, folders, variants=overlays.variants([overlays.FLAG]))).models
    assert model.derivation is not None
    assert model.derivation.requires == ()


@pytest.mark.parametrize(("is_dynamic", "may_batch"), [(True, False), (False, True), (None, True)])
def test_a_variant_that_quantises_by_the_run_s_range_runs_each_text_alone(
    tmp_path: Path, folders: Folders, is_dynamic: bool | None, may_batch: bool
) -> None:
    variant: dict[str, Any] = {"graph": "model.onnx", "requires": [], "quantizes_dynamically": is_dynamic}
    (model,) = read_bundle(write(tmp_path, folders, variants=[variant])).models
    assert (model.quantizes_dynamically, model.batching) == (bool(is_dynamic), may_batch)


@pytest.mark.parametrize("text", [None, "", "[]", "{}"])
def test_an_overlay_that_can_t_be_read_is_named(tmp_path: Path, folders: Folders, text: str | None) -> None:
    file, derived = write(tmp_path, folders), tmp_path / "optimized/tiny/derived.json"
    derived.unlink() if text is None else derived.write_text(text)
    with pytest.raises(BundleError) as caught:
        read_bundle(file)
    assert str(caught.value).startswith(f"`{derived}`: ")


def test_a_derived_graph_that_is_missing_is_named(tmp_path: Path, folders: Folders) -> None:
    file = write(tmp_path, folders)
    (tmp_path / "optimized/tiny/model.onnx").unlink()
    with pytest.raises(BundleError, match="model `tiny`: `.*/optimized/tiny/model.onnx` is not a file"):
        read_bundle(file)


def test_every_graph_of_a_model_is_told_with_the_one_for_any_processor_last(tmp_path: Path, folders: Folders) -> None:
    file = write(tmp_path, folders, variants=overlays.variants([overlays.FLAG]))
    (model,) = read_bundle(file, originals=tmp_path / "originals").models
    found = [one.derivation.requires for one in bundle.derived(model) if one.derivation]
    assert found == [(overlays.FLAG,), ()]
