import base64
import struct

import numpy as np
import pytest

from runtime.encoding import encode
from runtime.errors import InvalidError

VECTORS = np.array([[0.5, -0.5, 0.0, 1e-9, -1.0, 2.0, -0.0, 3.0], [-1.0] * 8], dtype=np.float32)


def test_numbers_are_those_of_the_vectors() -> None:
    assert encode(VECTORS[:, :2], "float") == [[0.5, -0.5], [-1.0, -1.0]]


def test_base64_is_float32_with_the_low_byte_first() -> None:
    first, _ = encode(VECTORS, "base64")
    assert base64.b64decode(str(first)) == struct.pack("<8f", *VECTORS[0].tolist())


def test_a_bit_is_set_for_each_number_above_zero() -> None:
    assert encode(VECTORS, "ubinary") == [[0b1001_0101], [0]]


def test_signed_bits_are_128_less() -> None:
    assert encode(VECTORS, "binary") == [[0b1001_0101 - 128], [-128]]


@pytest.mark.parametrize("kind", ["binary", "ubinary"])
def test_bits_that_fill_no_whole_byte_are_refused(kind: str) -> None:
    with pytest.raises(InvalidError) as caught:
        encode(VECTORS[:, :5], kind)  # type: ignore[arg-type] # pytest's parameters are plain text
    assert caught.value.message == "the bits of `5` numbers fill no whole bytes"
