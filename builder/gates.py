"""Own the manifest's gates: what an image has to keep to before it gets a name; it measures nothing.

Licences and the models' own bytes are judged before anything is fetched, the rest once the image has passed its smoke
test.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from builder import licence
from builder.console import size
from builder.contents import Contents
from builder.errors import GateFailedError
from builder.lock import LockedModel
from builder.manifest import Gates, Image
from builder.smoke import Check

COSINE, SPEED = "golden_cosine", "tokens_per_second"  # as the server's selftest calls them
_SHOWN = 5

Figures: TypeAlias = Mapping[str, Mapping[str, float]]  # what a selftest measured: model to name to value


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the gates say of one image: a check for each that it passed, a line for each that it did not."""

    passed: tuple[Check, ...]
    refusals: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What is known of a built image."""

    models: tuple[LockedModel, ...]
    size_bytes: int
    figures: Figures
    contents: Contents


def check_models(gates: Gates, images: Mapping[str, Image], locked: Mapping[str, LockedModel]) -> None:
    """Judge what the lock alone tells of `images`; raises GateFailedError with a line for each refusal."""
    lines = []
    for name, image in images.items():
        models = [locked[model] for model in image.models]
        refusals = [line for line in (_licences(gates, models), _least_size(gates, models)) if line]
        lines += [f"{name}: {line}" for line in refusals]
    if lines:
        raise GateFailedError("\n".join(lines), hint=_HINT_FOR_MODELS)


def judge(gates: Gates, image: Measured) -> Verdict:
    """Judge a built image by every gate that the manifest asks for."""
    passed, refusals = [], []
    for key, judged in _GATES.items():
        if not _is_asked(getattr(gates, key)):
            continue
        problem, figures = judged(gates, image)
        if problem:
            refusals.append(problem)
        else:
            passed.append(Check(name=f"gate {key}", detail=figures, duration_s=0.0))
    return Verdict(passed=tuple(passed), refusals=tuple(refusals))


def refuse(refusals: Iterable[str], *, image: str) -> None:
    """Raise GateFailedError where there are any refusals; the console names the image in the first line."""
    lines = list(refusals)
    if lines:
        raise GateFailedError(f"\n{image}: ".join(lines), hint=_HINT)


_HINT_FOR_MODELS = "choose other models, or change the key below `gates` in the manifest"
_HINT = "the image has no tag; change it, or the key below `gates` in the manifest"


def _is_asked(limit: object) -> bool:
    return limit is not None and limit is not False


def _licences(gates: Gates, models: Iterable[LockedModel]) -> str:
    if gates.licences is None:
        return ""
    allowed = {name.lower() for name in gates.licences}
    foreign = [f"`{model.name}` is under {_named(model)}" for model in models if not _is_allowed(model, allowed)]
    limit = ", ".join(gates.licences) or "none"
    return f"gate `licences`: {', '.join(foreign)}; allowed: {limit}" if foreign else ""


def _is_allowed(model: LockedModel, allowed: set[str]) -> bool:
    names = licence.names(model.licence)
    return bool(names) and all(name.lower() in allowed for name in names)


def _named(model: LockedModel) -> str:
    return f"`{model.licence}`" if model.licence else "no licence that it names"


def _least_size(gates: Gates, models: Iterable[LockedModel]) -> str:
    total = sum(model.remaining_bytes for model in models)  # what a derived graph will have is not known yet
    if gates.max_size is None or total <= gates.max_size:
        return ""
    return f"gate `max_size`: its models alone have {size(total)}; allowed: {size(gates.max_size)}"


def _judge_licences(gates: Gates, image: Measured) -> tuple[str, str]:
    told = ", ".join(f"{model.name} {model.licence}" for model in image.models)
    return _licences(gates, image.models), told


def _judge_size(gates: Gates, image: Measured) -> tuple[str, str]:
    limit = gates.max_size or 0
    told = f"{size(image.size_bytes)}; allowed: {size(limit)}"
    return (f"gate `max_size`: it has {told}" if image.size_bytes > limit else ""), told


def _judge_duplicates(gates: Gates, image: Measured) -> tuple[str, str]:
    limit = gates.max_duplicates or 0
    found = image.contents.duplicates
    wasted = sum(duplicate.wasted_bytes for duplicate in found)
    told = f"{size(wasted)} stored twice; allowed: {size(limit)}"
    if wasted <= limit:
        return "", told
    shown = [f"{size(one.wasted_bytes)} `{'` = `'.join(one.paths)}`" for one in found[:_SHOWN]]
    return f"gate `max_duplicates`: {told}: {_listed(shown, len(found))}", told


def _judge_secrets(_: Gates, image: Measured) -> tuple[str, str]:
    leaks = image.contents.leaks
    shown = _listed([str(leak) for leak in leaks[:_SHOWN]], len(leaks))
    told = "none in layers, history, labels and environment"
    return (f"gate `secrets`: {shown}; allowed: none" if leaks else ""), told


def _judge_cosine(gates: Gates, image: Measured) -> tuple[str, str]:
    limit = gates.min_golden_cosine or 0.0
    found = {model: values[COSINE] for model, values in image.figures.items() if COSINE in values}
    told = {model: f"{model} {value:.6f}" for model, value in found.items()}
    return _least("min_golden_cosine", f"{limit:g}", told, [model for model in found if not found[model] >= limit])


def _judge_speed(gates: Gates, image: Measured) -> tuple[str, str]:
    limit = gates.min_tokens_per_second or 0
    found = {model: values[SPEED] for model, values in image.figures.items() if SPEED in values}
    told = {model: f"{model} {value:,.0f}" for model, value in found.items()}
    return _least("min_tokens_per_second", f"{limit:,}", told, [model for model in found if not found[model] >= limit])


def _least(key: str, limit: str, told: Mapping[str, str], below: Iterable[str]) -> tuple[str, str]:
    refused, figures = ", ".join(told[model] for model in below), ", ".join(told.values())
    problem = f"gate `{key}`: {refused}; at least {limit}" if refused else ""
    return problem, f"{figures or 'nothing to measure'}; at least {limit}"


def _listed(shown: list[str], count: int) -> str:
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return ", ".join(shown) + more


_GATES: Mapping[str, Callable[[Gates, Measured], tuple[str, str]]] = {
    "licences": _judge_licences,
    "max_size": _judge_size,
    "max_duplicates": _judge_duplicates,
    "min_golden_cosine": _judge_cosine,
    "min_tokens_per_second": _judge_speed,
    "secrets": _judge_secrets,
}
