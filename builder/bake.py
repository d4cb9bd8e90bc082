"""Own `docker-bake.json`: how `docker buildx bake` builds rendered contexts; it runs nothing and holds no secret.

A stage of a model that several images have is a target of its own, which stands in for that stage in each of them: the
builder makes it once. A secret is named by the variable that holds it, and left out where that is not set.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.errors import InputError
from builder.plan import ImagePlan

FILE = "docker-bake.json"

# The variables that bake finds the secrets of the build in: their text, or the path of their file. A bundle of
# certificates is longer than an environment takes.
TEXT_VARIABLES: Mapping[str, str] = {
    "hf_token": "HF_TOKEN",
    "network": "BUILD_IMAGE_NETWORK",
    "pip_conf": "BUILD_IMAGE_PIP_CONF",
}
FILE_VARIABLES: Mapping[str, str] = {"ca_bundle": "BUILD_IMAGE_CA_BUNDLE"}

_NOT_IN_TARGETS = re.compile(r"[^a-z0-9_-]")
_COMMON = "_common"  # no image has such a name, and bake lists no target that begins so


@dataclass(frozen=True, kw_only=True, slots=True)
class BakeOptions:
    """What a builder is told beside the images: `platforms` stand for the manifest's.

    A cache is a repository of a registry, in which every image has a tag: two that wrote one would lose the other's.
    """

    platforms: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: str = ""
    network_mode: str = "default"


def document(images: Sequence[ImagePlan], wanted: BakeOptions) -> bytes:
    """Return the bake file of `images`, whose contexts lie beside it under their names.

    Raises InputError where two images would be one target.
    """
    shared = _shared(images)
    targets = {_target(image.name): _image(image, shared, wanted) for image in images}
    if len(targets) < len(images):
        names = ", ".join(f"`{image.name}`" for image in images)
        raise InputError(f"two of {names} have one name for bake, which knows no `.`", hint="rename one of them")
    content = {
        "variable": {name: {"default": ""} for name in [*TEXT_VARIABLES.values(), *FILE_VARIABLES.values()]},
        "group": {"default": {"targets": list(targets)}},
        "target": {_COMMON: _common(images, wanted), **_stages(images, shared, wanted), **targets},
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def target(image: ImagePlan) -> str:
    """Return the name of an image's target."""
    return _target(image.name)


def _target(name: str) -> str:
    return _NOT_IN_TARGETS.sub("_", name)


def _stage_target(stage: str) -> str:
    return f"_{_target(stage)}"


def _shared(images: Sequence[ImagePlan]) -> set[str]:
    """Return the stages of models that several images have."""
    stages = [stage for image in images for model in image.models for stage in model.stages]
    return {stage for stage in stages if stages.count(stage) > 1}


def _common(images: Sequence[ImagePlan], wanted: BakeOptions) -> dict[str, Any]:
    network = {} if wanted.network_mode == "default" else {"network": wanted.network_mode}
    caches = [_cache(repository, image) for repository in wanted.cache_from for image in images]
    (epoch,) = {image.origin.created for image in images}  # they come from one checkout
    return {
        "args": {"SOURCE_DATE_EPOCH": str(epoch)},
        "secret": _secrets(),
        **network,
        **_listed("cache-from", caches),
    }


def _cache(repository: str, image: ImagePlan) -> str:
    return f"type=registry,ref={repository}:{image.name}"


def _secrets() -> str:
    """Write the list of the secrets whose variables are set, as an expression."""
    texts = [f'{name} == "" ? "" : "id={secret},env={name}"' for secret, name in TEXT_VARIABLES.items()]
    files = [f'{name} == "" ? "" : "id={secret},src=${{{name}}}"' for secret, name in FILE_VARIABLES.items()]
    return f"${{compact([{', '.join([*texts, *files])}])}}"


def _stages(images: Sequence[ImagePlan], shared: set[str], wanted: BakeOptions) -> dict[str, dict[str, Any]]:
    """Return a target for each stage that several images have, in the context of the first of them."""
    found: dict[str, dict[str, Any]] = {}
    for image in images:
        for name in (stage for model in image.models for stage in model.stages):
            if name in shared:
                stage = {"context": image.name, "target": name, **_platforms(image, wanted)}
                found.setdefault(_stage_target(name), {"inherits": [_COMMON], **stage})
    return found


def _image(image: ImagePlan, shared: set[str], wanted: BakeOptions) -> dict[str, Any]:
    caches = [f"{_cache(wanted.cache_to, image)},mode=max"] if wanted.cache_to else []
    stages = [stage for model in image.models for stage in model.stages]
    contexts = {stage: f"target:{_stage_target(stage)}" for stage in stages if stage in shared}
    return {
        "inherits": [_COMMON],
        "context": image.name,
        **({"contexts": contexts} if contexts else {}),
        **_platforms(image, wanted),
        **_listed("tags", image.references),
        "labels": {name: _literal(value) for name, value in image.labels.items()},
        **_listed("cache-to", caches),
    }


def _platforms(image: ImagePlan, wanted: BakeOptions) -> dict[str, list[str]]:
    return _listed("platforms", wanted.platforms or ((image.platform,) if image.platform else ()))


def _listed(key: str, values: Sequence[str]) -> dict[str, list[str]]:
    return {key: [_literal(value) for value in values]} if values else {}


def _literal(text: str) -> str:
    """Write a text in which bake finds no expression."""
    return text.replace("${", "$${").replace("%{", "%%{")
