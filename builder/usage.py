"""Own what the command line says of itself: help and version, shown by the console, examples and exit codes."""

from collections.abc import Callable

import click

from builder import __version__

EXIT_CODES = """\b
Exit codes:
  0    every image is built, tested and tagged, and pushed where that was asked for
  1    a build, a smoke test, a tag or a push failed
  2    the manifest, a flag or the environment is wrong
  3    a bug of build-image
  4    the Docker Engine, the Hub or the registry is not reachable
  130  interrupted
  141  whoever read the output has gone
"""

EXAMPLES = """\b
Examples:
  build-image --models models.yaml
  build-image --models models.yaml --image retrieval --report report.json
  build-image --models models.yaml -j 4 --ca-bundle /etc/ssl/corporate.pem
  build-image --models models.yaml --locked
  build-image --models models.yaml --push
  build-image doctor --models models.yaml
  build-image --from supplies
  build-image render --models models.yaml --output rendered
"""


def _showing(text: Callable[[click.Context], str]) -> Callable[[click.Context, click.Parameter, bool], None]:
    """Return the callback of a flag that shows a text through the console, which alone writes, and ends."""

    def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted:
            context.obj.result(text(context))
            context.exit()

    return show


class Command(click.Command):
    """A command whose help the console shows."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return click's own option, with the console's way to show what it asks for."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _showing(click.Context.get_help)
        return option


class Group(Command, click.Group):
    """The commands, each with a help that the console shows."""

    command_class = Command


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_showing(lambda _: f"build-image, version {__version__}"),
    help="Show the version and exit.",
)
