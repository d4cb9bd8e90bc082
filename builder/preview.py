"""Own how a forecast is shown: as a text for people and as JSON for pipelines; it predicts nothing."""

import json
from collections.abc import Iterator
from typing import Any

from builder.console import columns, size
from builder.forecast import Forecast, ImageForecast, ModelForecast

VERSION = 1
_NO_LICENCE = "none named"
_HELD = {True: "there", False: "new", None: "-"}


def document(forecast: Forecast) -> str:
    """Return the forecast as JSON."""
    content = {
        "version": VERSION,
        "images": [_image(image) for image in forecast.images],
        "models": [_model(model) for model in forecast.models],
        "stages": [{"name": name, "images": list(images)} for name, images in forecast.stages.items()],
        "fetch": {"total_bytes": forecast.fetched.total_bytes, "parts": dict(forecast.fetched.parts)},
        "disk": {
            "total_bytes": forecast.disk.total_bytes,
            "parts": dict(forecast.disk.parts),
            "free_bytes": forecast.free_bytes,
        },
        "has_base": forecast.has_base,
        "lock_changes": list(forecast.lock_changes),
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _image(forecast: ImageForecast) -> dict[str, Any]:
    plan = forecast.plan
    return {
        "name": plan.name,
        "kind": plan.kind,
        "platform": plan.platform,
        "base": plan.base,
        "models": [model.name for model in plan.models],
        "references": list(plan.references),
        "immutable": list(plan.immutable),
        "labels": plan.labels,
        "size_bytes": forecast.size_bytes,
        "added_bytes": forecast.added_bytes,
        "state": forecast.state,
    }


def _model(forecast: ModelForecast) -> dict[str, Any]:
    model = forecast.model
    return {
        "name": model.name,
        "source": model.source,
        "revision": model.revision,
        "licence": model.licence or None,
        "is_gated": model.is_gated,
        "optimized": str(model.optimization) if model.optimization else None,
        "size_bytes": model.size_bytes,
        "images": list(forecast.images),
        "is_held": forecast.is_held,
    }


def text(forecast: Forecast) -> str:
    """Return the forecast as tables, and what is moved below them."""
    tables = (_images(forecast), _models(forecast), _stages(forecast))
    return "\n\n".join([*(columns(list(rows)) for rows in tables), "\n".join(_totals(forecast))])


def _images(forecast: Forecast) -> Iterator[tuple[str, ...]]:
    yield ("image", "tag", "size", "state")
    for image in forecast.images:
        known = size(image.added_bytes) + " + base" if image.size_bytes is None else size(image.size_bytes)
        weight = f"{known} before optimising" if image.plan.optimized else known
        for name in image.plan.references:
            told = [image.state or "", "immutable" if name in image.plan.immutable else ""]
            yield (image.plan.name, name, weight, ", ".join(filter(None, told)) or "-")


def _models(forecast: Forecast) -> Iterator[tuple[str, ...]]:
    yield ("model", "source", "size", "layer", "licence")
    for found in forecast.models:
        model = found.model
        source = f"{model.source}@{model.revision[:12]}"
        yield (model.name, source, size(model.size_bytes), _HELD[found.is_held], model.licence or _NO_LICENCE)


def _stages(forecast: Forecast) -> Iterator[tuple[str, ...]]:
    yield ("stage", "made once for")
    for name, images in forecast.stages.items():
        yield (name, ", ".join(images))


def _totals(forecast: Forecast) -> Iterator[str]:
    yield f"fetched  {_sum(str(forecast.fetched), forecast.fetched.total_bytes)}{_base(forecast)}"
    room = "" if forecast.free_bytes is None else f"; {size(forecast.free_bytes)} free"
    yield f"on disk  {_sum(str(forecast.disk), forecast.disk.total_bytes)}{room}"
    for line in forecast.lock_changes:
        yield f"lock     {line}"


def _sum(parts: str, total_bytes: int) -> str:
    return f"{size(total_bytes)}: {parts}" if total_bytes else "nothing"


def _base(forecast: Forecast) -> str:
    return f"; and the base image {forecast.images[0].plan.base}" if forecast.has_base is False else ""
