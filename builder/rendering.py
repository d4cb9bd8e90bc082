"""Own the formats of `render`: which files each one writes, and what it may be told; it builds and deploys nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from builder import bake, compose, context, deployment, document, kubernetes, making, whole
from builder.bake import BakeOptions
from builder.deployment import DeploymentOptions
from builder.errors import FailedError, InputError
from builder.manifest import did_you_mean
from builder.plan import ImagePlan

Format = Literal["context", "bake", "compose", "stack", "kubernetes"]

_MARK = "Rendered by build-image"
_COMMANDS: Mapping[str, str] = {
    "compose": "docker compose --file compose.yaml up --detach --wait",
    "stack": "docker stack deploy --compose-file stack.yaml NAME",
    "kubernetes": "kubectl apply --filename kubernetes.yaml",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """What is asked for: a format, what it is told, and `weights`, the image that the others have their models from."""

    format: Format
    version: str
    images: Sequence[ImagePlan]
    bake: BakeOptions = field(default_factory=BakeOptions)
    deployment: DeploymentOptions = field(default_factory=DeploymentOptions)
    weights: str = ""


def write(wanted: Rendering, directory: Path) -> Iterator[Path]:
    """Write the files below `directory`, and yield what a person goes on with.

    Raises InputError where something else is there already, and FailedError where a file can't be written.
    """
    if wanted.format in {"context", "bake"}:
        yield from _write_contexts(wanted, directory)
        return
    name, text = _deployment_file(wanted)
    target = directory / name
    with _writing(target):
        if target.exists() and _MARK not in target.read_text(encoding="utf-8", errors="replace").partition("\n")[0]:
            hint = "move it away, or choose another --output"
            raise InputError(f"`{target}` is not a file that build-image rendered", hint=hint)
        directory.mkdir(parents=True, exist_ok=True)
        whole.write(target, text.encode())
    yield target


def _write_contexts(wanted: Rendering, directory: Path) -> Iterator[Path]:
    """Write a context for each image, and for bake what builds them all."""
    described = bake.document(wanted.images, wanted.bake) if wanted.format == "bake" else None
    for image in wanted.images:
        target = directory / image.name
        made = making.make_context(image, version=wanted.version)
        with _writing(target):
            if target.exists() and any(target.iterdir()):
                raise InputError(f"`{target}` is not empty", hint="choose another --output, or remove that folder")
            context.write(made, target)
        if described is None:
            yield target
    if described is not None:
        with _writing(directory / bake.FILE):
            whole.write(directory / bake.FILE, described)
        yield directory / bake.FILE


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FailedError(f"`{target}` can't be written: {error.strerror}", hint="choose another --output") from error


def _deployment_file(wanted: Rendering) -> tuple[str, str]:
    """Return the name and the text of the file that deploys the images."""
    made = deployment.of_images(wanted.images, wanted.deployment)
    documents: Iterable[dict[str, Any]]
    if wanted.format == "kubernetes":
        name, documents = kubernetes.FILE, kubernetes.resources(made, wanted.deployment, weights=_weights(wanted))
    else:
        make = compose.compose if wanted.format == "compose" else compose.stack
        name, documents = compose.FILES[wanted.format], [make(made, wanted.deployment)]
    heading = f"{_MARK} {wanted.version}. Deploy it with: {_COMMANDS[wanted.format]}"
    return name, document.dump(documents, heading=heading)


def _weights(wanted: Rendering) -> ImagePlan | None:
    """Find the image of weights that was asked for; raises InputError where it has not every model that is served."""
    if not wanted.weights:
        return None
    known = {image.name: image for image in wanted.images if image.kind == "models"}
    if wanted.weights not in known:
        hint = did_you_mean(wanted.weights, list(known)) if known else "give one of them `kind: models` in the manifest"
        raise InputError(f"`{wanted.weights}` is none of the chosen images of weights", hint=hint)
    held = {model.identity for model in known[wanted.weights].models}
    for image in wanted.images:
        for model in image.models:
            if image.kind == "server" and model.optimization:
                hint = "serve it from its own image: render without --weights, or leave out `optimize`"
                raise InputError(
                    f"`{wanted.weights}` has the original of `{model.name}`, not its optimised graph", hint=hint
                )
            if image.kind == "server" and model.identity not in held:
                hint = f"add it to `images.{wanted.weights}.models`, or choose images with --image"
                raise InputError(f"`{wanted.weights}` does not have `{model.name}` of `{image.name}`", hint=hint)
    return known[wanted.weights]
