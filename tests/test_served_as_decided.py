"""What the builder decides from a folder is what the runtime serves, held to a float64 reference of each family."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from builder import bundle
from builder.folder import open_folder
from builder.recipe import decide
from runtime.bundle import Bundle
from runtime.embedder import Embedder
from runtime.inference import embed
from tests.builder import data
from tests.runtime import reference, tiny
from tests.support.memory_repository import manifest_model

TOLERANCE = 1e-6
TEXTS = ["The cat sits on the warm windowsill.", "rates", "Interest rates rose by a quarter point on Tuesday."]
PROMPT = "search query: "
WEIGHT = (np.random.default_rng(1).normal(size=(8, 64)) / 8).astype(np.float32)
CONFIGS: dict[str, Any] = {
    "config.json": {"model_type": "bert", "max_position_embeddings": 64, "pad_token_id": tiny.PAD},
    "config_sentence_transformers.json": {"prompts": {"query": PROMPT}, "default_prompt_name": "query"},
}
OLD = "sentence_transformers.models"
NEW = "sentence_transformers.sentence_transformer.modules"


def write(folder: Path, configs: Mapping[str, Any]) -> None:
    for path, config in {**CONFIGS, **configs}.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(json.dumps(config))


def served(folder: Path, cache: Path) -> Embedder:
    """Decide how the model in `folder` is served, write that to a bundle, and serve it from there."""
    recipe = decide(manifest_model(task="embedding"), open_folder(folder, name="m", cache_directory=cache))
    document = json.loads(bundle.document([data.local(folder, recipe=recipe)]))
    document["models"][0]["path"] = str(folder)
    (model,) = msgspec.convert(document, Bundle).models
    return Embedder(model, threads=1)


def ids_of(text: str) -> list[int]:
    return [tiny.CLS, *tiny.ids_of(PROMPT + text), tiny.SEP]


@pytest.mark.parametrize(
    ("package", "pooling", "skipped"),
    [
        (OLD, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, 0),
        (NEW, {"pooling_mode": ["cls", "mean"], "include_prompt": True}, 0),
        (NEW, {"pooling_mode": ["cls", "mean"], "include_prompt": False}, 4),
    ],
    ids=["up to 5.3", "from 5.4 on", "without the prompt"],
)
def test_an_encoder_with_modules_outside_of_its_graph(
    tmp_path: Path, package: str, pooling: dict[str, Any], skipped: int
) -> None:
    folder = tmp_path / "model"
    tiny.write_embedder(folder)
    (folder / "onnx/model.onnx").write_bytes(tiny.without_output(folder / "onnx/model.onnx", "sentence_embedding"))
    names = {"Transformer": "", "Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
    dense = {"in_features": 64, "out_features": 8, "bias": False, "module_input_name": "sentence_embedding"}
    write(
        folder,
        {
            "modules.json": [{"type": f"{package}.{name}", "path": path} for name, path in names.items()],
            "1_Pooling/config.json": pooling,
            "2_Dense/config.json": {**dense, "activation_function": "torch.nn.modules.activation.Tanh"},
        },
    )
    save_file({"linear.weight": WEIGHT}, folder / "2_Dense/model.safetensors")

    vectors = embed(served(folder, tmp_path / "cache"), TEXTS).vectors

    pooled = [reference.pooled(tiny.states(ids_of(text)), ["cls", "mean"], skipped=skipped) for text in TEXTS]
    expected = [reference.unit(np.tanh(WEIGHT.astype(np.float64) @ vector)) for vector in pooled]
    np.testing.assert_allclose(vectors, expected, atol=TOLERANCE)


def test_a_decoder_that_pads_left(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny.write_decoder(folder)
    names = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    write(
        folder,
        {
            "modules.json": [{"type": f"{OLD}.{name}", "path": path} for name, path in names.items()],
            "1_Pooling/config.json": {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False},
            "tokenizer_config.json": {"padding_side": "left"},
        },
    )

    embedder = served(folder, tmp_path / "cache")

    expected = [reference.unit(tiny.decoder_states(ids_of(text))[-1]) for text in TEXTS]
    np.testing.assert_allclose(embed(embedder, TEXTS).vectors, expected, atol=TOLERANCE)
    assert embedder.model.padding_side == "left"
