from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from builder import gates
from builder.contents import Contents, Duplicate, Leak
from builder.errors import GateFailedError
from builder.gates import Measured, Verdict
from builder.manifest import Gates, Image
from tests.builder import data, optimized

FREE = data.fetched("free")
BOUND = replace(data.fetched("bound"), licence="cc-by-nc-4.0")
UNNAMED = replace(data.fetched("unnamed"), licence="")
OWN = replace(data.fetched("own"), licence="mit, house terms (https://example.com/terms)")
LOCKED = {model.name: model for model in (FREE, BOUND, UNNAMED, OWN)}
IMAGES = {"one": Image(models=["free", "bound"]), "two": Image(models=["unnamed"])}


def judged(limits: Mapping[str, Any], **measured: Any) -> Verdict:
    known = {"models": (FREE,), "size_bytes": 1, "figures": {}, "contents": Contents(leaks=(), duplicates=())}
    return gates.judge(Gates.model_validate({"secrets": False, **limits}), Measured(**{**known, **measured}))


def passed(verdict: Verdict) -> list[tuple[str, str]]:
    assert verdict.refusals == ()
    return [(check.name, check.detail) for check in verdict.passed]


def test_licences_that_are_not_allowed_are_refused_by_image_and_model() -> None:
    with pytest.raises(GateFailedError) as caught:
        gates.check_models(Gates(licences=["Apache-2.0"]), IMAGES, LOCKED)
    assert caught.value.message.splitlines() == [
        "one: gate `licences`: `bound` is under `cc-by-nc-4.0`; allowed: Apache-2.0",
        "two: gate `licences`: `unnamed` is under no licence that it names; allowed: Apache-2.0",
    ]
    assert caught.value.hint == "choose other models, or change the key below `gates` in the manifest"


@pytest.mark.parametrize(
    ("allowed", "refusals"),
    [(["mit", "house terms"], 0), (["mit"], 1), (["house terms"], 1), ([], 1)],
)
def test_every_licence_of_a_model_has_to_be_allowed(allowed: list[str], refusals: int) -> None:
    assert len(judged({"licences": allowed}, models=(OWN,)).refusals) == refusals


def test_what_an_optimised_model_will_have_is_not_held_against_it_before_the_build() -> None:
    model = optimized.model()
    gates.check_models(Gates(max_size=300), {"one": Image(models=["embedder"])}, {"embedder": model})
    with pytest.raises(GateFailedError, match="its models alone have"):
        gates.check_models(
            Gates(max_size=300), {"one": Image(models=["embedder"])}, {"embedder": replace(model, optimization=None)}
        )


def test_without_a_list_of_licences_any_is_allowed() -> None:
    gates.check_models(Gates(), IMAGES, LOCKED)


def test_models_that_are_too_large_by_themselves_are_refused_before_anything_is_fetched() -> None:
    with pytest.raises(GateFailedError) as caught:
        gates.check_models(Gates.model_validate({"max_size": "1.5 kB"}), IMAGES, LOCKED)
    assert caught.value.message == "one: gate `max_size`: its models alone have 2 kB; allowed: 1.5 kB"


def test_an_image_is_held_to_its_size() -> None:
    limits = {"max_size": "400 MB"}
    assert passed(judged(limits, size_bytes=400_000_000)) == [("gate max_size", "400 MB; allowed: 400 MB")]
    assert judged(limits, size_bytes=405_000_000).refusals == ("gate `max_size`: it has 405 MB; allowed: 400 MB",)


def test_files_that_are_stored_twice_are_named_with_their_bytes() -> None:
    found = (Duplicate(paths=("/a", "/b"), wasted_bytes=90_000_000), Duplicate(paths=("/c", "/d"), wasted_bytes=70_000))
    contents = Contents(leaks=(), duplicates=found)
    assert passed(judged({"max_duplicates": "91 MB"}, contents=contents)) == [
        ("gate max_duplicates", "90.1 MB stored twice; allowed: 91 MB")
    ]
    assert judged({"max_duplicates": 1}, contents=contents).refusals == (
        "gate `max_duplicates`: 90.1 MB stored twice; allowed: 1 B: 90 MB `/a` = `/b`, 70 kB `/c` = `/d`",
    )


def test_secrets_are_named_by_kind_and_place_and_five_at_most() -> None:
    leaks = tuple(Leak(kind="a private key", place=f"`/k{number}` of layer 1") for number in range(7))
    (refusal,) = judged({"secrets": True}, contents=Contents(leaks=leaks, duplicates=())).refusals
    assert refusal == (
        "gate `secrets`: "
        + ", ".join(f"a private key in `/k{number}` of layer 1" for number in range(5))
        + " and 2 more; allowed: none"
    )
    assert passed(judged({"secrets": True})) == [("gate secrets", "none in layers, history, labels and environment")]


def test_each_model_is_held_to_what_the_selftest_measured() -> None:
    limits = {"min_golden_cosine": 0.9999, "min_tokens_per_second": 1000}
    figures = {"a": {"golden_cosine": 0.99995, "tokens_per_second": 1500.0}, "b": {"tokens_per_second": 1000.0}}
    assert passed(judged(limits, figures=figures)) == [
        ("gate min_golden_cosine", "a 0.999950; at least 0.9999"),
        ("gate min_tokens_per_second", "a 1,500, b 1,000; at least 1,000"),
    ]
    worse = {"a": {"golden_cosine": float("nan"), "tokens_per_second": 999.4}, "b": figures["b"]}
    assert judged(limits, figures=worse).refusals == (
        "gate `min_golden_cosine`: a nan; at least 0.9999",
        "gate `min_tokens_per_second`: a 999; at least 1,000",
    )


def test_an_image_without_models_that_a_gate_is_about_passes_it_and_says_so() -> None:
    assert passed(judged({"min_golden_cosine": 0.9}, figures={"a": {"golden_difference": 0.0}})) == [
        ("gate min_golden_cosine", "nothing to measure; at least 0.9")
    ]


def test_what_is_not_asked_for_is_not_judged() -> None:
    assert judged({}) == Verdict(passed=(), refusals=())
