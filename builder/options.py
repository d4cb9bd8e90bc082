"""Own the flags that commands share, and the settings that they become."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder import __version__, ci, completion, reporting
from builder import report as reports
from builder.report import Report, Run
from builder.reporting import Reporting
from builder.settings import Settings

if TYPE_CHECKING:
    from builder.console import Console

PATH = click.Path(path_type=Path)
MANIFEST = completion.MANIFEST
_REPORTS = {
    "report": "Write a JSON report of the run.",
    "html": "Write the report as one HTML page.",
    "junit": "Write the checks as JUnit XML.",
    "dotenv": "Write the images' names as variables, for GitLab.",
    "compare": "Show what grew since this older JSON report.  [default: the one that --report replaces]",
}


def manifest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that every reading of a manifest has."""
    models = click.option("--models", type=PATH, default=MANIFEST, show_default=True, help="The manifest.")
    return models(choice_options(command))


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the choice of images and of the certificates that are trusted."""
    image = click.option(
        "--image",
        "images",
        multiple=True,
        metavar="NAME",
        help="Only this image; may be repeated.",
        shell_complete=completion.images,
    )
    trusted = "PEM certificates that downloads trust.  [default: PIP_CERT, SSL_CERT_FILE or REQUESTS_CA_BUNDLE]"
    ca_bundle = click.option("--ca-bundle", type=PATH, metavar="FILE", help=trusted)
    return image(ca_bundle(command))


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
    """Give a command that makes images the choice of what its run leaves behind to read."""
    for name, text in reversed(_REPORTS.items()):
        command = click.option(f"--{name}", type=PATH, metavar="FILE", help=text)(command)
    return command


def finish(console: "Console", command: Callable[..., list[Report]], **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Run what makes images, show its table, write its reports, and end with the code of the worst image.

    `flags` are those of `report_options` and the settings of `command`, which also gets a journal to keep.
    """
    files = {name: flags.pop(name) for name in _REPORTS}
    found = ci.read(os.environ)
    run = Run(
        version=__version__,
        manifest=str(flags["models"]),
        jobs=flags.get("jobs", 1),
        ci=asdict(found) if found else None,
        started_s=time.time(),
    )
    with Reporting(run, wanted=reporting.wanted(os.environ, **files), console=console) as made:
        run.images = command(settings(**flags), console=console, journal=run.journal)
        console.result(reports.table({"images": run.images}))
    if made.report["exit_code"]:
        raise SystemExit(made.report["exit_code"])


def settings(*, ca_bundle: Path | None = None, **flags: Any) -> Settings:  # noqa: ANN401 - click's own values
    """Gather what a command was asked for, and show no secret of this host from now on."""
    from builder import network  # noqa: PLC0415 - `--help` should not wait for it

    console: Console = click.get_current_context().obj
    console.hide({*network.sensitive(network.secrets(os.environ)), os.environ.get("REGISTRY_PASSWORD", "")})
    trusted = ca_bundle or network.ca_bundle_path(os.environ)
    return Settings(version=__version__, environment=os.environ, ca_bundle=trusted, **flags)
