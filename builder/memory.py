"""Own how much memory a server may take, by the sizes of its models; it measures nothing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.lock import LockedModel

_SPARE_BYTES = 1 << 30
_PER_MODEL_BYTE = 3  # the weights, ONNX Runtime's packed copy of them, and activations


def limit_bytes(models: "Iterable[LockedModel]") -> int:
    """Return the memory limit under which a server of `models` is tested and deployed."""
    return _SPARE_BYTES + _PER_MODEL_BYTE * sum(model.size_bytes for model in models)
