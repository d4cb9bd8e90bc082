"""Own where the time of a request went, and its names in headers; it measures nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """Seconds that a request took; of waiting and running, the mean over its texts, as TEI counts them."""

    tokenization_s: float
    queue_s: float
    inference_s: float

    def headers(self) -> dict[str, str]:
        """Write them as TEI's headers do, in milliseconds."""
        return {
            "x-tokenization-time": _milliseconds(self.tokenization_s),
            "x-queue-time": _milliseconds(self.queue_s),
            "x-inference-time": _milliseconds(self.inference_s),
        }


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f}"
