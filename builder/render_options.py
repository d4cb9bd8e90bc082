"""Own the flags of `render`, and which format heeds which; what is written then is `rendering`'s."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from builder import completion, reference
from builder.errors import InputError
from builder.options import PATH

FORMATS = ("context", "bake", "compose", "stack", "kubernetes")

# The flags that are about some formats alone: how each is spelled, and those formats.
_HEEDED: Mapping[str, tuple[str, Sequence[str]]] = {
    "platforms": ("--platform", ("bake",)),
    "cache_from": ("--cache-from", ("bake",)),
    "cache_to": ("--cache-to", ("bake",)),
    "port": ("--port", ("compose", "stack", "kubernetes")),
    "memory_mib": ("--memory", ("compose", "stack", "kubernetes")),
    "cpus": ("--cpus", ("compose", "stack", "kubernetes")),
    "is_internal": ("--internal", ("compose",)),
    "replicas": ("--replicas", ("stack", "kubernetes")),
    "weights": ("--weights", ("kubernetes",)),
}
_OF_BAKE = ("platforms", "cache_from", "cache_to")
_OF_DEPLOYMENTS = ("port", "memory_mib", "cpus", "is_internal", "replicas")


def _repository(_: click.Context, __: click.Parameter, given: Any) -> Any:  # noqa: ANN401 - click's own values
    for text in given if isinstance(given, tuple) else filter(None, [given]):
        try:
            reference.check_repository(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return given


_OPTIONS = (
    click.option("--output", type=PATH, required=True, metavar="DIR", help="The folder to write into."),
    click.option("--format", type=click.Choice(FORMATS), default="context", show_default=True, help="What to write."),
    click.option(
        "--platform",
        "platforms",
        type=click.Choice(["linux/amd64", "linux/arm64"]),
        multiple=True,
        help="bake: build for it; may be repeated.  [default: the manifest's]",
    ),
    click.option(
        "--cache-from",
        multiple=True,
        metavar="REPOSITORY",
        callback=_repository,
        help="bake: read the images' caches from there; may be repeated.",
    ),
    click.option(
        "--cache-to", metavar="REPOSITORY", callback=_repository, help="bake: write a cache there for each image."
    ),
    click.option("--port", type=click.IntRange(1, 65_000), help="The port of the first server.  [default: 8080]"),
    click.option(
        "--memory",
        "memory_mib",
        type=click.IntRange(min=64),
        metavar="MIB",
        help="The memory limit of a server.  [default: 1024 and three times its models]",
    ),
    click.option("--cpus", type=click.IntRange(min=1), help="Its limit of CPUs.  [default: 2; of compose: none]"),
    click.option("--internal", "is_internal", is_flag=True, help="compose: a network that nothing leaves or enters."),
    click.option("--replicas", type=click.IntRange(min=1), help="stack, kubernetes: how many servers.  [default: 2]"),
    click.option(
        "--weights",
        metavar="NAME",
        help="kubernetes: mount the models of this image of weights.",
        shell_complete=completion.images,
    ),
)


def add(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags of `render`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rendering(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a Rendering is told of `flags`; raises InputError for one that its format does not heed."""
    from builder.bake import BakeOptions  # noqa: PLC0415 - `--help` should not wait for them
    from builder.deployment import DeploymentOptions  # noqa: PLC0415

    for name, (spelling, formats) in _HEEDED.items():
        if flags[name] and flags["format"] not in formats:
            hint = f"leave it out, or choose `--format {formats[0]}`"
            raise InputError(f"`{spelling}` is not about the format `{flags['format']}`", hint=hint)
    given = {name: flags[name] for name in _HEEDED if flags[name]}
    return {
        "format": flags["format"],
        "bake": BakeOptions(**{name: given[name] for name in _OF_BAKE if name in given}),
        "deployment": DeploymentOptions(**{name: given[name] for name in _OF_DEPLOYMENTS if name in given}),
        "weights": given.get("weights", ""),
    }


def others(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that every reading of a manifest has."""
    return {name: value for name, value in flags.items() if name not in {*_HEEDED, "format", "output"}}
