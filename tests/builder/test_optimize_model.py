import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from templates.stages import optimize_file, optimize_model
from tests.builder import optimizer_stage as stage

TEMPLATES = Path(optimize_model.__file__).parent.parent
EVERYTHING = {"graph": True, "quantize": "int8", "fuse_pooling": True}
CHOOSE = "choose another `dtype`, or remove `optimize`"
CHOOSE_WHOLE = "choose another `dtype`, or another revision of the model, whose graph is whole"
CUT_OFF = "`onnx/model.onnx` is cut off, or no ONNX file"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stage.encoder(tmp_path)
    return tmp_path


def content(run: stage.Run) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in run.output.iterdir()}


def test_the_same_files_make_the_same_bytes(folder: Path) -> None:
    stage.derive(folder, into="first", optimize=EVERYTHING, variants=["int8-vnni", "q4"])
    command = [sys.executable, "-P", "-m", "stages.optimize_model", str(folder / "request.json"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(TEMPLATES), "PYTHONHASHSEED": "7"}
    subprocess.run([*command, str(folder / "second")], env=environment, check=True, stdout=subprocess.DEVNULL)
    first, second = (
        {file.name: file.read_bytes() for file in (folder / name).iterdir()} for name in ("first", "second")
    )
    assert sorted(first) == ["derived.json", "model.int8-vnni.onnx", "model.onnx", "model.q4.onnx"]
    assert first == second


def test_fusing_operators_changes_no_answer(folder: Path) -> None:
    done = stage.derive(folder, optimize={"graph": True})
    feeds = stage.padded(stage.texts())
    original = stage.run(folder / stage.GRAPH, feeds, "states")
    np.testing.assert_allclose(done.answers(feeds), original, atol=1e-6)


def test_a_graph_that_was_fused_is_loaded_as_it_is(folder: Path) -> None:
    fused = stage.derive(folder, into="fused", optimize={"fuse_pooling": True, "graph": True})
    others = stage.derive(folder, into="others", optimize={"fuse_pooling": True})
    assert (fused.derived["level"], others.derived["level"]) == ("disabled", "all")


def test_the_description_repeats_what_stays_and_lists_its_files(folder: Path) -> None:
    derived = stage.derive(folder, optimize={"graph": True}).derived
    asked = stage.request()
    (listed,) = derived["files"].items()
    graph = (folder / "derived/model.onnx").read_bytes()
    assert listed == ("model.onnx", {"size_bytes": len(graph), "sha256": hashlib.sha256(graph).hexdigest()})
    assert {key: derived[key] for key in ("inputs", "pooling", "output", "answer_tokens")} == {
        key: asked[key] for key in ("inputs", "pooling", "output", "answer_tokens")
    }
    assert derived["versions"]["onnxruntime"] == onnxruntime.__version__


def test_a_variant_says_which_processors_may_run_it(folder: Path) -> None:
    done = stage.derive(folder, optimize=EVERYTHING, variants=["int8-vnni"])
    assert [(one["graph"], one["requires"]) for one in done.derived["variants"]] == [
        ("model.int8-vnni.onnx", ["avx512_vnni"]),
        ("model.int8-vnni.onnx", ["avx_vnni"]),
    ]
    rows = done.answers(stage.padded(stage.texts()), graph="model.int8-vnni.onnx")
    exact = [stage.states_of(ids).mean(axis=0) for ids in stage.texts()]
    assert stage.cosines(rows, np.array(exact)).min() > stage.VNNI_LEAST - 0.0005


def test_a_variant_that_cannot_be_made_is_told(folder: Path) -> None:
    done = stage.derive(folder, optimize={"graph": True, "exclude": ["*"]}, variants=["int8-vnni"])
    assert (done.derived["variants"], done.steps) == ([], ["graph"])
    assert done.left_out == {"variant int8-vnni": "`exclude` matches all of its 2 products"}


def test_weights_of_a_large_graph_are_in_a_file_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stage.derive(folder, into="whole", optimize=EVERYTHING)
    monkeypatch.setattr(optimize_file, "LARGEST_BYTES", 10_000)
    done = stage.derive(folder, optimize=EVERYTHING)
    assert sorted(done.derived["files"]) == ["model.onnx", "model.onnx_data"]
    feeds = stage.padded(stage.texts())
    np.testing.assert_array_equal(done.answers(feeds), whole.answers(feeds))


def test_a_graph_with_its_weights_elsewhere_becomes_one_file(tmp_path: Path) -> None:
    stage.encoder(tmp_path, save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    done = stage.derive(tmp_path, optimize={"graph": True})
    assert sorted(content(done)) == ["derived.json", "model.onnx"]
    rows = done.answers(stage.padded(stage.texts()))[0]
    np.testing.assert_allclose(rows, stage.states_of(stage.texts()[0]), atol=1e-5)


def test_weights_of_16_bits_are_not_widened(tmp_path: Path) -> None:
    nodes = [
        stage.node("Gather", ["table", "input_ids"], ["halves"]),
        stage.node("Cast", ["halves"], ["states"], to=TensorProto.FLOAT),
    ]
    file = stage.write(tmp_path, nodes, {"table": stage.TABLE.astype(np.float16)})
    done = stage.derive(tmp_path, optimize={"graph": True, "fuse_pooling": True})
    why = "its weights have 16 bits, and would have 32 in the graph that ONNX Runtime saves"
    assert (done.steps, done.left_out) == (["fuse_pooling"], {"graph": why})
    assert (done.output / "model.onnx").stat().st_size < file.stat().st_size * 1.1


def test_nothing_asked_for_is_nothing_done(folder: Path) -> None:
    done = stage.derive(folder)
    assert (done.code, sorted(content(done)), done.derived["graph"]) == (0, ["derived.json"], None)


def strange(folder: Path) -> None:
    nodes = [stage.node("Mystery", ["input_ids"], ["states"], domain="com.example")]
    stage.write(folder, nodes, {})
    model = onnx.load(folder / stage.GRAPH)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, folder / stage.GRAPH)


def test_an_unknown_operator_leaves_the_original_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange(tmp_path)
    done = stage.derive(tmp_path, optimize=EVERYTHING)
    (step,) = done.derived["skipped"]
    assert (done.code, done.derived["graph"], sorted(content(done))) == (0, None, ["derived.json"])
    assert "com.example:Mystery(-1) is not a registered function/op" in step["why"]
    assert str(tmp_path) not in step["why"]
    assert capsys.readouterr().err == f"warning: {step['why']}; the original stays in place\n"


def test_an_unknown_operator_fails_where_the_manifest_insists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange(tmp_path)
    done = stage.derive(tmp_path, optimize={**EVERYTHING, "insist": True})
    error, hint = capsys.readouterr().err.splitlines()
    start = f"error: `onnx/model.onnx`: ONNX Runtime {onnxruntime.__version__} can't load it: "
    assert (done.code, error.startswith(start), hint) == (1, True, f"hint: {CHOOSE}")
    assert content(done) == {}


def test_a_step_that_cannot_be_taken_fails_where_the_manifest_insists(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = stage.derive(folder, include_prompt=False, optimize={**EVERYTHING, "insist": True})
    *_, error, hint = capsys.readouterr().err.splitlines()
    assert (done.code, hint) == (1, "hint: remove `fuse_pooling` from `optimize`, or `insist`")
    assert error.startswith("error: `onnx/model.onnx`: fuse_pooling: the tokens of a prompt are read and not pooled")


def test_operators_that_are_too_old_are_fused_and_not_rewritten(tmp_path: Path) -> None:
    stage.encoder(tmp_path, opset=9)
    done = stage.derive(tmp_path, optimize=EVERYTHING)
    why = "its operators are of opset 9, and at least 11 is needed"
    assert (done.steps, done.left_out) == (["graph"], {"fuse_pooling": why, "quantize": why})


def test_control_flow_is_fused_and_not_rewritten(tmp_path: Path) -> None:
    branches = {}
    for name, operator in (("then_branch", "Tanh"), ("else_branch", "Neg")):
        made = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        branches[name] = helper.make_graph([stage.node(operator, ["words"], [name])], name, [], [made])
    nodes = [
        stage.node("Gather", ["table", "input_ids"], ["words"]),
        stage.node("ReduceMax", ["attention_mask"], ["most"], keepdims=0),
        stage.node("Cast", ["most"], ["condition"], to=TensorProto.BOOL),
        stage.node("If", ["condition"], ["states"], **branches),
    ]
    stage.write(tmp_path, nodes, {"table": stage.TABLE})
    done = stage.derive(tmp_path, optimize={**EVERYTHING})
    why = "it has control flow: `If`"
    assert (done.steps, done.left_out) == (["graph"], {"fuse_pooling": why, "quantize": why})
    rows = done.answers(stage.padded(stage.texts()))[0]
    np.testing.assert_allclose(rows, np.tanh(stage.TABLE[stage.texts()[0]]), atol=1e-6)


def data_missing(folder: Path) -> None:
    (folder / "onnx/model.onnx_data").unlink()


def data_short(folder: Path) -> None:
    file = folder / "onnx/model.onnx_data"
    file.write_bytes(file.read_bytes()[:-10])


def graph_short(folder: Path) -> None:
    file = folder / stage.GRAPH
    file.write_bytes(file.read_bytes()[:-1])


def graph_missing(folder: Path) -> None:
    (folder / stage.GRAPH).unlink()


def graph_empty(folder: Path) -> None:
    (folder / stage.GRAPH).write_bytes(b"")


ELSEWHERE: dict[str, Any] = {"save_as_external_data": True, "location": "model.onnx_data", "size_threshold": 0}
DATA_BYTES = stage.TABLE.nbytes + stage.UP.nbytes + stage.DOWN.nbytes


@pytest.mark.parametrize(
    ("damage", "saved", "why"),
    [
        (data_missing, ELSEWHERE, "`onnx/model.onnx`: `model.onnx_data`, where its weights are, is missing"),
        (data_short, ELSEWHERE, "`onnx/model.onnx`: `model.onnx_data` has "),
        (graph_short, {}, CUT_OFF),
        (graph_empty, {}, CUT_OFF),
        (graph_missing, {}, "`onnx/model.onnx`: No such file or directory"),
    ],
)
def test_files_that_are_not_whole_leave_the_original_in_place(
    tmp_path: Path, damage: Any, saved: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.encoder(tmp_path, **saved)
    damage(tmp_path)
    done = stage.derive(tmp_path, optimize=EVERYTHING)
    (step,) = done.derived["skipped"]
    assert (done.code, done.derived["graph"], step["why"].startswith(why)) == (0, None, True)
    insisting = stage.derive(tmp_path, into="insisting", optimize={**EVERYTHING, "insist": True})
    _, error, hint = capsys.readouterr().err.splitlines()
    assert (insisting.code, error, hint) == (1, f"error: {step['why']}", f"hint: {CHOOSE_WHOLE}")


def test_an_output_that_is_not_there_leaves_the_original_in_place(folder: Path) -> None:
    done = stage.derive(folder, output="logits", optimize=EVERYTHING)
    assert done.left_out == {"load": "`onnx/model.onnx`: it has no output `logits`"}


def test_what_was_there_is_replaced(folder: Path) -> None:
    stage.derive(folder, optimize=EVERYTHING)
    done = stage.derive(folder, output="logits", optimize=EVERYTHING)
    assert done.derived["graph"] is None


def ended(folder: Path, code: str, *, insist: bool) -> int:
    """Have another program in place of the one that derives, which leaves something behind and ends."""
    asked, output = folder / "request.json", folder / "derived"
    asked.write_text(json.dumps(stage.request(optimize={**EVERYTHING, "insist": insist})))
    (output / ".unfinished-1").mkdir(parents=True)
    command = [sys.executable, "-c", f"import os, sys; {code}"]
    return optimize_model.watch([str(asked), str(folder), str(output)], command=command)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("os.kill(os.getpid(), 9)", "`onnx/model.onnx`: the optimiser was ended by SIGKILL"),
        ("os.kill(os.getpid(), 11)", "`onnx/model.onnx`: the optimiser was ended by SIGSEGV"),
        ("sys.exit(70)", "`onnx/model.onnx`: the optimiser failed, which is a bug of `build-image`"),
    ],
)
def test_a_crash_leaves_the_original_in_place(
    folder: Path, code: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ended(folder, code, insist=False) == 0
    assert capfd.readouterr().err == f"warning: {why}; the original stays in place\n"
    done = stage.Run(code=0, output=folder / "derived")
    assert (done.derived["graph"], done.left_out, list(content(done))) == (None, {"load": why}, ["derived.json"])


def test_a_crash_fails_where_the_manifest_insists(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(folder, "os.kill(os.getpid(), 9)", insist=True) == 1
    assert capfd.readouterr().err.splitlines() == [
        "error: `onnx/model.onnx`: the optimiser was ended by SIGKILL",
        "hint: give the engine more memory, choose another `dtype`, or remove `optimize`",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "`request.json`: 'graph'"),
        ("[", "`request.json`: Expecting value: line 1 column 2 (char 1)"),
        (None, "`request.json`: [Errno 2] No such file or directory: "),
    ],
)
def test_a_request_that_is_none_is_refused(
    tmp_path: Path, text: str | None, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "request.json"
    if text is not None:
        asked.write_text(text)
    assert optimize_model.main([str(asked), str(tmp_path), str(tmp_path / "derived")]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {problem}")
    assert hint == "hint: `build-image` writes it: its versions differ"


def test_an_unknown_quantisation_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage.derive(folder, optimize={"quantize": "int3"}).code == 1
    assert capsys.readouterr().err.startswith("error: `request.json`: `int3` is none of int8, int8-vnni, q4\n")
