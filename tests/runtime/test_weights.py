from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from runtime.errors import ModelError
from runtime.weights import read_tensors

RANDOM = np.random.default_rng(11)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_tensors_are_read_as_the_library_writes_them(tmp_path: Path, dtype: type[np.floating]) -> None:
    written = {"a": RANDOM.normal(size=(3, 4)).astype(dtype), "b": RANDOM.normal(size=5).astype(dtype)}
    save_file(written, tmp_path / "model.safetensors", metadata={"format": "pt"})
    read = read_tensors(tmp_path / "model.safetensors")
    assert {name: (tensor.dtype, tensor.tolist()) for name, tensor in read.items()} == {
        name: (np.dtype(np.float32), tensor.astype(np.float32).tolist()) for name, tensor in written.items()
    }


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}'
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes.fromhex("803f 00c0 4940"))
    assert read_tensors(file)["a"].tolist() == [1.0, -2.0, 3.140625]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x04\0\0\0\0\0\0\0[{}]",
        b"\xff\0\0\0\0\0\0\0{",
        b'\x37\0\0\0\0\0\0\0{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}} 12345678',
        b'\x35\0\0\0\0\0\0\0{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}1',
    ],
    ids=["empty", "a list", "cut header", "cut data", "integers"],
)
def test_what_is_no_file_of_floats_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=f"^`{file}` is not a safetensors file of floats: "):
        read_tensors(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="^`.*/none`: No such file or directory$"):
        read_tensors(tmp_path / "none")
