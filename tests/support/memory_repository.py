"""Own a repository that exists in memory only, and tiny graphs for it."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from builder.manifest import Manifest, Model
from builder.repository import RepositoryFile, git_blob_id

SOURCE = "example/model"
TOKENIZER = {"added_tokens": [{"id": 0, "content": "[PAD]"}], "model": {}}


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryRepository:
    """Files by path, at a commit of zeros."""

    contents: Mapping[str, bytes]
    source: str = SOURCE
    revision: str = "0" * 40
    licence: str = ""
    gated: bool = False

    @property
    def files(self) -> Mapping[str, RepositoryFile]:
        return {
            path: RepositoryFile(size_bytes=len(content), blob_id=git_blob_id(content))
            for path, content in self.contents.items()
        }

    def read(self, path: str) -> bytes:
        return self.contents[path]

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self.contents[path])


def repository(files: Mapping[str, Any]) -> MemoryRepository:
    """Make a repository; a content that is not bytes is written as JSON."""
    return MemoryRepository(
        contents={
            path: content if isinstance(content, bytes) else json.dumps(content).encode()
            for path, content in files.items()
        }
    )


def graph(
    outputs: Mapping[str, Sequence[int | str] | None],
    *,
    inputs: Mapping[str, int | tuple[int, Sequence[int | str]]] | None = None,
    external_data: Sequence[str] = (),
    operators: Sequence[str] = (),
) -> bytes:
    """Write an ONNX file with inputs (name to element type, or to that and a shape) and outputs (name to shape).

    Its nodes are of `operators`, and compute nothing.
    """
    shape = ["batch", "sequence"]
    taken = inputs or {"input_ids": TensorProto.INT64, "attention_mask": TensorProto.INT64}
    typed = {name: kind if isinstance(kind, tuple) else (kind, shape) for name, kind in taken.items()}
    proto = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"]) for operator in operators],
        "test",
        [helper.make_tensor_value_info(name, kind, sizes) for name, (kind, sizes) in typed.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions) for name, dimensions in outputs.items()],
        initializer=[_external(number, location) for number, location in enumerate(external_data)],
    )
    return bytes(helper.make_model(proto).SerializeToString())


def _external(number: int, location: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(1, dtype=np.float32), f"weight{number}")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def manifest_model(**keys: Any) -> Model:
    """Make the model `m` as a manifest with these keys has it."""
    sections = {"models": {"m": {"repo": SOURCE, **keys}}, "images": {"image": {"models": ["m"]}}}
    return Manifest.model_validate({"version": 1, **sections}).models["m"]
