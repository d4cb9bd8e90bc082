"""Own the command line: flags to settings, errors to exit codes; it decides nothing about images."""

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from builder import __version__, commands, usage
from builder import report as reports
from builder.console import Console, size
from builder.errors import (
    BuildImageError,
    FailedError,
    InputError,
    InternalError,
    OutputClosedError,
    UnreachableError,
)
from builder.settings import SUPPLIES_MANIFEST, Settings

EXIT_INTERRUPTED = 130
EXIT_OUTPUT_CLOSED = 141  # of a program that SIGPIPE ends, in a shell
_PATH = click.Path(path_type=Path)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _manifest_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that every reading of a manifest has."""
    models = click.option("--models", type=_PATH, default="models.yaml", show_default=True, help="The manifest.")
    image = click.option("--image", "images", multiple=True, metavar="NAME", help="Only this image; may be repeated.")
    trusted = "PEM certificates that downloads trust.  [default: PIP_CERT, SSL_CERT_FILE or REQUESTS_CA_BUNDLE]"
    ca_bundle = click.option("--ca-bundle", type=_PATH, metavar="FILE", help=trusted)
    return models(image(ca_bundle(command)))


def _network_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that builds the choice of the build's network."""
    return click.option(
        "--build-network",
        type=click.Choice(["default", "host", "none"]),
        default="default",
        show_default=True,
        help="The network of the build; `host` reaches a Hub or a proxy on this host's loopback.",
    )(command)


@click.group(
    cls=usage.Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{usage.EXAMPLES}\n{usage.EXIT_CODES}",
)
@_manifest_options
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Images at a time.")
@click.option("--report", type=_PATH, metavar="FILE", help="Write a JSON report of the run.")
@_network_option
@click.option(
    "--from", "supplies", type=_PATH, metavar="DIR", help="Build without a network from `cache --output DIR`."
)
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option("--build-only", is_flag=True, help="Build, but neither test nor tag.")
@click.option("--locked", is_flag=True, help="Refuse to run where manifest and lock disagree.")
@click.option("-q", "--quiet", is_flag=True, help="Show warnings, errors and the result only.")
@usage.version_option
@click.pass_context
def command(context: click.Context, /, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Build, smoke-test and tag the Docker images of a manifest, with their Hugging Face models baked in."""
    shared = {name: flags[name] for name in ("models", "images", "ca_bundle")}
    cached = {**shared, "build_network": flags["build_network"], "no_cache": flags["no_cache"]}
    context.default_map = {"render": shared, "lock": shared, "cache": cached, "serve": shared}
    if context.get_parameter_source("models") is ParameterSource.COMMANDLINE:
        context.default_map["verify"] = {"models": flags["models"]}  # which reads no manifest unless told to
    if context.invoked_subcommand is None:
        if flags["supplies"] is not None and context.get_parameter_source("models") is not ParameterSource.COMMANDLINE:
            flags["models"] = flags["supplies"] / SUPPLIES_MANIFEST
        _build(context.obj, **flags)
    elif flags["supplies"] is not None:
        raise InputError(f"--from builds images, and `{context.invoked_subcommand}` does not")


@command.command()
@_manifest_options
@click.option("--output", type=_PATH, required=True, metavar="DIR", help="A folder for each image is made in it.")
@click.pass_obj
def render(console: Console, /, output: Path, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Write each image's build context to a folder, for `docker build`.

    \b
    Example:
      build-image render --models models.yaml --output rendered
      docker build --tag retrieval rendered/retrieval
    """  # noqa: D301 - click's own mark
    from builder import context, pipeline  # noqa: PLC0415 - `--help` should not wait for them

    settings = _settings(**flags)
    draft = pipeline.draft(settings)
    commands.settle(draft, settings, console)
    for plan in pipeline.make_plan(draft, settings).images:
        target = output / plan.name
        made = pipeline.make_context(plan, version=settings.version)
        try:
            if target.exists() and any(target.iterdir()):
                raise InputError(f"`{target}` is not empty", hint="choose another --output, or remove that folder")
            context.write(made, target)
        except OSError as error:
            raise FailedError(
                f"`{target}` can't be written: {error.strerror}", hint="choose another --output"
            ) from error
        console.result(str(target))


@command.command()
@_manifest_options
@click.option("--check", is_flag=True, help="Change nothing; end with 2 where manifest and lock disagree.")
@click.option("--upgrade", "upgraded", multiple=True, metavar="NAME", help="Resolve this model again; may be repeated.")
@click.pass_obj
def lock(console: Console, /, upgraded: tuple[str, ...], *, check: bool, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Resolve every model to one commit and write it, with all decisions and digests, beside the manifest.

    \b
    Examples:
      build-image lock --models models.yaml
      build-image lock --check
      build-image lock --upgrade jina-reranker-v2
    """  # noqa: D301 - click's own mark
    from builder import pipeline  # noqa: PLC0415 - `--help` should not wait for them
    from builder.engine import Engine  # noqa: PLC0415

    settings = _settings(locked=check, **flags)
    draft = pipeline.draft(settings, upgraded=upgraded)
    try:
        with Engine.connect() as engine:
            draft = pipeline.pin_base(draft, engine.base_digest)
    except UnreachableError as error:
        console.warn(f"the base image is not locked: {error.message}")
    commands.settle(draft, settings, console)
    for name in draft.models:
        model = draft.lock.models[name]
        licence = model.licence or "no licence named"
        console.result(f"{name}  {model.identity}  {size(model.size_bytes)}  {licence}")


@command.command()
@click.argument("image")
@click.option("--models", type=_PATH, help="Compare with the lock beside this manifest, not with the image's bundle.")
@click.pass_obj
def verify(console: Console, /, image: str, models: Path | None) -> None:
    """Read every file of an image's models and compare its sha256 with the one that was locked.

    An image that serves carries the digests itself; one of weights alone needs the manifest. Nothing of it is run.

    \b
    Examples:
      build-image verify registry.example.com/search/retrieval:latest
      build-image verify weights:latest --models models.yaml
    """  # noqa: D301 - click's own mark
    from builder import lockfile, verification  # noqa: PLC0415 - `--help` should not wait for them
    from builder.engine import Engine  # noqa: PLC0415

    lock = lockfile.read(_settings(models=models).lock_path) if models else None
    with Engine.connect() as engine:
        expected = verification.expected_of_image(engine, image, lock=lock)
        verdicts = verification.verify(engine, image, expected)
    for verdict in verdicts:
        console.result(f"{verdict.name}  {verdict.file_count} files  {size(verdict.size_bytes)}  {verdict.outcome}")
    mismatches = verification.mismatches(verdicts)
    if mismatches:
        raise FailedError("\n".join([f"`{image}` does not hold what was locked", *mismatches]))


@command.command()
@_manifest_options
@click.option("--output", type=_PATH, metavar="DIR", help="Gather there what a machine without a network builds from.")
@_network_option
@click.option("--no-cache", is_flag=True, help="With --output: gather packages and base image again.")
@click.option("--bundle", type=_PATH, metavar="FILE", help="Write here what `python3 -m runtime` reads of the models.")
@click.pass_obj
def cache(console: Console, /, output: Path | None, bundle: Path | None, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Preload the models, or with --output all that a build needs.

    Every file is verified, what is there already is kept, and the folders of the models are printed.

    \b
    The folder: TRANSFORMERS_CACHE, else HF_HOME/transformers, else .cache/transformers beside the manifest.
    HF_PRELOAD_TARGETS=embedding,reranker selects by task.
    HF_ALLOW_REMOTE_MODELS=false asks no network and lists what is missing.

    \b
    With --output, where there is a network, then without:
      build-image cache --models models.yaml --output DIR
      build-image --from DIR
    """  # noqa: D301 - click's own mark
    settings = _settings(**flags)
    if output is None:
        for model in commands.preload(settings, console, bundle=bundle):
            console.result(model)
        return
    if bundle is not None:
        raise InputError("`--bundle` is for a cache on this machine", hint="leave out --bundle or --output")
    for line in commands.gather(settings, output, console=console):
        console.result(line)


@command.command()
@_manifest_options
@click.option("--port", type=click.IntRange(1, 65_535), help="The port.  [default: RUNTIME_HTTP_PORT or 8080]")
@click.pass_obj
def serve(console: Console, /, port: int | None, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Serve the models without Docker.

    They come from the local cache; what it lacks is preloaded first.
    """
    from builder import serve as serving  # noqa: PLC0415 - `--help` should not wait for it

    serving.require_libraries()
    settings = _settings(**flags)
    filled = commands.fill_cache(settings, console, is_quick=True)
    launch = serving.prepare(filled.models, filled.cache, environment=settings.environment, port=port)
    console.say(f"serving {', '.join(model.name for model in filled.models)} at {launch.address}")
    serving.replace_process(launch)


@command.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(console: Console, /, *, force: bool) -> None:
    """Remove leftovers of this program.

    These are untagged images that it made, and containers that its smoke tests left behind.
    Do not run it while another build-image builds on the same engine.
    """
    from builder import prune as pruning  # noqa: PLC0415 - `--help` should not wait for them
    from builder.engine import Engine  # noqa: PLC0415

    def agreed() -> bool:
        if not sys.stdin.isatty():
            raise InputError("nothing is removed without a yes", hint="run `build-image prune --force`")
        return click.confirm("Remove them?", err=True)

    with Engine.connect() as engine:
        pruning.run(engine, console, agreed=(lambda: True) if force else agreed)


@command.command()
@click.pass_obj
def schema(console: Console, /) -> None:
    """Print the JSON Schema of the manifest, for editors."""
    from builder import manifest  # noqa: PLC0415 - `--help` should not wait for it

    console.result(manifest.schema())


def _settings(*, ca_bundle: Path | None = None, **flags: Any) -> Settings:  # noqa: ANN401 - click's own values
    """Gather what a command was asked for, and show no secret of this host from now on."""
    from builder import network  # noqa: PLC0415 - `--help` should not wait for it

    console: Console = click.get_current_context().obj
    console.hide(network.sensitive(network.secrets(os.environ)))
    trusted = ca_bundle or network.ca_bundle_path(os.environ)
    return Settings(version=__version__, environment=os.environ, ca_bundle=trusted, **flags)


def _build(console: Console, *, report: Path | None, quiet: bool, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    console.is_quiet = quiet
    if report is not None:
        reports.check_writable(report)
    settings = _settings(**flags)
    made = commands.build(settings, console=console)
    console.result(reports.table(made))
    if report is not None:
        reports.write(reports.text(made, redact=console.redact), report)
    failed = [image["exit_code"] for image in made["images"] if image["exit_code"]]
    if failed:
        raise SystemExit(max(failed))


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    for number in _SIGNALS:  # a shell starts background jobs with SIGINT ignored, and nohup means its SIGHUP
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    console = Console(out=sys.stdout, err=sys.stderr)
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
