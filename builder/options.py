"""Own the flags that commands share, and the settings that they become."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder import __version__
from builder.settings import Settings

if TYPE_CHECKING:
    from builder.console import Console

PATH = click.Path(path_type=Path)


def manifest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that every reading of a manifest has."""
    models = click.option("--models", type=PATH, default="models.yaml", show_default=True, help="The manifest.")
    image = click.option("--image", "images", multiple=True, metavar="NAME", help="Only this image; may be repeated.")
    trusted = "PEM certificates that downloads trust.  [default: PIP_CERT, SSL_CERT_FILE or REQUESTS_CA_BUNDLE]"
    ca_bundle = click.option("--ca-bundle", type=PATH, metavar="FILE", help=trusted)
    return models(image(ca_bundle(command)))


def network_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that builds the choice of the build's network."""
    return click.option(
        "--build-network",
        type=click.Choice(["default", "host", "none"]),
        default="default",
        show_default=True,
        help="The network of the build; `host` reaches a Hub or a proxy on this host's loopback.",
    )(command)


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that builds the choice of what its run leaves behind to read."""
    choices = {
        "report": "Write a JSON report of the run.",
        "html": "Write the report as one HTML page.",
        "junit": "Write the checks as JUnit XML.",
        "dotenv": "Write the images' names as variables, for GitLab.",
        "compare": "Show what grew since this older JSON report.  [default: the one that --report replaces]",
    }
    for name, text in reversed(choices.items()):
        command = click.option(f"--{name}", type=PATH, metavar="FILE", help=text)(command)
    return command


def settings(*, ca_bundle: Path | None = None, **flags: Any) -> Settings:  # noqa: ANN401 - click's own values
    """Gather what a command was asked for, and show no secret of this host from now on."""
    from builder import network  # noqa: PLC0415 - `--help` should not wait for it

    console: Console = click.get_current_context().obj
    console.hide(network.sensitive(network.secrets(os.environ)))
    trusted = ca_bundle or network.ca_bundle_path(os.environ)
    return Settings(version=__version__, environment=os.environ, ca_bundle=trusted, **flags)
