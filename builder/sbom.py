"""Own an image's bill of materials as far as it is known before a build: its models, its base, the server.

The stage `sbom` of a server adds Debian's and Python's packages, which are known once they are installed. Nothing in it
depends on when or where it is written. Source: CycloneDX 1.6 (ECMA-424).
"""

import json
import tarfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from builder import __version__, licence
from builder.errors import AbsentError, InputError

if TYPE_CHECKING:
    from builder.lock import LockedModel
    from builder.plan import ImagePlan

PATH = "/opt/bundle/sbom.cdx.json"  # in an image that serves
SUFFIX = ".cdx.json"

_HUB = "https://huggingface.co"
_TASKS = {"embedding": "feature-extraction", "reranker": "text-ranking", "classifier": "text-classification"}
_OUTPUTS = {"embedding": "vector", "reranker": "score", "classifier": "scores by label"}


class Images(Protocol):
    """What can show files of an image without running it: an Engine."""

    def image_id(self, reference: str, /) -> str:
        """Return the image's id, empty where there is none."""

    def archive(self, image: str, path: str, /) -> AbstractContextManager[BinaryIO]:
        """Stream a file or folder of the image as a tar."""


def document(image: "ImagePlan") -> bytes:
    """Return what is known of `image` before its build, which for one of weights is all."""
    components = [_model(model) for model in image.models]
    if image.kind == "server":
        components += [_base(image.base), _server()]
    subject = {"type": "container", "bom-ref": "image", "name": image.name}
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": subject | ({"version": image.version} if image.version else {}),
            "tools": {"components": [{"type": "application", "name": "build-image", "version": __version__}]},
        },
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": sorted(component["bom-ref"] for component in components)}],
    }
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read(images: Images, image: str) -> bytes:
    """Return the bill of materials that `image` holds; raises InputError where it holds none, or is none."""
    if not images.image_id(image):
        raise InputError(f"the engine has no image `{image}`", hint=f"pull it first: `docker pull {image}`")
    try:
        with images.archive(image, PATH) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            first = archive.next()
            content = archive.extractfile(first) if first else None
            return content.read() if content else b""
    except (AbsentError, tarfile.ReadError) as error:
        hint = "one of weights alone holds none: build it with `--sbom DIR`"
        raise InputError(f"`{image}` holds no bill of materials at `{PATH}`", hint=hint) from error


def _model(model: "LockedModel") -> dict[str, Any]:
    ref = f"model/{model.name}"
    files = [
        {
            "type": "file",
            "bom-ref": f"{ref}/{path}",
            "name": path,
            "hashes": [_sha256(file.sha256)],
            "properties": [_property("size", str(file.size_bytes))],
        }
        for path, file in sorted(model.files.items())
    ]
    parameters = {
        "task": _TASKS[model.recipe.task],
        "inputs": [{"format": "text"}],
        "outputs": [{"format": _OUTPUTS[model.recipe.task]}],
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": model.source,
        "version": model.revision,
        "licenses": [_licence(name) for name in licence.names(model.licence)],
        "modelCard": {"modelParameters": parameters},
        "properties": [_property("name", model.name), _property("files", model.files_digest)],
        "components": files,
        **_origin(model),
    }


def _origin(model: "LockedModel") -> Mapping[str, Any]:
    """Say where a model of the Hub comes from, nothing of one from a folder."""
    if "repo" not in model.asked:
        return {}
    places = {
        "distribution": f"{_HUB}/{model.source}/tree/{model.revision}",
        "model-card": f"{_HUB}/{model.source}",
    }
    references = [{"type": kind, "url": url} for kind, url in places.items()]
    return {"purl": f"pkg:huggingface/{model.source}@{model.revision}", "externalReferences": references}


def _base(reference: str) -> dict[str, Any]:
    name, _, digest = reference.partition("@")
    hashes = {"hashes": [_sha256(digest.removeprefix("sha256:"))]} if digest else {}
    return {"type": "container", "bom-ref": "base", "name": name, **hashes}


def _server() -> dict[str, Any]:
    licences = [{"license": {"id": "Apache-2.0"}}]
    name = "build-image-runtime"
    return {"type": "application", "bom-ref": "server", "name": name, "version": __version__, "licenses": licences}


def _licence(name: str) -> dict[str, Any]:
    known = licence.spdx_id(name)
    return {"license": {"id": known} if known else {"name": name}}


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"build-image:{name}", "value": value}
