"""Own the command line: flags to settings, errors to exit codes; it decides nothing about images."""

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from builder import __version__, commands, marks, options, subcommands, usage
from builder import report as reports
from builder.console import Console
from builder.errors import (
    EXIT_INTERRUPTED,
    EXIT_OUTPUT_CLOSED,
    BuildImageError,
    InputError,
    InternalError,
    OutputClosedError,
)
from builder.options import PATH
from builder.settings import SUPPLIES_MANIFEST

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.group(
    cls=usage.Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{usage.EXAMPLES}\n{usage.EXIT_CODES}",
)
@options.manifest_options
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Images at a time.")
@options.report_options
@click.option("--sbom", type=PATH, metavar="DIR", help="Write a bill of materials of each image, as CycloneDX.")
@click.option("--provenance", type=PATH, metavar="DIR", help="Write how each image came about, as in-toto and SLSA.")
@options.network_option
@click.option(
    "--builder", default="", metavar="NAME", help="Build with this builder of `docker buildx`, not the engine."
)
@click.option("--from", "supplies", type=PATH, metavar="DIR", help="Build without a network from `cache --output DIR`.")
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option("--build-only", is_flag=True, help="Build, but neither test nor tag.")
@click.option("--push", is_flag=True, help="Push what was built, tested and tagged to its registry.")
@click.option("--verify-reproducible", is_flag=True, help="Build twice without cache, and name what differs.")
@click.option("--locked", is_flag=True, help="Refuse to run where manifest and lock disagree.")
@click.option("-q", "--quiet", is_flag=True, help="Show warnings, errors and the result only.")
@usage.version_option
@click.pass_context
def command(context: click.Context, /, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Build, smoke-test and tag the Docker images of a manifest, with their Hugging Face models baked in."""
    shared = {name: flags[name] for name in ("models", "images", "ca_bundle")}
    cached = {**shared, "build_network": flags["build_network"], "no_cache": flags["no_cache"]}
    context.default_map = dict.fromkeys(("render", "lock", "serve", "plan"), shared) | {"cache": cached}
    context.default_map["push"] = {**shared, "report": flags["report"]}
    context.default_map["doctor"] = {name: flags[name] for name in ("images", "ca_bundle")}
    if context.get_parameter_source("models") is ParameterSource.COMMANDLINE:
        for name in ("verify", "doctor"):  # which read no manifest unless told to, or where it is there
            context.default_map.setdefault(name, {})["models"] = flags["models"]
    if flags["push"] and flags["build_only"]:
        raise InputError("only what was tested is pushed", hint="leave out --build-only or --push")
    if context.invoked_subcommand is None:
        if flags["supplies"] is not None and context.get_parameter_source("models") is not ParameterSource.COMMANDLINE:
            flags["models"] = flags["supplies"] / SUPPLIES_MANIFEST
        _build(context.obj, **flags)
    elif flags["supplies"] is not None or flags["push"]:
        flag = "--push" if flags["push"] else "--from"
        raise InputError(f"{flag} builds images, and `{context.invoked_subcommand}` does not")


for _subcommand in subcommands.ALL:
    command.add_command(_subcommand)


def _build(console: Console, *, quiet: bool, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    console.is_quiet = quiet
    for option in ("sbom", "provenance"):
        if flags[option] is not None:
            reports.check_writable(flags[option] / "image", flag=f"--{option}")
    flags["no_cache"] |= flags["verify_reproducible"]
    options.finish(console, commands.build, **flags)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    for number in _SIGNALS:  # a shell starts background jobs with SIGINT ignored, and nohup means its SIGHUP
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    console = Console(out=sys.stdout, err=sys.stderr, marks=marks.of(os.environ))
    try:
        return _exit_code(arguments, console)
    except OutputClosedError:
        return EXIT_OUTPUT_CLOSED
    finally:
        console.close()


def _exit_code(arguments: Sequence[str], console: Console) -> int:
    """Run the command line; this is the one place where every failure ends."""
    try:
        command.main(arguments, prog_name="build-image", standalone_mode=False, obj=console)
    except BuildImageError as error:
        console.error(error)
        return error.exit_code
    except click.ClickException as error:
        console.error(InputError(error.format_message(), hint="see `build-image --help`"))
        return InputError.exit_code
    except (KeyboardInterrupt, click.Abort):
        console.say("interrupted")
        return EXIT_INTERRUPTED
    except SystemExit as error:
        return int(error.code or 0)
    except Exception as error:  # the process boundary
        console.error(_bug(console.redact("".join(traceback.format_exception(error))), error))
        return InternalError.exit_code
    return 0


def _bug(trace: str, error: Exception) -> InternalError:
    """Keep what is needed to find a bug of ours, without showing a trace to a person who can't use it."""
    with tempfile.NamedTemporaryFile("w", prefix="build-image-bug-", suffix=".txt", delete=False) as file:
        file.write(f"build-image {__version__}, Python {sys.version}\n\n{trace}")
    message = f"this is a bug of build-image: {type(error).__name__}: {error}"
    return InternalError(message, hint=f"report it with the file {file.name}")


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - the signal module's signature
    for later in _SIGNALS:  # a second Ctrl-C would leave behind what the first one is about to stop
        signal.signal(later, signal.SIG_IGN)
    raise KeyboardInterrupt
