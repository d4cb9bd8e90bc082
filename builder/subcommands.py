"""Own the commands beside the build itself: what each is asked for, and the lines that it answers."""

import sys
from pathlib import Path
from typing import Any

import click

from builder import commands, completion, options, render_options, usage
from builder.console import Console, size
from builder.errors import FailedError, InputError, UnreachableError
from builder.options import PATH


@click.command(cls=usage.Command)
@options.manifest_options
@render_options.add
@click.pass_obj
def render(console: Console, /, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Write what builds or deploys the images to a folder.

    \b
    context     a folder for each image, for `docker build`
    bake        the same and docker-bake.json, for `docker buildx bake` with any builder
    compose     compose.yaml, for `docker compose`
    stack       stack.yaml, for a Swarm
    kubernetes  kubernetes.yaml, for `kubectl apply`

    \b
    Examples:
      build-image render --models models.yaml --output rendered
      docker build --tag retrieval rendered/retrieval
      build-image render --format kubernetes --replicas 3 --output deploy
    """  # noqa: D301 - click's own mark
    from builder import pipeline, rendering  # noqa: PLC0415 - `--help` should not wait for them

    wanted = render_options.rendering(flags)
    settings = options.settings(**render_options.others(flags))
    draft = pipeline.draft(settings)
    commands.settle(draft, settings, console)
    images = pipeline.make_plan(draft, settings).images
    asked = rendering.Rendering(version=settings.version, images=images, **wanted)
    for path in rendering.write(asked, flags["output"]):
        console.result(str(path))


@click.command(cls=usage.Command)
@options.manifest_options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def plan(console: Console, /, form: str, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Print what a run would do, before anything is built, downloaded or written.

    That is every image with its tags, the stages that images share, what is there already, bytes to fetch, sizes, and
    the licence of every model. Without an engine it says what can't be told.

    \b
    Examples:
      build-image plan --models models.yaml
      build-image plan --format json
    """  # noqa: D301 - click's own mark
    from builder import preview  # noqa: PLC0415 - `--help` should not wait for it

    found = commands.plan(options.settings(**flags), console=console)
    console.result(preview.document(found) if form == "json" else preview.text(found))


@click.command(cls=usage.Command)
@options.manifest_options
@options.report_options
@click.pass_obj
def push(console: Console, /, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Push images that were built, tested and tagged.

    Each must have passed its smoke test on this machine, under the names that the manifest gives it now.

    \b
    The login: REGISTRY_USER and REGISTRY_PASSWORD, else that of the Docker config
    (`docker login`) or its credential helper.

    \b
    Examples:
      build-image push --models models.yaml
      build-image push --image retrieval --report pushed.json
    """  # noqa: D301 - click's own mark
    options.finish(console, commands.push, locked=True, **flags)


@click.command(cls=usage.Command)
@options.manifest_options
@click.option("--check", is_flag=True, help="Change nothing; end with 2 where manifest and lock disagree.")
@click.option(
    "--upgrade",
    "upgraded",
    multiple=True,
    metavar="NAME",
    help="Resolve this model again; may be repeated.",
    shell_complete=completion.models,
)
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

    settings = options.settings(locked=check, **flags)
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


@click.command(cls=usage.Command)
@click.argument("image")
@click.option("--models", type=PATH, help="Compare with the lock beside this manifest, not with the image's bundle.")
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

    lock = lockfile.read(options.settings(models=models).lock_path) if models else None
    with Engine.connect() as engine:
        expected = verification.expected_of_image(engine, image, lock=lock)
        verdicts = verification.verify(engine, image, expected)
    for verdict in verdicts:
        console.result(f"{verdict.name}  {verdict.file_count} files  {size(verdict.size_bytes)}  {verdict.outcome}")
    mismatches = verification.mismatches(verdicts)
    if mismatches:
        raise FailedError("\n".join([f"`{image}` does not hold what was locked", *mismatches]))


@click.command(cls=usage.Command)
@click.argument("image")
@click.pass_obj
def sbom(console: Console, /, image: str) -> None:
    """Print the bill of materials of an image that serves: its models and packages, as CycloneDX 1.6.

    \b
    Example:
      build-image sbom registry.example.com/search/retrieval:latest >retrieval.cdx.json
    """  # noqa: D301 - click's own mark
    from builder import sbom as bills  # noqa: PLC0415 - `--help` should not wait for them
    from builder.engine import Engine  # noqa: PLC0415

    with Engine.connect() as engine:
        console.result(bills.read(engine, image).decode().rstrip())


@click.command(cls=usage.Command)
@options.manifest_options
@click.option("--output", type=PATH, metavar="DIR", help="Gather there what a machine without a network builds from.")
@options.network_option
@click.option("--no-cache", is_flag=True, help="With --output: gather packages and base image again.")
@click.option("--bundle", type=PATH, metavar="FILE", help="Write here what `python3 -m runtime` reads of the models.")
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
    settings = options.settings(**flags)
    if output is None:
        for model in commands.preload(settings, console, bundle=bundle):
            console.result(model)
        return
    if bundle is not None:
        raise InputError("`--bundle` is for a cache on this machine", hint="leave out --bundle or --output")
    for line in commands.gather(settings, output, console=console):
        console.result(line)


@click.command(cls=usage.Command)
@options.manifest_options
@click.option("--port", type=click.IntRange(1, 65_535), help="The port.  [default: RUNTIME_HTTP_PORT or 8080]")
@click.pass_obj
def serve(console: Console, /, port: int | None, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Serve the models without Docker.

    They come from the local cache; what it lacks is preloaded first.
    """
    from builder import serve as serving  # noqa: PLC0415 - `--help` should not wait for it

    serving.require_libraries()
    settings = options.settings(**flags)
    filled = commands.fill_cache(settings, console, is_quick=True)
    launch = serving.prepare(filled.models, filled.cache, environment=settings.environment, port=port)
    console.say(f"serving {', '.join(model.name for model in filled.models)} at {launch.address}")
    serving.replace_process(launch)


@click.command(cls=usage.Command)
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


@click.command(cls=usage.Command)
@click.option("--report", is_flag=True, help="That of the JSON report.")
@click.pass_obj
def schema(console: Console, /, *, report: bool) -> None:
    """Print the JSON Schema of the manifest, for editors, or that of the report."""
    from builder import report as reports  # noqa: PLC0415 - `--help` should not wait for them
    from builder import schema as manifests  # noqa: PLC0415

    console.result(reports.schema() if report else manifests.text())


@click.command(cls=usage.Command)
@click.option(
    "--models",
    type=PATH,
    help=f"Look at what this manifest needs.  [default: {completion.MANIFEST}, where there is one]",
)
@options.choice_options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_obj
def doctor(console: Console, /, form: str, models: Path | None, **flags: Any) -> None:  # noqa: ANN401 - click's own values
    """Look at all that a run depends on, and say what helps where something is not well.

    That is the Docker Engine, its BuildKit, image store and disk, the manifest and its lock, each registry that it
    pushes to, the Hub and its token, certificates and the clock. Nothing is built, downloaded or changed: a registry is
    asked by beginning an upload and taking it back. Nobody is waited for longer than 30 seconds.

    \b
    It ends with 0 where there is no problem (warnings are none), else with the first of these that it found:
      2  the manifest, a flag, a login, a token, certificates or the clock are wrong
      1  the disk is too full, a gate refuses a model, or the engine or a registry can't do what was asked
      4  the Docker Engine, a registry or the Hub is not reachable

    \b
    Examples:
      build-image doctor
      build-image doctor --models models.yaml --format json
    """  # noqa: D301 - click's own mark
    from builder import checks, finding  # noqa: PLC0415 - `--help` should not wait for them
    from builder import doctor as doctors  # noqa: PLC0415

    manifest = models or Path(completion.MANIFEST)
    subject = checks.Subject(
        settings=options.settings(models=manifest, **flags),
        has_manifest=models is not None or manifest.exists(),
        console=console,
    )
    found = [each.shown(console.redact) for each in doctors.examine(subject, limit_s=doctors.LIMIT_S)]
    console.result(finding.document(found) if form == "json" else finding.text(found))
    if code := finding.exit_code(found):
        raise SystemExit(code)


@click.command("completion", cls=usage.Command)
@click.argument("shell", type=click.Choice(completion.SHELLS))
@click.pass_context
def complete(context: click.Context, /, shell: completion.Shell) -> None:
    """Print what makes a shell complete commands, flags and the names of images and models.

    \b
    bash, in ~/.bashrc:                     eval "$(build-image completion bash)"
    zsh, in ~/.zshrc after compinit:        eval "$(build-image completion zsh)"
    fish, in ~/.config/fish/config.fish:    build-image completion fish | source
    """  # noqa: D301 - click's own mark
    context.obj.result(completion.script(shell, context.find_root().command))


ALL = (plan, render, push, lock, verify, sbom, cache, serve, prune, schema, doctor, complete)
