import asyncio
import re

import pytest

from runtime.errors import EmptyError, InferenceError, InvalidError, OverloadedError
from runtime.metrics import Metrics
from runtime.timings import Timings

TIMINGS = Timings(tokenization_s=0.002, queue_s=0.5, inference_s=0.03)

# Source: text-embeddings-inference, `core/src/infer.rs`, `core/src/queue.rs`, `router/src/lib.rs`.
TEI_NAMES = {
    *("te_request_count", "te_request_success", "te_request_failure", "te_request_input_length"),
    *("te_embed_count", "te_embed_success", "te_predict_count", "te_predict_success"),
    *("te_queue_size", "te_batch_next_size", "te_batch_next_tokens"),
    *(
        f"te_{noun}_{step}"
        for noun in ("request", "embed", "predict")
        for step in ("duration", "tokenization_duration", "queue_duration", "inference_duration")
    ),
}


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def failed_by(error: BaseException) -> dict[str, float]:
    metrics = Metrics()
    with pytest.raises(type(error)), metrics.request("embed", texts=1):
        raise error
    return {name: value for name, value in samples(metrics).items() if name.startswith("te_request_failure")}


def test_the_names_are_those_of_text_embeddings_inference() -> None:
    described = re.findall(r"^# TYPE (te_\w+) ", Metrics().exposition().decode(), re.MULTILINE)
    assert set(described) == TEI_NAMES


def test_requests_and_their_texts_are_counted() -> None:
    metrics = Metrics()
    for kind, texts in (("embed", 1), ("embed", 3), ("predict", 5)):
        with metrics.request(kind, texts=texts):  # type: ignore[arg-type]  # mypy makes a str of the literals
            pass
    counted = {name: value for name, value in samples(metrics).items() if "count" in name and value}
    assert counted == {
        'te_request_count{method="single"}': 1,
        'te_request_count{method="batch"}': 2,
        "te_embed_count": 4,
        "te_predict_count": 5,
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OverloadedError("", retry_after_s=1), "overloaded"),
        (EmptyError(""), "empty"),
        (InvalidError(""), "validation"),
        (asyncio.CancelledError(), "dropped"),
        (InferenceError(""), "inference"),
        (ValueError(""), "inference"),
    ],
)
def test_failures_are_counted_by_their_reason(error: BaseException, reason: str) -> None:
    assert failed_by(error) == {f'te_request_failure{{err="{reason}"}}': 1}


def test_time_is_counted_for_the_request_and_for_each_text() -> None:
    metrics = Metrics()
    metrics.served("embed", lengths=[4, 60], timings=TIMINGS, total_s=0.6)
    found = samples(metrics)
    assert {name: found[name] for name in found if re.search("(request|embed).*_sum", name)} == {
        "te_request_duration_sum": 0.6,
        "te_request_tokenization_duration_sum": 0.002,
        "te_request_queue_duration_sum": 0.5,
        "te_request_inference_duration_sum": 0.03,
        "te_request_input_length_sum": 64,
        "te_embed_duration_sum": 1.2,
        "te_embed_tokenization_duration_sum": 0.004,
        "te_embed_queue_duration_sum": 1,
        "te_embed_inference_duration_sum": 0.06,
    }
    assert (found["te_request_queue_duration_count"], found["te_embed_queue_duration_count"]) == (1, 2)


def test_a_bucket_holds_what_is_up_to_its_bound() -> None:
    metrics = Metrics()
    for size in (1, 2, 3, 300_000):
        metrics.ran(entries=size, tokens=1, waiting=0)
    found = samples(metrics)
    bounds = ("1", "2", "4", "131072", "+Inf")
    assert [found[f'te_batch_next_size_bucket{{le="{bound}"}}'] for bound in bounds] == [1, 2, 3, 3, 4]


def test_what_waits_after_the_latest_batch_is_told() -> None:
    metrics = Metrics()
    metrics.ran(entries=1, tokens=1, waiting=9)
    metrics.ran(entries=1, tokens=1, waiting=5)
    assert samples(metrics)["te_queue_size"] == 5


def test_what_the_process_uses_is_told_too() -> None:
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= set(samples(Metrics()))
