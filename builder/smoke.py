"""Own the smoke test: runs a built image locked down, without any network, and checks what it answers.

An image of weights alone runs nothing; its files are read instead.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from builder import verification
from builder.buildkit import Cancellation
from builder.console import size
from builder.engine import Container, ContainerOptions, ContainerState, Engine, ExecResult
from builder.errors import FailedError, SmokeFailedError
from builder.lock import LockedModel
from builder.plan import ImagePlan

SENTENCE = "The cat sits on the warm windowsill."
PARAPHRASE = "A cat is sitting on a sunny windowsill."
UNRELATED = "Interest rates rose by a quarter point on Tuesday."
QUERY = "How do I reset my password?"
ANSWER = "To reset your password, open Settings and choose Security."

START_TIMEOUT_S = 180
LOG_LINES = 20
_POLL_S = 0.1
_NORM_TOLERANCE = 1e-3
_SPARE_MEMORY_BYTES = 1 << 30
_MEMORY_PER_MODEL_BYTE = 3  # the weights, ONNX Runtime's packed copy of them, and activations
_ANSWER_TIMEOUT_S = 120
_SHOWN_CHARACTERS = 2000
_PROBE = ("python3", "-m", "runtime", "probe")
_SELFTEST = ("python3", "-m", "runtime", "selftest", "--files")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that the image was seen to do, or not to do; `detail` has the figures, or what was seen instead."""

    name: str
    detail: str
    duration_s: float
    passed: bool = True


OnCheck: TypeAlias = Callable[[Check], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SmokeResult:
    """Every check of an image that passed them all; `figures` are the selftest's: model to name to value."""

    checks: tuple[Check, ...]
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Run:
    """The checks of one container, in the order in which they passed."""

    container: Container
    on_check: OnCheck
    checks: list[Check] = field(default_factory=list)
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def check(self, name: str, action: Callable[[], str]) -> None:
        """Run `action`, which returns its figures or raises FailedCheckError."""
        started = time.monotonic()
        try:
            detail = action()
        except (FailedCheckError, FailedError) as error:  # the latter where the container ends during an exec
            seen = Check(name=name, detail=str(error), duration_s=time.monotonic() - started, passed=False)
            self.on_check(seen)
            raise _failure(name, str(error), self.container) from error
        self.checks.append(Check(name=name, detail=detail, duration_s=time.monotonic() - started))
        self.on_check(self.checks[-1])

    def ask(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Post `body` to the server from inside the container, which has no network."""
        answer = self.container.exec([*_PROBE, path, "--json", json.dumps(body)], timeout_s=_ANSWER_TIMEOUT_S)
        if answer.exit_code != 0:
            raise FailedCheckError(f"`{path}` failed: {_last_words(answer)}")
        try:
            return json.loads(answer.stdout)
        except ValueError as error:
            raise FailedCheckError(f"`{path}` did not answer JSON: {_last_words(answer)}") from error


class FailedCheckError(Exception):
    """What was seen instead of what should be."""


def run(
    engine: Engine, image: ImagePlan, *, image_id: str, cancellation: Cancellation, on_check: OnCheck = lambda _: None
) -> SmokeResult:
    """Run `image_id` as a strict cluster would and check every model of `image`; measure what its gates are about.

    `on_check` is told of each check as soon as it is done.

    Raises SmokeFailedError with the container's last log lines, KeyboardInterrupt after `cancellation`.
    """
    with engine.run_container(_locked_down(image, image_id)) as container, cancellation.calling(container.kill):
        test = _Run(container=container, on_check=on_check)
        test.check("starts", lambda: _wait_until_ready(container))
        for model in image.models:
            _check_model(test, model)
        test.check("selftest", lambda: _selftest(test, with_speed=image.gates.min_tokens_per_second is not None))
        test.check("writes nothing", lambda: _changes(container))
    return SmokeResult(checks=tuple(test.checks), figures=test.figures)


def read(
    engine: Engine, image: ImagePlan, *, image_id: str, cancellation: Cancellation, on_check: OnCheck = lambda _: None
) -> SmokeResult:
    """Check an image of weights alone, in which nothing can run, by reading every file of its models.

    Raises SmokeFailedError with a line for each file that is not as it was locked, KeyboardInterrupt after
    `cancellation`.
    """
    started = time.monotonic()
    verdicts = verification.verify(engine, image_id, tuple(map(verification.of_model, image.models)))
    if cancellation.requested:
        raise KeyboardInterrupt
    mismatches = verification.mismatches(verdicts)
    if mismatches:
        reason = "not every one is as it was locked"
        on_check(Check(name="files", detail=reason, duration_s=time.monotonic() - started, passed=False))
        raise SmokeFailedError(f"smoke test: files: {reason}", output=mismatches[:LOG_LINES])
    count, size_bytes = sum(verdict.file_count for verdict in verdicts), sum(verdict.size_bytes for verdict in verdicts)
    detail = f"{count} files, {size(size_bytes)}, every one as locked"
    on_check(check := Check(name="files", detail=detail, duration_s=time.monotonic() - started))
    return SmokeResult(checks=(check,))


def _locked_down(image: ImagePlan, image_id: str) -> ContainerOptions:
    model_bytes = sum(model.size_bytes for model in image.models)
    # Everything else that locks it down is ContainerOptions' default.
    return ContainerOptions(image=image_id, memory_bytes=_SPARE_MEMORY_BYTES + _MEMORY_PER_MODEL_BYTE * model_bytes)


def _wait_until_ready(container: Container) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    started = time.monotonic()
    while time.monotonic() < deadline:
        if not _is_running(container.state()):
            raise FailedCheckError("the container ended")
        if _is_ready(container):
            return f"ready after {time.monotonic() - started:.1f} s"
        time.sleep(_POLL_S)
    raise FailedCheckError(f"not ready after {START_TIMEOUT_S} s")


def _is_ready(container: Container) -> bool:
    try:
        return container.exec(_PROBE).exit_code == 0
    except FailedError:  # it ended meanwhile, which its state will tell
        return False


def _is_running(state: ContainerState) -> bool:
    return state.status == "running"


def _last_words(answer: ExecResult) -> str:
    said = answer.stderr.strip() or answer.stdout.strip()
    return said.decode(errors="replace")[-_SHOWN_CHARACTERS:]


def _check_model(test: _Run, model: LockedModel) -> None:
    if model.recipe.task == "embedding":
        test.check(f"{model.name} embeds", lambda: _embeds(test, model))
    elif model.recipe.task == "reranker":
        test.check(f"{model.name} reranks", lambda: _reranks(test, model))
    else:
        test.check(f"{model.name} classifies", lambda: _classifies(test, model))


def _embeds(test: _Run, model: LockedModel) -> str:
    answer = test.ask("/v1/embeddings", {"model": model.name, "input": [SENTENCE, PARAPHRASE, UNRELATED]})
    vectors = [item["embedding"] for item in answer["data"]]
    return judge_embeddings(vectors, dimension=model.recipe.dimensions[0], is_normalized=model.recipe.normalize)


def _reranks(test: _Run, model: LockedModel) -> str:
    body = {"model": model.name, "query": QUERY, "documents": [UNRELATED, ANSWER]}
    results = test.ask("/rerank", body)["results"]
    return judge_ranking([(result["index"], result["relevance_score"]) for result in results])


def _classifies(test: _Run, model: LockedModel) -> str:
    answer = test.ask("/predict", {"model": model.name, "inputs": [[SENTENCE], [UNRELATED]]})
    scores = [{item["label"]: item["score"] for item in predictions} for predictions in answer]
    return judge_classes(scores, labels=model.recipe.labels)


def judge_embeddings(vectors: Sequence[Sequence[float]], *, dimension: int, is_normalized: bool) -> str:
    """Judge the vectors of a sentence, its paraphrase and an unrelated one; raises FailedCheckError."""
    widths = {len(vector) for vector in vectors}
    if widths != {dimension}:
        raise FailedCheckError(f"vectors of width {sorted(widths)}, not {dimension}")
    norms = [math.hypot(*vector) for vector in vectors]
    if not all(norms):
        raise FailedCheckError("a vector of zeros")
    if is_normalized and any(abs(norm - 1) > _NORM_TOLERANCE for norm in norms):
        raise FailedCheckError(f"norms {norms}, not 1")
    close, far = cosine(vectors[0], vectors[1]), cosine(vectors[0], vectors[2])
    if not close > far:  # not `<=`: a NaN must fail as well
        raise FailedCheckError(f"a paraphrase has cosine {close:.4f}, an unrelated sentence {far:.4f}")
    return f"{dimension} dimensions, cosine {close:.3f} to a paraphrase, {far:.3f} to an unrelated sentence"


def judge_ranking(results: Sequence[tuple[int, float]]) -> str:
    """Judge the (index, score) pairs of an unrelated document 0 and an answer 1; raises FailedCheckError."""
    scores = dict(results)
    if set(scores) != {0, 1}:
        raise FailedCheckError(f"scores for documents {sorted(scores)}, not 0 and 1")
    if not scores[1] > scores[0] or results[0][0] != 1:
        raise FailedCheckError(f"the answer scores {scores[1]:.4f}, an unrelated document {scores[0]:.4f}")
    return f"the answer scores {scores[1]:.3f}, an unrelated document {scores[0]:.3f}"


def judge_classes(scores: Sequence[Mapping[str, float]], *, labels: Sequence[str]) -> str:
    """Judge the scores by label of two sentences of different subjects; raises FailedCheckError."""
    for named in scores:
        if {*named} != {*labels}:
            raise FailedCheckError(f"scores for {', '.join(sorted(named))}, not {', '.join(labels)}")
    first, second = scores
    if first == second:
        raise FailedCheckError("two sentences of different subjects get the same scores")
    best = max(first, key=lambda label: first[label])
    return f"{len(labels)} labels, `{best}` first with {first[best]:.3f}"


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the cosine of two vectors of one length."""
    dot = math.fsum(x * y for x, y in zip(first, second, strict=True))
    return dot / (math.hypot(*first) * math.hypot(*second))


def _selftest(test: _Run, *, with_speed: bool) -> str:
    command = [*_SELFTEST, "--speed"] if with_speed else _SELFTEST
    answer = test.container.exec(command, timeout_s=START_TIMEOUT_S)
    if answer.exit_code != 0:
        raise FailedCheckError(f"`{' '.join(_SELFTEST)}` ended with {answer.exit_code}: {_last_words(answer)}")
    if not _has_golden_answers(answer):
        raise FailedCheckError(f"`{' '.join(_SELFTEST)}` compared no golden answers of some model")
    test.figures = {model["name"]: model["figures"] for model in json.loads(answer.stdout)["models"]}
    return "passed, every file as locked, every answer as baked"


def _has_golden_answers(answer: ExecResult) -> bool:
    """Tell whether the report of a selftest that passed holds every model to answers that were baked."""
    models = json.loads(answer.stdout)["models"]
    return all("golden" in {check["name"] for check in model["checks"]} for model in models)


def _changes(container: Container) -> str:
    changes = container.changes()
    if changes:
        raise FailedCheckError(f"the container wrote {', '.join(changes[:10])}")
    return "no file changed"


def _failure(name: str, reason: str, container: Container) -> SmokeFailedError:
    return SmokeFailedError(
        f"smoke test: {name}: {reason}{_ending(container.state())}",
        output=container.logs(tail=LOG_LINES),
        hint="the image has no tag; look closer with `docker run --rm --network none` and the id above",
    )


def _ending(state: ContainerState) -> str:
    if state.oom_killed:
        return "; it was killed for using more memory than its limit (out of memory)"
    return "" if _is_running(state) else f"; it ended with exit code {state.exit_code}"
