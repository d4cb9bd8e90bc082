"""Own what Prometheus is told, under the names of text-embeddings-inference, so that its dashboards work here too.

Counting is plain arithmetic on the event loop. The client library is loaded by the first scrape: it takes 28 ms to
import, and a histogram of its own can't take the texts of a request at once.
"""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from runtime import errors
from runtime.timings import Timings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["embed", "predict"]

_SECONDS = [0.001 * 2**power for power in range(17)]  # 1 ms to 65 s
_COUNTS = [2**power for power in range(18)]  # of texts and of tokens

_FAILURES: Sequence[tuple[type[BaseException], str]] = (
    (errors.OverloadedError, "overloaded"),
    (errors.EmptyError, "empty"),
    (errors.RequestError, "validation"),
    (asyncio.CancelledError, "dropped"),
    (BaseException, "inference"),
)
_COUNTERS = {  # what is counted, and by which label
    "te_request_count": ("requests", "method"),
    "te_request_success": ("requests that were answered", "method"),
    "te_request_failure": ("requests that were not answered", "err"),
    "te_embed_count": ("texts to embed", None),
    "te_embed_success": ("texts that were embedded", None),
    "te_predict_count": ("texts to score", None),
    "te_predict_success": ("texts that were scored", None),
}
_STEPS = {
    "duration": "until a {} is answered",
    "tokenization_duration": "in which a {} is tokenized",
    "queue_duration": "that a {} waits to be run",
    "inference_duration": "that a batch takes, by {}",
}
_NOUNS = {"request": "request", "embed": "text to embed", "predict": "text to score"}


class _Histogram:
    """How many values are up to each bound."""

    def __init__(self, help_text: str, bounds: Sequence[float]) -> None:
        self.help_text = help_text
        self.sum = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float, *, times: int = 1) -> None:
        """Count a value, as often as it was seen."""
        self.sum += value * times
        self._counts[bisect_left(self._bounds, value)] += times

    def buckets(self) -> list[tuple[str, float]]:
        """List each bound with how many values are up to it."""
        names = [f"{bound:g}" for bound in self._bounds]
        return list(zip([*names, "+Inf"], accumulate(self._counts), strict=True))


class Metrics:
    """The counters of one process; but for `exposition`, everything is cheap."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTERS}
        self._waiting = 0
        self._histograms = {
            f"te_{noun}_{step}": _Histogram(f"seconds {text.format(_NOUNS[noun])}", _SECONDS)
            for noun in _NOUNS
            for step, text in _STEPS.items()
        }
        self._histograms["te_request_input_length"] = _Histogram("tokens of a text", _COUNTS)
        self._histograms["te_batch_next_size"] = _Histogram("texts of a batch", _COUNTS)
        self._histograms["te_batch_next_tokens"] = _Histogram("tokens of a batch, with padding", _COUNTS)

    @contextmanager
    def request(self, kind: Kind, *, texts: int) -> Iterator[None]:
        """Count a request while the block runs, by how it ends."""
        method = "single" if texts == 1 else "batch"
        self._counts["te_request_count"][method] += 1
        self._counts[f"te_{kind}_count"][""] += texts
        try:
            yield
        except BaseException as error:
            reason = next(reason for failure, reason in _FAILURES if isinstance(error, failure))
            self._counts["te_request_failure"][reason] += 1
            raise
        self._counts["te_request_success"][method] += 1
        self._counts[f"te_{kind}_success"][""] += texts

    def served(self, kind: Kind, *, lengths: Sequence[int], timings: Timings, total_s: float) -> None:
        """Count the time of a request, and its mean for each of its texts."""
        steps = {
            "duration": total_s,
            "tokenization_duration": timings.tokenization_s,
            "queue_duration": timings.queue_s,
            "inference_duration": timings.inference_s,
        }
        for step, seconds in steps.items():
            self._histograms[f"te_request_{step}"].add(seconds)
            self._histograms[f"te_{kind}_{step}"].add(seconds, times=len(lengths))
        for length in lengths:
            self._histograms["te_request_input_length"].add(length)

    def ran(self, *, entries: int, tokens: int, waiting: int) -> None:
        """Count a batch, and say how many entries wait."""
        self._histograms["te_batch_next_size"].add(entries)
        self._histograms["te_batch_next_tokens"].add(tokens)
        self._waiting = waiting

    def exposition(self) -> bytes:
        """Write everything, and what the process uses, in Prometheus's text format."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest  # noqa: PLC0415 - as above

        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return generate_latest(registry)

    def collect(self) -> Iterator["Metric"]:
        """Give the metrics as the client library wants them.

        It would append `_total` to the names of its counters, so they are of no type here.
        """
        from prometheus_client.core import (  # noqa: PLC0415 - as above
            GaugeMetricFamily,
            HistogramMetricFamily,
            UntypedMetricFamily,
        )

        for name, (help_text, label) in _COUNTERS.items():
            family = UntypedMetricFamily(name, help_text, labels=[label] if label else [])
            for value, count in self._counts[name].items():
                family.add_metric([value] if label else [], count)
            yield family
        yield GaugeMetricFamily("te_queue_size", "texts that wait to be run", value=self._waiting)
        for name, histogram in self._histograms.items():
            yield HistogramMetricFamily(name, histogram.help_text, buckets=histogram.buckets(), sum_value=histogram.sum)
