"""Own the proof of an image's optimised graphs: what its build measured, and how a build is told that fails for one."""

import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol, TypeAlias

from builder.errors import AbsentError, BuildFailedError, InternalError
from builder.smoke import Check

PATH = "/opt/bundle/accuracy.json"  # in an image with optimised models

_SCRIPTS = ("/stages/bake-optimized.sh", "/stages/compared.sh")
_ERROR, _HINT = "error: ", "hint: "
_REFUSAL = "does not answer as its original"
_REMEDY = (
    "choose a gentler `quantize`, spare layers with `exclude`, or lower the threshold, all in the model's `optimize`"
)

Accuracy: TypeAlias = Mapping[str, Any]  # what was measured, by the model's name, as the runtime writes it


class Images(Protocol):
    """What can show files of an image without running it: an Engine."""

    def archive(self, image: str, path: str, /) -> AbstractContextManager[BinaryIO]:
        """Stream a file or folder of the image as a tar."""


def read(images: Images, image: str) -> dict[str, Any]:
    """Return what was measured of each optimised model of `image`; raises InternalError where that is not there."""
    try:
        with images.archive(image, PATH) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            first = archive.next()
            content = archive.extractfile(first) if first else None
            models: dict[str, Any] = json.loads(content.read() if content else b"")["models"]
    except (AbsentError, tarfile.ReadError, ValueError, KeyError, TypeError) as error:
        raise InternalError(f"`{image}` holds no `{PATH}` of its optimised models") from error
    return models


def checks(accuracy: Accuracy) -> Iterator[Check]:
    """Yield a check for each derived graph that was judged, with its figures."""
    for name, report in accuracy.items():
        for graph in report["graphs"]:
            if graph["is_judged"]:
                figures = ", ".join(map(_figure, graph["measures"]))
                told = f"{graph['graph']} against {report['original']}: {figures}"
                yield Check(name=f"{name} answers as its original", detail=told, duration_s=0.0)


def warnings(accuracy: Accuracy) -> Iterator[str]:
    """Yield what was asked for and not done, and why."""
    for name, report in accuracy.items():
        stays = "" if report["graphs"] else "the original graph stays: "
        for step in report["skipped"]:
            yield f"models.{name}.optimize: {stays}{step['step']}: {step['why']}"


def _figure(measure: Mapping[str, Any]) -> str:
    limits = {"at_least": "of at least", "at_most": "of at most"}
    limit = "".join(f" {told} {measure[key]:g}" for key, told in limits.items() if measure.get(key) is not None)
    return f"{measure['name'].replace('_', ' ')} {measure['value']:.4f}{limit}"


def retold(error: BuildFailedError) -> BuildFailedError:
    """Return the failure of a stage that derives or compares a graph in that stage's own words, any other as it is."""
    said = [line for line in error.output if line.startswith(_ERROR)]
    if not said or not any(script in error.step for script in _SCRIPTS):
        return error
    message = "; ".join(line.removeprefix(_ERROR) for line in said)
    hints = [line.removeprefix(_HINT) for line in error.output if line.startswith(_HINT)]
    return BuildFailedError(
        message,
        step=error.step,
        output=tuple(line for line in error.output if not line.startswith((_ERROR, _HINT))),
        hint=hints[-1] if hints else _REMEDY if _REFUSAL in message else error.hint,
    )
