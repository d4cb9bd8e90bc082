"""What is said to be the most memory is held against what the kernel counts, with a model of real widths."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import pytest

from builder.footprint import estimate
from examples.bert_graph import BertConfig, embedding_model
from runtime.bundle import read_bundle
from runtime.footprint import ceiling_bytes
from tests.runtime import tiny
from tests.runtime.conftest import Folders
from tests.runtime.server import run_command, running_server
from tests.support import random_bert

LENGTH = 512
CONFIG = {"hidden_size": 256, "num_attention_heads": 8, "intermediate_size": 1024}
LAYERS = 2
WORDS = 20_000


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the bundle of a model whose attention outweighs everything else."""
    folder = tmp_path_factory.mktemp("wide")
    tiny.write_tokenizer(folder)
    heads = CONFIG["num_attention_heads"]
    config = BertConfig(num_hidden_layers=LAYERS, num_attention_heads=heads, layer_norm_eps=1e-12)
    weights = random_bert.weights(
        hidden=CONFIG["hidden_size"],
        layers=LAYERS,
        intermediate=CONFIG["intermediate_size"],
        words=WORDS,
        positions=LENGTH,
    )
    graph = folder / "onnx" / "model.onnx"
    graph.parent.mkdir()
    onnx.save(embedding_model(weights, config=config), graph)
    footprint = estimate(CONFIG, size_bytes=graph.stat().st_size, has_full_weights=True, has_logits=False)
    assert footprint is not None
    entry = tiny.embedder_entry(
        folder,
        graph="onnx/model.onnx",
        inputs=tiny.token_inputs("input_ids", "attention_mask", "token_type_ids"),
        dimensions=[CONFIG["hidden_size"]],
        max_length=LENGTH,
        footprint=asdict(footprint),
    )
    return tiny.write_bundle(folder / "bundle.json", entry)


def measured(bundle: Path, *, max_batch_tokens: int) -> dict[str, Any]:
    ended = run_command("memory", bundle=str(bundle), max_batch_tokens=str(max_batch_tokens))
    content: dict[str, Any] = json.loads(ended.stdout)
    return content


@pytest.mark.parametrize("budget", [64, 512, 2048])
def test_a_server_takes_no_more_than_its_ceiling(wide: Path, budget: int) -> None:
    found = measured(wide, max_batch_tokens=budget)
    assert found["most_bytes"] <= found["ceiling_bytes"]


def test_the_ceiling_is_not_far_above_what_is_taken(wide: Path) -> None:
    found = measured(wide, max_batch_tokens=2048)
    assert found["ceiling_bytes"] <= 3 * found["most_bytes"]


def test_a_ceiling_is_not_known_without_footprints(folders: Folders) -> None:
    assert ceiling_bytes(read_bundle(folders.bundle).models, max_batch_tokens=512) is None


def test_the_ceiling_is_told_at_the_start(wide: Path) -> None:
    ceiling = ceiling_bytes(read_bundle(wide).models, max_batch_tokens=512)
    assert ceiling is not None
    with running_server(wide, max_batch_tokens="512") as server:
        assert any(f"memory: at most {ceiling // 10**6} MB" in line for line in server.log)
