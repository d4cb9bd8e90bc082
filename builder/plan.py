"""Own what a run will do: which images, of which models, under which names; pure, nothing is asked or built."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from builder import bundle, labels, reference, tags
from builder.errors import InputError, ProblemsError
from builder.git import UNKNOWN, Origin
from builder.lock import Lock, LockedModel
from builder.manifest import Gates, Image, Kind, Manifest

_SERVER_LAYERS = 5  # Debian's packages, Python's, the server, its golden answers, its bill of materials


@dataclass(frozen=True, kw_only=True, slots=True)
class Supplied:
    """What a build without a network has in its place: the base by a name on the engine, and packages by their path."""

    base: str
    files: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePlan:
    """One image: what it is built from, and the references it gets once it is tested.

    One of the kind `models` holds weights alone: its stages have the base, the image itself has none. Where nothing
    is `supplied`, base and packages come from the network. What is `immutable` of its references is never overwritten
    at a registry. `version` is the digest of the lock's part that it needs.
    """

    name: str
    kind: Kind = "server"
    base: str
    platform: str | None
    models: tuple[LockedModel, ...]
    references: tuple[str, ...]
    immutable: tuple[str, ...] = ()
    version: str = ""
    origin: Origin = UNKNOWN
    gates: Gates = field(default_factory=Gates)
    supplied: Supplied | None = None

    @property
    def built_on(self) -> str:
        """The reference that the stages begin from, which need not be the base's own."""
        return self.supplied.base if self.supplied else self.base

    @property
    def optimized(self) -> tuple[LockedModel, ...]:
        """The models whose graph a stage derives."""
        return tuple(model for model in self.models if model.optimization)

    @property
    def shareable_stages(self) -> tuple[str, ...]:
        """The stages of its Dockerfile whose result another image may share; the others are made of its own models."""
        client = ("hub-client",) if any(model.is_fetched for model in self.models) else ()
        optimizer = ("optimizer",) if self.optimized else ()
        stages = (stage for model in self.models for stage in model.stages)
        models = (*client, *optimizer, *stages)
        return ("python-deps", *models, "app", "runtime-packages") if self.kind == "server" else models

    @property
    def own_layers(self) -> int:
        """How many layers it has above those of its base."""
        proof = 1 if self.optimized else 0
        return len(self.models) + (_SERVER_LAYERS + proof if self.kind == "server" else 0)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the image."""
        server = labels.of_server(self.base, self.models) if self.kind == "server" else {}
        return labels.of_content(self.name, self.models, version=self.version, origin=self.origin) | server


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Every image of a run; `is_repeatable` tells that the same manifest and lock will always give the same plan."""

    images: tuple[ImagePlan, ...]
    is_repeatable: bool


def choose(manifest: Manifest, names: Sequence[str]) -> dict[str, Image]:
    """Return the images called `names`, or all where none is named."""
    unknown = [name for name in names if name not in manifest.images]
    if unknown:
        hint = f"the manifest has: {', '.join(manifest.images)}"
        raise InputError(f"there is no image `{unknown[0]}`", hint=hint)
    return {name: image for name, image in manifest.images.items() if not names or name in names}


def tag_names(images: Mapping[str, Image]) -> set[str]:
    """Return the names that the tags of `images` ask for."""
    return tags.names_in(tag for image in images.values() for tag in image.tags)


def make(manifest: Manifest, images: Mapping[str, Image], *, names: tags.Names, origin: Origin = UNKNOWN) -> Plan:
    """Plan `images`, with `names` for their tags; raises ProblemsError with every tag that can't be used."""
    plans, problems = [], []
    owners: dict[str, tuple[str, str]] = {}
    for name, image in images.items():
        repository = image.repository or name
        references = []
        for index, template in enumerate(image.tags):
            try:
                tag = names.fill(template)
            except ValueError as error:
                problems.append(manifest.problem(("images", name, "tags", index), str(error)))
                continue
            references.append(f"{repository}:{tag}")
        plans.append(_plan(manifest, name, image, names.lock, tuple(dict.fromkeys(references))))
        problems += [manifest.problem(("images", name, "tags"), message) for message in _claim(owners, plans[-1])]
    if problems:
        raise ProblemsError(problems)
    plans = [replace(plan, origin=origin) for plan in plans]
    return Plan(images=tuple(plans), is_repeatable=not tag_names(images) & tags.FLEETING)


def _plan(manifest: Manifest, name: str, image: Image, lock: Lock, references: tuple[str, ...]) -> ImagePlan:
    return ImagePlan(
        name=name,
        kind=image.kind,
        base=_pinned(manifest.defaults.base, lock),
        platform=manifest.defaults.platform,
        models=_models(image, lock),
        references=references,
        immutable=tuple(_immutable(references, manifest.defaults.immutable, image.immutable)),
        version=lock.chosen(image.models).digest,
        gates=manifest.gates,
    )


def _models(image: Image, lock: Lock) -> tuple[LockedModel, ...]:
    """Return the models of an image; one of weights has the originals, since other programs look for those."""
    models = tuple(lock.models[model] for model in image.models)
    return models if image.kind == "server" else bundle.without_overlays(models)


def _immutable(references: Iterable[str], default: Sequence[str], own: Sequence[str] | None) -> Iterator[str]:
    """Yield the references whose tag one of the patterns fits, those of the image where it has any."""
    for name in references:
        if any(fnmatchcase(reference.place(name).tag, pattern) for pattern in (default if own is None else own)):
            yield name


def _pinned(base: str, lock: Lock) -> str:
    """Return the base image by the digest that the lock has of it; an image that no registry knows has none."""
    return f"{base}@{lock.bases[base]}" if base in lock.bases else base


def _claim(owners: dict[str, tuple[str, str]], image: ImagePlan) -> Iterator[str]:
    """Give every reference one owner, and say where it has one: a second image would overwrite the first.

    `owners` has the image's name and its own spelling by the spelled-out reference.
    """
    for name in image.references:
        owner, spelling = owners.setdefault(reference.spelled_out(name), (image.name, name))
        if owner != image.name:
            other_spelling = "" if spelling == name else f", which spells it `{spelling}`"
            yield f"`{name}` is already the name of the image `{owner}`{other_spelling}"
