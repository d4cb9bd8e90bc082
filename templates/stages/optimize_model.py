"""Derive a faster or smaller graph of one model: what is asked for, step by step, and what can't be done is told.

    python -P -m stages.optimize_model REQUEST.json SNAPSHOT_DIRECTORY OUTPUT_DIRECTORY

The output gets `model.onnx`, with `model.onnx_data` where it is large, and `derived.json`, which says how that graph is
fed and read, what was done and what was not. Where nothing can be done to a graph, there is no other than the original,
and `derived.json` says why. It needs no network, and makes the same bytes of the same files.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from .optimize_derivation import Derivation, begin, complete, finish, shape
from .optimize_failures import GraphError, OptimizeError
from .optimize_file import sha256_of
from .optimize_quantize import QUANTIZATIONS
from .optimize_request import Request
from .optimize_session import VERSION

DERIVED = "derived.json"
GRAPH = "model.onnx"
UNFINISHED = ".unfinished-"
GIVE_MEMORY = "give the engine more memory, choose another `dtype`, or remove `optimize`"
# An exception that nobody expected is told from one that has its own exit code.
PROGRAM = """
import sys, traceback
from stages.optimize_model import main
try:
    code = main(sys.argv[1:])
except Exception:
    traceback.print_exc()
    code = 70
sys.exit(code)
"""
VERSIONS = {"onnxruntime": VERSION, "onnx": onnx.__version__, "numpy": np.__version__}

Document = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Derive what the request asks for and return the exit code."""
    options = parse(arguments)
    try:
        request = read_request(options.request)
        options.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=options.output) as folder:
            files, document = derive(request, options.snapshot, Path(folder))
            publish(files, document, folder=Path(folder), output=options.output)
    except OptimizeError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


def watch(arguments: Sequence[str], *, command: Sequence[str]) -> int:
    """Let `command` derive, and return the exit code; where it ends in any other way, the original stays in place.

    A library may crash on a graph, or the system end what takes too much memory.
    """
    code = subprocess.run([*command, *arguments], check=False).returncode
    if code in {0, 1}:
        return code
    options = parse(arguments)
    request = read_request(options.request)
    ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else "failed, which is a bug of `build-image`"
    why = f"`{request.graph}`: the optimiser {ended}"
    if request.wishes.insist:
        print(GraphError(why, hint=GIVE_MEMORY), file=sys.stderr, flush=True)
        return 1
    for left in options.output.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=options.output) as folder:
        publish([], give_up(request, why=why), folder=Path(folder), output=options.output)
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Derive a faster or smaller graph of one model.")
    parser.add_argument("request", type=Path)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("output", type=Path)
    return parser.parse_args(arguments)


def read_request(file: Path) -> Request:
    """Read what is asked for; raises OptimizeError where it is no request."""
    try:
        return Request.parse(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptimizeError(f"`{file.name}`: {error}", hint="`build-image` writes it: its versions differ") from error


def derive(request: Request, snapshot: Path, folder: Path) -> tuple[list[Path], Document]:
    """Derive the graphs in `folder`; list their files, and describe them. Raises OptimizeError."""
    try:
        derivation = begin(request, snapshot / request.graph)
        shape(derivation, snapshot=snapshot, folder=folder)
        variants = [derivation.fork() for _ in request.variants]
        complete(derivation, quantization=request.wishes.quantize, folder=folder)
        if not derivation.applied:
            return [], describe(derivation, graph=None, variants=[])
        files = finish(derivation, folder / GRAPH)
        described = []
        for name, variant in zip(request.variants, variants, strict=True):
            complete(variant, quantization=name, folder=folder)
            if "quantize" in variant.applied:
                target = folder / f"model.{name}.onnx"
                files += finish(variant, target)
                described += describe_variant(name, target)
            else:
                derivation.skipped[f"variant {name}"] = variant.skipped["quantize"]
        return files, describe(derivation, graph=folder / GRAPH, variants=described)
    except GraphError as error:
        if request.wishes.insist:
            raise
        return [], give_up(request, why=error.message)


def describe(derivation: Derivation, *, graph: Path | None, variants: Sequence[Document]) -> Document:
    """Say how the derived graph is fed and read, and what was done; without one, how the original is."""
    request, applied = derivation.request, derivation.applied
    is_pooled = graph is not None and "fuse_pooling" in applied
    is_cut = graph is not None and "cut_head" in applied
    is_unit = is_pooled and request.wishes.fuse_normalize
    operators = operators_of(derivation.step.graph)
    return {
        "graph": None if graph is None else graph.name,
        "inputs": request.document["inputs"],
        "output": derivation.step.output if graph else request.output,
        "pooling": [] if is_pooled else list(request.pooling),
        "layers": [] if is_pooled else list(request.document["layers"]),
        "normalize": request.normalize and not is_unit,
        "answer_tokens": list(range(len(request.answer_tokens))) if is_cut else list(request.answer_tokens),
        "quantizes_dynamically": is_dynamic(operators),
        "batching": may_batch(request, operators, is_cut=is_cut),
        "level": "disabled" if "graph" in applied else "all",
        "applied": [{"step": name, "detail": detail} for name, detail in applied.items()],
        "skipped": [{"step": name, "why": why} for name, why in derivation.skipped.items()],
        "versions": VERSIONS,
        "variants": list(variants),
    }


def describe_variant(name: str, graph: Path) -> list[Document]:
    """Say of which flags a processor needs one for a graph."""
    is_dynamic_graph = is_dynamic(operators_of(graph))
    return [
        {"graph": graph.name, "requires": [flag], "quantizes_dynamically": is_dynamic_graph}
        for flag in QUANTIZATIONS[name].flags
    ] or [{"graph": graph.name, "requires": [], "quantizes_dynamically": is_dynamic_graph}]


def give_up(request: Request, *, why: str) -> Document:
    """Say that the original stays, and why: to who looks on, and in the description."""
    print(f"warning: {why}; the original stays in place", file=sys.stderr, flush=True)
    same = {key: request.document[key] for key in ("inputs", "output", "pooling", "layers", "normalize")}
    return {
        "graph": None,
        **same,
        "answer_tokens": list(request.answer_tokens),
        "quantizes_dynamically": False,
        "batching": False,
        "level": "all",
        "applied": [],
        "skipped": [{"step": "load", "why": why}],
        "versions": VERSIONS,
        "variants": [],
    }


def publish(files: Iterable[Path], document: Mapping[str, Any], *, folder: Path, output: Path) -> None:
    """Move what is finished into place; the description comes last, and without it nothing is there."""
    (output / DERIVED).unlink(missing_ok=True)
    listed = {file.name: {"size_bytes": file.stat().st_size, "sha256": sha256_of(file)} for file in files}
    for name in listed:
        (folder / name).replace(output / name)
    text = json.dumps({**document, "files": listed}, indent=2, sort_keys=True) + "\n"
    (folder / DERIVED).write_text(text, encoding="utf-8")
    (folder / DERIVED).replace(output / DERIVED)
    for step in document["applied"]:
        print(f"{step['step']}: {step['detail']}", flush=True)


def operators_of(graph: Path) -> set[str]:
    """List the operators of a graph."""
    return {node.op_type for node in onnx.load(graph, load_external_data=False).graph.node}


def is_dynamic(operators: Iterable[str]) -> bool:
    """Tell whether it takes the range of its bytes from a whole batch."""
    return any(name.startswith("DynamicQuantize") for name in operators)


def may_batch(request: Request, operators: Iterable[str], *, is_cut: bool) -> bool:
    """Tell whether texts may share a run: as the recipe of a model says, unless the request does."""
    wished = request.document.get("batching")
    return (not is_dynamic(operators) and (is_cut or not request.answer_tokens)) if wished is None else bool(wished)


if __name__ == "__main__":
    sys.exit(watch(sys.argv[1:], command=[sys.executable, "-P", "-c", PROGRAM]))
