"""Own what later steps and jobs of a pipeline read of a report: GitHub's step outputs and GitLab's variables; pure."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

Report = Mapping[str, Any]

_NOT_IN_VARIABLES = re.compile(r"[^A-Z0-9]")
_GOOD = {"pushed", "tagged", "built", "unchanged"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def of_github(report: Report) -> str:
    """Return the lines for the file GITHUB_OUTPUT.

    No value can end its own text: the delimiter is drawn anew for each.
    """
    values = {
        "result": report["result"],
        "images": json.dumps({image["name"]: _told(image) for image in report["images"]}, ensure_ascii=False),
        "references": "\n".join(name for image in _good(report) for name in image["references"]),
        "ids": "\n".join(image["id"] for image in _good(report)),
        "digests": "\n".join(_digests(report)),
    }
    return "".join(_assigned(name, value) for name, value in values.items())


def _good(report: Report) -> list[Report]:
    """Return the images that a later step may use."""
    return [image for image in report["images"] if image["result"] in _GOOD]


def _told(image: Report) -> Report:
    keys = ("result", "references", "id", "size_bytes")
    return {**{key: image[key] for key in keys}, "pushed": image.get("pushed", [])}


def _digests(report: Report) -> Iterator[str]:
    for image in _good(report):
        yield from dict.fromkeys(_by_digest(push) for push in image.get("pushed", ()))


def _by_digest(push: Report) -> str:
    """Return what was pushed by its digest alone: `registry:5000/name:tag` has two colons."""
    repository, _, tag = push["reference"].rpartition(":")
    return f"{repository if repository and '/' not in tag else push['reference']}@{push['digest']}"


def _assigned(name: str, value: str) -> str:
    delimiter = f"end-{uuid4().hex}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def of_gitlab(report: Report) -> str:
    """Return a dotenv report: GitLab takes one line for each variable, and at first 20 of them in 5 kB."""
    variables = {"BUILD_IMAGE_RESULT": report["result"]}
    for image in _good(report):
        key = _free(f"BUILD_IMAGE_{_NOT_IN_VARIABLES.sub('_', image['name'].upper())}", variables)
        pushed = [_by_digest(push) for push in image.get("pushed", ())]
        variables[key] = next(iter([*pushed, *image["references"]]), image["id"])
    return "".join(f"{name}={_CONTROL.sub(' ', value)}\n" for name, value in variables.items())


def _free(name: str, taken: Mapping[str, str]) -> str:
    """Return `name`, or with a number where it is taken: `a-b` and `a.b` are both A_B."""
    numbered = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 2)))
    return next(candidate for candidate in numbered if candidate not in taken)
