import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

from runtime.batch import Batch, pad
from runtime.bundle import Dtype, Input, Level
from runtime.errors import InferenceError, ModelError
from runtime.session import Session, session_options
from runtime.tokenizer import Entry
from tests.runtime import tiny
from tests.runtime.conftest import Folders
from tests.support.checkout import ROOT

TOLERANCE = 1e-5
IDS = (tiny.CLS, 8, 9, tiny.SEP)


def one_text(*ids: int) -> Batch:
    return pad([Entry(ids=ids, type_ids=(0,) * len(ids))], pad_token_id=tiny.PAD, side="right")


def fed(*names: str, dtype: Dtype = "int64") -> dict[str, Input]:
    """Feed inputs with what they are called."""
    return msgspec.convert(tiny.token_inputs(*names, dtype=dtype), dict[str, Input])


def session_of(graph: Path, inputs: dict[str, Input], *, output: str) -> Session:
    return Session(graph, inputs=inputs, output=output, threads=1)


EVERY = fed("input_ids", "attention_mask", "token_type_ids")


def graph_over(file: Path, *inputs: str, integers: int = TensorProto.INT64) -> Path:
    nodes = [helper.make_node("Gather", ["words", inputs[0]], ["states"])]
    tiny.write_graph(file, nodes=nodes, outputs={"states": ["a", "b", "c"]}, inputs=inputs, integers=integers)
    return file


def message_of(graph: Path, inputs: dict[str, Input], *, output: str) -> str:
    with pytest.raises(ModelError) as caught:
        session_of(graph, inputs, output=output)
    return str(caught.value).removeprefix(f"`{graph}`: ")


@pytest.mark.parametrize(("spins", "allowed"), [(True, "1"), (False, "0")])
def test_threads_wait_busily_where_they_may(spins: bool, allowed: str) -> None:
    options = session_options(3, spins=spins)
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == allowed


@pytest.mark.parametrize("level", get_args(Level))
def test_a_graph_computes_the_same_however_much_of_it_is_still_optimised(folders: Folders, level: Level) -> None:
    graph = folders.embedder / "onnx" / "model.onnx"
    session = Session(graph, inputs=EVERY, output="last_hidden_state", threads=1, level=level)
    np.testing.assert_allclose(session.run(one_text(*IDS))[0], tiny.states(IDS), atol=TOLERANCE)


def test_the_named_output_is_computed(folders: Folders) -> None:
    session = session_of(folders.embedder / "onnx" / "model.onnx", EVERY, output="last_hidden_state")
    np.testing.assert_allclose(session.run(one_text(*IDS))[0], tiny.states(IDS), atol=TOLERANCE)


@pytest.mark.parametrize("beside", [True, False])
def test_a_graph_that_is_loaded_twice_computes_the_same_beside_another_run(folders: Folders, beside: bool) -> None:
    graph = folders.embedder / "onnx" / "model.onnx"
    session = Session(graph, inputs=EVERY, output="last_hidden_state", threads=2, twice=True)
    np.testing.assert_allclose(session.run(one_text(*IDS), beside=beside)[0], tiny.states(IDS), atol=TOLERANCE)


@pytest.mark.parametrize(("threads", "twice", "more"), [(4, True, 3 + 1), (4, False, 3), (1, True, 0)])
def test_a_second_copy_has_half_of_the_threads(folders: Folders, threads: int, twice: bool, more: int) -> None:
    graph = folders.embedder / "onnx" / "model.onnx"
    script = f"""if True:
        import time
        from pathlib import Path
        from runtime.session import Session
        from tests.runtime.test_session import EVERY
        def count():
            return len(list(Path("/proc/self/task").iterdir()))
        graph, before = Path({str(graph)!r}), count()
        session = Session(graph, inputs=EVERY, output="last_hidden_state", threads={threads}, twice={twice})
        deadline = time.monotonic() + 10  # the kernel lists a thread for a moment after it is joined
        while count() - before > {more} and time.monotonic() < deadline:
            pass
        print(count() - before)
    """
    counted = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(counted.stdout) == more


def test_a_graph_gets_the_integers_that_it_asks_for(tmp_path: Path) -> None:
    tiny.write_embedder(tmp_path, integers=TensorProto.INT32)
    inputs = fed("input_ids", "attention_mask", "token_type_ids", dtype="int32")
    session = session_of(tmp_path / "onnx" / "model.onnx", inputs, output="last_hidden_state")
    np.testing.assert_allclose(session.run(one_text(*IDS))[0], tiny.states(IDS), atol=TOLERANCE)


def test_a_graph_gets_only_the_inputs_that_it_has(tmp_path: Path) -> None:
    session = session_of(graph_over(tmp_path / "model.onnx", "input_ids"), fed("input_ids"), output="states")
    np.testing.assert_array_equal(session.run(one_text(*IDS))[0], tiny.WORD_EMBEDDINGS[list(IDS)])


def test_inputs_on_which_graph_and_bundle_differ_are_named(tmp_path: Path) -> None:
    graph = graph_over(tmp_path / "model.onnx", "input_ids", "task_id", integers=TensorProto.INT32)
    assert message_of(graph, fed("input_ids", "attention_mask"), output="states") == (
        "the bundle says nothing of its input `task_id`; "
        "it has no input `attention_mask`, which the bundle feeds; "
        "its input `input_ids` is a `tensor(int32)`, and the bundle says `int64`"
    )


def test_an_output_that_is_not_there_is_answered_with_those_that_are(folders: Folders) -> None:
    graph = folders.embedder / "onnx" / "model.onnx"
    assert message_of(graph, EVERY, output="pooler_output") == (
        "it has no output `pooler_output`, only `last_hidden_state`, `sentence_embedding`"
    )


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ModelError, match=f"^`{graph}`: .*INVALID_PROTOBUF"):
        session_of(graph, EVERY, output="states")


def test_a_run_that_fails_says_whose_it_is(folders: Folders) -> None:
    graph = folders.embedder / "onnx" / "model.onnx"
    session = session_of(graph, EVERY, output="last_hidden_state")
    with pytest.raises(InferenceError, match=f"^`{graph}`: "):
        session.run(one_text(10_000))
