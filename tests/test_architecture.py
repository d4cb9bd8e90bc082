"""The two laws of the house: data flows one way, and each outside library has one importer."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Law 1. A module imports only from modules that stand before it, so that what it is given comes from one side.
BUILDER_ORDER = (
    "errors settings whole owner clock wire reference document template quantity samples manifest optimization schema"
    " repository card layout hub folder graph inputs limits selection footprint sentence_transformers layers evidence"
    " prompts embedding classification causal reranking recipe lock lockfile memory bundle licence sbom context git ci"
    " render tags labels plan provenance bake deployment compose kubernetes network trace solve_status stream grpc"
    " session channel messages api verification container images credentials registry engine push filesync llb solve"
    " buildkit buildx marks console finding progress record history compare disk forecast preview prune download cache"
    " supplies serve saved leaks contents reproducibility tested smoke proof gates admission attestation result making"
    " sharing pipeline offline publication checks doctor gather rendering report junit summary outputs timeline page"
    " reporting unchanged commands usage completion options render_options subcommands cli start"
).split()
RUNTIME_ORDER = (
    "errors logs settings cgroup threads mounts processor bundle footprint files prompting template timings"
    " tokenizer windows batch feeds session pooling weights scoring layers encoding embedder classifier reranker"
    " inference accuracy golden agreement comparison_texts comparison metrics admission window batcher scheduler"
    " schemas answers keys service handler inputs openai_shapes openai_dialect cohere_shapes cohere_dialect"
    " tei_shapes tei_dialect health routes examples openapi documentation request_ids api dispatch disconnects"
    " draining page app server probe speed selftest memory info __main__"
).split()

# Law 2. Each outside library, and the one module that imports it.
BUILDER_OWNERS = {
    "click": {"cli", "completion", "options", "render_options", "subcommands", "usage"},
    "docker": {"credentials", "engine"},
    "h2": {"grpc"},
    "httpx2": {"hub"},
    "huggingface_hub": {"hub"},
    "jinja2": {"render"},
    "pydantic": {"manifest"},
    "requests": {"engine", "registry"},
    "rich": {"console"},
    "urllib3": {"engine"},
    "yaml": {"document"},
}
RUNTIME_OWNERS = {
    "msgspec": {
        "accuracy",
        "bundle",
        "comparison",
        "golden",
        "schemas",
        "openai_shapes",
        "cohere_shapes",
        "tei_shapes",
        "openapi",
    },
    "numpy": {
        "agreement",
        "batch",
        "batcher",
        "classifier",
        "comparison",
        "embedder",
        "encoding",
        "feeds",
        "golden",
        "inference",
        "layers",
        "pooling",
        "reranker",
        "scheduler",
        "scoring",
        "session",
        "weights",
    },
    "onnxruntime": {"session"},
    "prometheus_client": {"metrics"},
    "starlette": {"api", "dispatch", "app", "page"},
    "tokenizers": {"tokenizer"},
    "uvicorn": {"server"},
}


@cache
def modules(package: str) -> dict[str, ast.Module]:
    return {path.stem: ast.parse(path.read_text()) for path in (ROOT / package).glob("*.py") if path.stem != "__init__"}


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield every module that `tree` imports when it runs; imports for type checkers alone do not count."""
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _executed(child)


def siblings(tree: ast.Module, package: str) -> set[str]:
    names = {name.split(".")[1] for name in imported(tree) if name.startswith(f"{package}.")}
    return names & set(modules(package))


def outside(tree: ast.Module, package: str) -> set[str]:
    roots = {name.split(".")[0] for name in imported(tree)}
    return roots - {package, "_typeshed"} - set(sys.stdlib_module_names)


@pytest.mark.parametrize(("package", "order"), [("builder", BUILDER_ORDER), ("runtime", RUNTIME_ORDER)])
def test_every_module_has_its_place_in_the_order(package: str, order: list[str]) -> None:
    assert sorted(modules(package)) == sorted(order)


@pytest.mark.parametrize(("package", "order"), [("builder", BUILDER_ORDER), ("runtime", RUNTIME_ORDER)])
def test_a_module_imports_only_from_those_before_it(package: str, order: list[str]) -> None:
    backwards = [
        f"{name} imports {other}"
        for name, tree in modules(package).items()
        for other in siblings(tree, package)
        if order.index(other) >= order.index(name)
    ]
    assert backwards == []


@pytest.mark.parametrize(("package", "owners"), [("builder", BUILDER_OWNERS), ("runtime", RUNTIME_OWNERS)])
def test_each_outside_library_is_imported_by_its_owners_alone(package: str, owners: dict[str, set[str]]) -> None:
    importers: dict[str, set[str]] = {}
    for name, tree in modules(package).items():
        for library in outside(tree, package):
            importers.setdefault(library, set()).add(name)
    assert importers == owners


@pytest.mark.parametrize(("package", "other"), [("builder", "runtime"), ("runtime", "builder")])
def test_the_two_packages_never_import_each_other(package: str, other: str) -> None:
    crossing = [name for name, tree in modules(package).items() if other in {i.split(".")[0] for i in imported(tree)}]
    assert crossing == []


def test_the_reader_of_imports_sees_those_inside_functions_and_skips_those_for_type_checkers() -> None:
    tree = ast.parse("def f():\n    import a\nif TYPE_CHECKING:\n    import b\nfrom c import d")
    assert set(imported(tree)) == {"a", "c", "c.d"}
