"""Own the reading of safetensors files (https://github.com/huggingface/safetensors): numbers, and no code, ever.

Eight bytes say how long the header is, the header is JSON with each tensor's dtype, shape and place, the rest is data.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ModelError

_LENGTH_BYTES = 8
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_HALF_OF_FLOAT32 = "BF16"


def read_tensors(file: Path) -> dict[str, NDArray[np.float32]]:
    """Read every tensor of a file as float32; raises ModelError when it is not whole, or no file of floats."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"`{file}`: {error.strerror}") from error
    try:
        length = int.from_bytes(content[:_LENGTH_BYTES], "little")
        header = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
        data = memoryview(content)[_LENGTH_BYTES + length :]
        return {name: _tensor(entry, data) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"`{file}` is not a safetensors file of floats: {error}") from error


def _tensor(entry: dict[str, Any], data: memoryview) -> NDArray[np.float32]:
    start, end = entry["data_offsets"]
    content = data[start:end]
    if entry["dtype"] == _HALF_OF_FLOAT32:
        flat = (np.frombuffer(content, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.frombuffer(content, dtype=_DTYPES[entry["dtype"]]).astype(np.float32)
    shaped: NDArray[np.float32] = flat.reshape(entry["shape"])
    return shaped
