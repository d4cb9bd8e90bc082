"""Own the flags that commands share, and the settings that they become."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder import __version__
from builder import report as reports
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


def finish(console: "Console", report: Path | None, action: Callable[[], reports.Report]) -> None:
    """Run what makes images, show its table, write its report, and end with the code of the worst image."""
    if report is not None:
        reports.check_writable(report)
    made = action()
    console.result(reports.table(made))
    if report is not None:
        reports.write(reports.text(made, redact=console.redact), report)
    failed = [image["exit_code"] for image in made["images"] if image["exit_code"]]
    if failed:
        raise SystemExit(max(failed))


def settings(*, ca_bundle: Path | None = None, **flags: Any) -> Settings:  # noqa: ANN401 - click's own values
    """Gather what a command was asked for, and show no secret of this host from now on."""
    from builder import network  # noqa: PLC0415 - `--help` should not wait for it

    console: Console = click.get_current_context().obj
    console.hide({*network.sensitive(network.secrets(os.environ)), os.environ.get("REGISTRY_PASSWORD", "")})
    trusted = ca_bundle or network.ca_bundle_path(os.environ)
    return Settings(version=__version__, environment=os.environ, ca_bundle=trusted, **flags)
