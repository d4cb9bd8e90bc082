"""Real clients of Hugging Face models on the baked cache: offline, read-only, under a user that nobody foresaw."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tokenizers import Tokenizer

from builder import lockfile, network, verification
from builder.buildkit import BuildRequest, build
from builder.context import assemble
from builder.engine import Container, ContainerOptions, Engine
from builder.lock import LockedModel
from tests.engine.command import ROOT, build_image

pytestmark = pytest.mark.engine

EXAMPLE = ROOT / "examples/transformers-js"
APP_FILES = ("package.json", "package-lock.json", "index.mjs", "models.mjs")
WEIGHTS = "build-image/weights:latest"
SERVER = "build-image/quickstart:latest"
USER = "54321:54321"  # in no group of the image either

HUB_CLIENTS = ("/hub1", "/hub2")
QUERY = "How do I get back into my account?"
TEXTS = (
    "To reset a forgotten password, open Settings and choose Security.",
    "Interest rates rose by a quarter point on Tuesday.",
    "naïve café, 東京 🙂",
    "If you cannot log in, ask an administrator to unlock your user. " * 8,
)
MINIMUM_COSINE = 0.99999
LOGIT_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def examples() -> Path:
    """The folder of the examples, with their models in it."""
    subprocess.run([sys.executable, ROOT / "examples/export_minilm.py"], check=True)
    return ROOT / "examples"


@pytest.fixture(scope="module")
def weights(engine: Engine, examples: Path) -> Iterator[str]:
    """The example's image of weights."""
    ended = build_image("--models", examples / "transformers-js/models.yaml")
    assert ended.code == 0, ended.err
    yield WEIGHTS
    engine.remove_image(WEIGHTS)


@pytest.fixture(scope="module")
def model(engine: Engine, weights: str) -> LockedModel:
    """The embedding model in that image."""
    lock = lockfile.read(EXAMPLE / "models.lock")
    return next(verification.labelled(engine.inspect_image(weights).labels, lock, image=weights))


@contextmanager
def made(engine: Engine, dockerfile: str, files: Mapping[str, bytes | Path], **request: Any) -> Iterator[str]:
    """Build an image with this machine's secrets of the network; give its name, and remove it at the end."""
    secrets = network.secrets(os.environ, ca_bundle=network.ca_bundle_path(os.environ))
    context = assemble({"Dockerfile": dockerfile.encode(), **files})
    asked = BuildRequest(context=context, shared_key="clients", secrets=secrets, **request)
    name = f"build-image-test-{uuid4().hex[:12]}:latest"
    engine.tag(build(engine, asked, on_event=lambda _: None), name)
    yield name
    engine.remove_image(name)


def clients(engine: Engine, target: str) -> AbstractContextManager[str]:
    dockerfile = (Path(__file__).parent / "clients/Dockerfile").read_text()
    return made(engine, dockerfile, {"network.sh": ROOT / "templates/stages/network.sh"}, target=target)


def idle(image: str) -> ContainerOptions:
    return ContainerOptions(image=image, user=USER, command=["sleep", "infinity"])


@pytest.fixture(scope="module")
def python_client(engine: Engine, weights: str) -> Iterator[Container]:
    """A container of Python clients that took the models from an image of weights."""
    with clients(engine, "python") as base:
        lines = (f"FROM {base}", f"COPY --from={weights} / /", "ENV HF_HOME=/opt/hf-cache HF_HUB_OFFLINE=1")
        with made(engine, "\n".join(lines), {}) as image, engine.run_container(idle(image)) as container:
            yield container


@pytest.fixture(scope="module")
def node_client(engine: Engine, weights: str) -> Iterator[Container]:
    """A container of the example's Node app."""
    dockerfile = (EXAMPLE / "Dockerfile").read_text()
    files = {name: EXAMPLE / name for name in APP_FILES}
    with clients(engine, "node") as base:
        arguments = {"NODE": base, "MODELS": weights}
        with (
            made(engine, dockerfile, files, build_arguments=arguments) as image,
            engine.run_container(idle(image)) as container,
        ):
            yield container


@pytest.fixture(scope="module")
def server(engine: Engine, examples: Path) -> Iterator[Container]:
    """A container of the server with the same models, which is ready."""
    ended = build_image("--models", examples / "quickstart.yaml")
    assert ended.code == 0, ended.err
    with engine.run_container(ContainerOptions(image=SERVER, user=USER)) as container:
        said(container, ["timeout", "60", "sh", "-c", "until python3 -m runtime probe; do :; done"])
        yield container


def said(container: Container, command: Sequence[str]) -> str:
    ended = container.exec(command, timeout_s=120)
    assert ended.exit_code == 0, (ended.stdout + ended.stderr).decode()
    return ended.stdout.decode()


def python(container: Container, client: str, code: str) -> Any:
    """Run Python `code` that prints JSON."""
    return json.loads(said(container, [f"{client}/bin/python", "-c", f"import json\n{code}"]))


def snapshot(model: LockedModel) -> str:
    return f"/opt/hf-cache/hub/models--local--all-minilm-l6-v2/snapshots/{model.revision}"


@pytest.mark.parametrize("client", HUB_CLIENTS)
@pytest.mark.parametrize("arguments", ["", "revision=COMMIT", "allow_patterns=['onnx/*', '*.json']"])
def test_huggingface_hub_finds_a_snapshot(
    python_client: Container, model: LockedModel, client: str, arguments: str
) -> None:
    call = f"snapshot_download('{model.source}', {arguments.replace('COMMIT', repr(model.revision))})"
    assert python(python_client, client, f"from huggingface_hub import *\nprint(json.dumps({call}))") == snapshot(model)


@pytest.mark.parametrize("client", HUB_CLIENTS)
@pytest.mark.parametrize("arguments", ["", "revision=COMMIT"])
def test_huggingface_hub_finds_a_file(
    python_client: Container, model: LockedModel, client: str, arguments: str
) -> None:
    path = "onnx/model.onnx"
    call = f"hf_hub_download('{model.source}', '{path}', {arguments.replace('COMMIT', repr(model.revision))})"
    found = python(python_client, client, f"from huggingface_hub import *\nprint(json.dumps({call}))")
    assert found == f"{snapshot(model)}/{path}"


@pytest.mark.parametrize("client", HUB_CLIENTS)
def test_huggingface_hub_says_that_it_is_the_version_that_is_meant(python_client: Container, client: str) -> None:
    version = python(python_client, client, "import huggingface_hub\nprint(json.dumps(huggingface_hub.__version__))")
    assert version.split(".")[0] == client[-1]


def ids() -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(ROOT / "examples/models/all-MiniLM-L6-v2/tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [encoding.ids for encoding in tokenizer.encode_batch(list(TEXTS))]


def test_tokenizers_loads_by_name(python_client: Container, model: LockedModel) -> None:
    code = (
        f"from tokenizers import Tokenizer\ntokenizer = Tokenizer.from_pretrained('{model.source}')\n"
        "tokenizer.no_truncation()\ntokenizer.no_padding()\n"
        f"print(json.dumps([encoding.ids for encoding in tokenizer.encode_batch({list(TEXTS)!r})]))"
    )
    assert python(python_client, "/hub2", code) == ids()


def test_transformers_loads_tokenizer_and_config_by_name(python_client: Container, model: LockedModel) -> None:
    code = (
        "from transformers import AutoConfig, AutoTokenizer\n"
        f"tokenizer = AutoTokenizer.from_pretrained('{model.source}')\n"
        f"config = AutoConfig.from_pretrained('{model.source}')\n"
        f"print(json.dumps([config.hidden_size, tokenizer({list(TEXTS)!r})['input_ids']]))"
    )
    assert python(python_client, "/hub2", code) == [384, ids()]


def ask(server: Container, path: str, body: Mapping[str, Any]) -> Any:
    return json.loads(said(server, ["python3", "-m", "runtime", "probe", path, "--json", json.dumps(body)]))


def node(container: Container, expression: str) -> Any:
    """Evaluate an expression of the example's two functions."""
    code = f"import {{ embed, rerank }} from './models.mjs'; console.log(JSON.stringify(await {expression}))"
    return json.loads(said(container, ["node", "--input-type=module", "-e", code]))


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    dot = math.fsum(x * y for x, y in zip(first, second, strict=True))
    return dot / (math.hypot(*first) * math.hypot(*second))


def test_node_is_of_the_version_that_the_example_names(node_client: Container) -> None:
    assert said(node_client, ["node", "--version"]).startswith("v20.")


def test_transformers_js_embeds_as_the_server_does(node_client: Container, server: Container) -> None:
    ours = ask(server, "/v1/embeddings", {"model": "all-minilm-l6-v2", "input": TEXTS})["data"]
    theirs = node(node_client, f"embed({json.dumps(TEXTS)})")
    cosines = [cosine(one["embedding"], other) for one, other in zip(ours, theirs, strict=True)]
    assert min(cosines) > MINIMUM_COSINE


def test_transformers_js_reranks_as_the_server_does(node_client: Container, server: Container) -> None:
    ours = ask(server, "/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": True})
    theirs = node(node_client, f"rerank({json.dumps(QUERY)}, {json.dumps(TEXTS)})")
    assert theirs == pytest.approx([score["score"] for score in sorted(ours, key=_index)], abs=LOGIT_TOLERANCE)


def _index(result: Mapping[str, Any]) -> int:
    return int(result["index"])


def test_the_example_s_app_answers(node_client: Container) -> None:
    search, rerank = said(node_client, ["node", "index.mjs"]).strip().split("\n\n")
    assert search.splitlines()[1] == "   0.530  To reset a forgotten password, open Settings and choose Security."
    assert rerank.splitlines()[1] == "   0.991  If you cannot log in, ask an administrator to unlock your user."
