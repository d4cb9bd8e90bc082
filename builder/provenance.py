"""Own the statement of how an image came about: from which files and models, by what; it signs nothing.

Source: in-toto Statement v1 and SLSA Provenance v1. What `buildType` stands for is this program's README.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from builder.lock import LockedModel
from builder.plan import ImagePlan

SUFFIX = ".intoto.json"
BUILD_TYPE = "urn:build-image:models-yaml:1"
BUILDER_ID = "urn:build-image"

_HUB = "https://huggingface.co"


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What an image was built with, beside its plan: the texts of `files` by name, versions of programs, and when.

    `bill` is the image's bill of materials, and `run` names the pipeline's run, empty where none started it.
    """

    files: Mapping[str, bytes]
    bill: bytes
    versions: Mapping[str, str]
    finished: datetime
    run: str = ""


def statement(image: ImagePlan, image_id: str, around: Circumstances) -> bytes:
    """Return the statement about the image that `image` became."""
    names = image.references or (image.name,)
    content = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": image_id.removeprefix("sha256:")}} for name in names],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"image": image.name, "manifest": next(iter(around.files))},
                "internalParameters": {"kind": image.kind, "platform": image.platform, "version": image.version},
                "resolvedDependencies": _dependencies(image, around),
            },
            "runDetails": {
                "builder": {"id": BUILDER_ID, "version": dict(around.versions)},
                "metadata": {
                    "finishedOn": f"{around.finished:%Y-%m-%dT%H:%M:%SZ}",
                    **({"invocationId": around.run} if around.run else {}),
                },
                "byproducts": [_blob("sbom.cdx.json", around.bill)],
            },
        },
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _dependencies(image: ImagePlan, around: Circumstances) -> list[dict[str, Any]]:
    found = [_blob(name, text) for name, text in around.files.items()]
    if image.origin.revision:
        source = {"name": "checkout", "digest": {"gitCommit": image.origin.revision}}
        found.append(source | ({"uri": f"git+{image.origin.source}"} if image.origin.source else {}))
    name, _, digest = image.base.partition("@")
    base = {"name": "base", "uri": f"docker-image://{name}"}
    found.append(base | ({"digest": {"sha256": digest.removeprefix("sha256:")}} if digest else {}))
    return [*found, *(entry for model in image.models for entry in _model(model))]


def _model(model: LockedModel) -> list[dict[str, Any]]:
    """Describe a model and each of its files; one from a folder has no address."""
    address = f"{_HUB}/{model.source}" if "repo" in model.asked else ""
    digest = {"sha256": model.files_digest.removeprefix("sha256:")} | ({"gitCommit": model.revision} if address else {})
    whole = {"name": model.name, "digest": digest} | ({"uri": f"git+{address}"} if address else {})
    files = [
        {"name": f"{model.name}/{path}", "digest": {"sha256": file.sha256}}
        | ({"uri": f"{address}/resolve/{model.revision}/{path}"} if address else {})
        for path, file in sorted(model.files.items())
    ]
    return [whole, *files]


def _blob(name: str, text: bytes) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": hashlib.sha256(text).hexdigest()}}
