"""Own the labels of an image: what it holds and where that comes from, by the OCI annotations' names where they fit.

They are the last thing of an image and in none of its layers, so a new commit makes no layer again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from builder import bundle, footprint, licence
from builder.git import Origin
from builder.lock import LockedModel

MODELS_LABEL = "build-image.models"  # of an image: source@revision of each of its models, parted by spaces
MODEL_LABEL = "build-image.model."  # and a model's name: the same, and the digest of its files
OPTIMIZED = "optimized:"  # stands before the digest of how it was, in the label of a model whose graph was derived
MEMORY_LABEL = "build-image.memory"  # of one that serves: the most bytes that it takes with its default settings
BUNDLE_LABEL = "build-image.bundle"  # of one that serves: the digest of its `bundle.json`, which has those of the files

_OCI = "org.opencontainers.image."


def of_content(name: str, models: Sequence[LockedModel], *, version: str, origin: Origin) -> dict[str, str]:
    """Return the labels of every image; what is not known has none."""
    known = {
        "title": name,
        "version": version,
        "created": f"{datetime.fromtimestamp(origin.created, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "source": origin.source,
        "revision": origin.revision,
        "licenses": licence.expression(model.licence for model in models),
    }
    standard = {f"{_OCI}{key}": value for key, value in known.items() if value}
    each = {
        f"{MODEL_LABEL}{model.name}": f"{model.identity} {model.files_digest}{_optimized(model)}" for model in models
    }
    return {**standard, MODELS_LABEL: " ".join(model.identity for model in models), **each}


def _optimized(model: LockedModel) -> str:
    return f" {OPTIMIZED}{model.optimization.digest}" if model.optimization else ""


def of_server(base: str, models: Sequence[LockedModel]) -> dict[str, str]:
    """Return the labels that only an image that serves has, which stands on `base`."""
    name, _, digest = base.partition("@")
    digests = {f"{_OCI}base.digest": digest} if digest else {}
    baked = {BUNDLE_LABEL: bundle.digest(bundle.document(models))}
    return {f"{_OCI}base.name": name, **digests, **baked, **_memory(models)}


def _memory(models: Sequence[LockedModel]) -> dict[str, str]:
    ceiling = footprint.ceiling_bytes([(model.footprint, model.recipe.max_length) for model in models])
    return {} if ceiling is None else {MEMORY_LABEL: str(ceiling)}
