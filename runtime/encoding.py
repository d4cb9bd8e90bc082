"""Own how vectors are written: numbers, float32 in base64, or one bit a number; pure functions of arrays."""

import base64
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InvalidError

Format = Literal["float", "base64", "binary", "ubinary"]
Encoded = list[float] | str  # bytes are numbers too

_SIGN = 128  # what signed bytes are below unsigned ones


def encode(vectors: NDArray[np.float32], kind: Format) -> list[Encoded]:
    """Write each row: [texts, dimensions] float32 -> [texts].

    `base64` holds little-endian float32. `ubinary` has a bit for each number, set where it is above zero, eight to a
    byte with the first one highest; `binary` is the same less 128. Raises InvalidError where bits fill no whole byte.
    """
    encoded: list[Encoded]
    match kind:
        case "float":
            encoded = vectors.tolist()
        case "base64":
            encoded = [base64.b64encode(row).decode("ascii") for row in vectors.astype("<f4")]
        case "ubinary":
            encoded = _packed(vectors).tolist()
        case "binary":
            encoded = (_packed(vectors).astype(np.int16) - _SIGN).tolist()
        case _:
            assert_never(kind)
    return encoded


def _packed(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    width = vectors.shape[1]
    if width % 8:
        raise InvalidError(f"the bits of `{width}` numbers fill no whole bytes")
    return np.packbits(vectors > 0, axis=1)
