"""What the builder writes and what the runtime reads are one thing, though neither imports the other."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import msgspec
import pytest

import builder
import runtime
from builder import (
    bundle,
    context,
    deployment,
    inputs,
    labels,
    layers,
    layout,
    limits,
    lock,
    manifest,
    proof,
    render,
)
from builder.footprint import Footprint
from builder.lock import Lock, Sources
from runtime import bundle as read
from runtime.comparison import Thresholds
from runtime.documentation import PAGE
from runtime.embedder import Embedder
from runtime.footprint import ceiling_bytes
from runtime.inference import embed
from runtime.mounts import hiding
from runtime.settings import Settings, variable
from tests.builder import data
from tests.builder.optimized import OPTIMIZATION
from tests.support import lookalikes

MODELS = (data.local(Path("/models/a")), data.fetched())
IMAGE = data.image(*MODELS)
FILES = {
    "config.json": {"size_bytes": 100, "sha256": "c" * 64},
    "onnx/model.onnx": {"size_bytes": 800, "sha256": "e" * 64},
    "tokenizer.json": {"size_bytes": 100, "sha256": "a" * 64},
}
INPUTS = {
    name: {"feed": name, "dtype": "int64", "shape": ("batch", "sequence")} for name in ("input_ids", "attention_mask")
}
DOCKERFILE = render.dockerfile(IMAGE, version="1")


def variables(prefix: str) -> dict[str, str]:
    found = dict(re.findall(r'^ENV (\w+)="(.*)"$', DOCKERFILE, re.MULTILINE))
    return {name: value for name, value in found.items() if name.startswith(prefix)}


def test_every_runtime_variable_of_a_dockerfile_is_a_setting() -> None:
    assert set(variables("RUNTIME_")) <= {variable(field) for field in Settings._fields}


def test_the_bundle_is_baked_where_the_runtime_looks_for_it() -> None:
    path = variables("RUNTIME_")["RUNTIME_BUNDLE"]
    assert path == str(Settings().bundle)
    assert f"app{path}" in {entry.path for entry in context.of_image(IMAGE, dockerfile=DOCKERFILE).entries}


def test_the_server_is_baked_where_python_looks_for_it() -> None:
    entries = {entry.path for entry in context.of_image(IMAGE, dockerfile=DOCKERFILE).entries}
    assert f"app{variables('PYTHONPATH')['PYTHONPATH']}/runtime/__main__.py" in entries


def test_the_page_of_the_documentation_is_baked_beside_its_module() -> None:
    entries = {entry.path for entry in context.of_image(IMAGE, dockerfile=DOCKERFILE).entries}
    assert f"app/app/runtime/{PAGE.name}" in entries


def test_both_packages_are_of_one_version() -> None:
    assert builder.__version__ == runtime.__version__


@pytest.mark.parametrize("load_bytes", [2 * 10**8, 512 * 2**20, 512 * 2**20 + 1, 10**9])
def test_the_memory_of_the_label_is_what_the_server_says_at_its_start(load_bytes: int) -> None:
    footprint = Footprint(load_bytes=load_bytes, token_bytes=20_000, pair_bytes=144)
    models = [replace(model, footprint=footprint) for model in MODELS]
    decoded = msgspec.json.decode(bundle.document(models), type=read.Bundle)
    said = ceiling_bytes(decoded.models, max_batch_tokens=Settings().max_batch_tokens)
    assert data.image(*models).labels[labels.MEMORY_LABEL] == str(said)


def test_the_runtime_reads_the_bundle_that_the_builder_writes() -> None:
    decoded = msgspec.json.decode(bundle.document(MODELS), type=read.Bundle)
    assert [msgspec.to_builtins(model) for model in decoded.models] == [
        {
            "name": "embedder",
            "task": "embedding",
            "source": "local/embedder",
            "revision": "a" * 40,
            "path": f"/opt/hf-cache/hub/models--local--embedder/snapshots/{'a' * 40}",
            "graph": "onnx/model.onnx",
            "inputs": {
                **INPUTS,
                "past_key_values.0.key": {"feed": "zeros", "dtype": "float16", "shape": ("batch", 8, 0, 128)},
            },
            "output": "last_hidden_state",
            "pooling": ("cls", "mean"),
            "include_prompt": False,
            "layers": (
                {
                    "kind": "dense",
                    "weights": "2_Dense/model.safetensors",
                    "in_features": 768,
                    "out_features": 384,
                    "bias": True,
                    "activation": "tanh",
                    "residual": False,
                },
                {"kind": "layer_norm", "weights": "3_LayerNorm/model.safetensors", "in_features": 384},
            ),
            "normalize": True,
            "dimensions": (384, 128),
            "adapters": {"query": 1},
            "labels": (),
            "activation": None,
            "answer_tokens": (),
            "template": None,
            "windows": None,
            "prompts": {"query": "query: "},
            "default_prompt": "query",
            "max_length": 256,
            "pad_token_id": 0,
            "padding_side": "left",
            "first_position": 0,
            "footprint": None,
            "quantizes_dynamically": False,
            "batching": True,
            "files": FILES,
        },
        {
            "name": "reranker",
            "task": "reranker",
            "source": "example/reranker",
            "revision": data.COMMIT,
            "path": f"/opt/hf-cache/hub/models--example--reranker/snapshots/{data.COMMIT}",
            "graph": "onnx/model.onnx",
            "inputs": INPUTS,
            "output": "logits",
            "pooling": (),
            "include_prompt": True,
            "layers": (),
            "normalize": False,
            "dimensions": (),
            "adapters": {},
            "labels": ("LABEL_0",),
            "activation": "sigmoid",
            "answer_tokens": (9, 2),
            "template": "{query} {document}",
            "windows": {"query_length": 512, "overlap": 80},
            "prompts": {},
            "default_prompt": None,
            "max_length": 1024,
            "pad_token_id": 1,
            "padding_side": "right",
            "first_position": 2,
            "footprint": None,
            "quantizes_dynamically": True,
            "batching": False,
            "files": FILES,
        },
    ]


def test_a_model_s_path_is_its_snapshot_in_the_cache_that_hf_home_names() -> None:
    home = variables("HF_HOME")["HF_HOME"]
    for model in MODELS:
        (decoded,) = msgspec.json.decode(bundle.document([model]), type=read.Bundle).models
        assert decoded.path == f"{home}/{layout.snapshot_directory(model.source, model.revision)}"


def test_the_runtime_names_a_volume_over_the_cache_that_the_builder_makes(tmp_path: Path) -> None:
    home = variables("HF_HOME")["HF_HOME"]
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"2 1 254:0 /var/lib/docker/volumes/old/_data {home} rw - ext4 /dev/vda rw\n")
    (decoded,) = msgspec.json.decode(bundle.document(MODELS[:1]), type=read.Bundle).models
    assert hiding(Path(decoded.path), mounts=mounts).startswith(f"the volume `old` at `{home}` hides ")


def test_what_a_deployment_sets_are_settings_and_its_directories_are_the_image_s() -> None:
    assert set(deployment.DRAIN) <= {variable(field) for field in Settings._fields}
    assert variables("HF_HOME")["HF_HOME"] == deployment.CACHE_DIRECTORY
    assert variables("HOME")["HOME"] == deployment.SCRATCH_DIRECTORY
    assert Settings().http_port == deployment.PORT
    assert f"USER {deployment.USER}:{deployment.GROUP}\n" in DOCKERFILE


def test_the_stage_s_script_writes_to_the_same_cache() -> None:
    script = (Path(__file__).parent.parent / "templates/stages/bake-model.sh").read_text()
    assert f"cache=/out{variables('HF_HOME')['HF_HOME']}\n" in script


def test_the_port_and_the_commands_of_the_image_are_the_runtime_s() -> None:
    assert f"EXPOSE {Settings().http_port}\n" in DOCKERFILE
    assert 'CMD ["python3", "-m", "runtime", "probe"]' in DOCKERFILE
    assert 'ENTRYPOINT ["python3", "-m", "runtime"]' in DOCKERFILE


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        (manifest.Task, read.Task),
        (manifest.PoolingMode, read.PoolingMode),
        (manifest.Activation, read.Activation),
        (layers.DenseActivation, read.DenseActivation),
        (inputs.Feed, read.Feed),
        (limits.Side, read.Side),
    ],
)
def test_every_choice_that_the_builder_can_write_is_one_that_the_runtime_reads(
    written: object, understood: object
) -> None:
    assert set(get_args(written)) == set(get_args(understood))


def test_the_optimiser_reads_the_builder_s_request_and_the_runtime_what_it_derives(tmp_path: Path) -> None:
    lookalikes.write_embedding_model(tmp_path / "embedder")
    wishes = {"quantize": "int8", "variants": ["int8-vnni"]}
    content = {"task": "embedding", "path": "embedder", "optimize": wishes}
    text = json.dumps({"version": 1, "models": {"embedder": content}, "images": {"i": {"models": ["embedder"]}}})
    wanted = manifest.parse(text, file=tmp_path / "models.yaml", environment={})
    sources = Sources(directory=tmp_path, cache_directory=tmp_path)
    (model,) = lock.resolve(wanted, Lock(), sources=sources, names=["embedder"]).models.values()
    entries = {e.path: e.source for e in context.of_image(data.image(model), dockerfile="").entries}
    request = entries["optimize/embedder/derive/request.json"]
    assert isinstance(request, bytes)
    (tmp_path / "request.json").write_bytes(request)
    program = [sys.executable, "-P", "-m", "stages.optimize_model"]
    places = [str(tmp_path / name) for name in ("request.json", "embedder", "out")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent / "templates")}
    subprocess.run([*program, *places], check=True, env=environment, capture_output=True)
    overlay = read.Overlay(path=str(tmp_path / "out"), replaces=())
    decoded = msgspec.json.decode(bundle.document([model]), type=read.Bundle).models[0]
    derived = read.derived(msgspec.structs.replace(decoded, path=str(tmp_path / "embedder"), overlay=overlay))
    assert derived[-1].derivation is not None
    assert [step.step for step in derived[-1].derivation.facts.applied][:1] == ["quantize"]
    vectors = [embed(Embedder(one, threads=1), ["cat"]).vectors for one in derived]
    assert {vector.shape for vector in vectors} == {(1, model.recipe.dimensions[0])}


def test_the_thresholds_that_the_builder_writes_are_those_that_the_comparison_reads() -> None:
    written = json.dumps(OPTIMIZATION.thresholds)
    assert msgspec.to_builtins(msgspec.json.decode(written, type=Thresholds)) == OPTIMIZATION.thresholds


def test_the_proof_is_baked_where_the_builder_and_the_runtime_look_for_it() -> None:
    assert str(Settings().accuracy) == proof.PATH
    script = (Path(__file__).parent.parent / "templates/stages/compared.sh").read_text()
    assert f">/out{proof.PATH}\n" in script
