"""Own the local model cache: where it lies, what it lacks, and how files enter it; it never downloads by itself.

The cache has the layout of the image: `hub/models--<organisation>--<name>` with real files, and beside it
`transformers/<organisation>/<name>`, a link to the locked snapshot. A file enters under its name only once its
sha256 is the locked one; until then it lies in `.build-image/partial`, where an interrupted run is taken up.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, get_args

from builder import disk, layout, whole
from builder.console import Console, size
from builder.disk import Need
from builder.download import held_bytes
from builder.errors import FailedError, InputError, Problem, ProblemsError
from builder.lock import LockedFile, LockedModel
from builder.manifest import Task, did_you_mean

_OWN = ".build-image"  # this program's folder in the cache, beside `hub`
_DISK_HINT = "free space there, or name another disk by TRANSFORMERS_CACHE or HF_HOME"


class Fetcher(Protocol):
    """What can download: a `Downloader`."""

    def fetch(self, model: LockedModel, paths: Iterable[str], store: Path) -> None:
        """Download `paths` of `model` into `store`, each under its sha256; raises FailedError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """The cache whose `transformers` folder holds `<organisation>/<name>`; `home` is what HF_HOME names."""

    transformers: Path

    @property
    def home(self) -> Path:
        """The folder that `transformers` and `hub` lie in."""
        return self.transformers.parent

    @property
    def own(self) -> Path:
        """The folder of what is this program's alone."""
        return self.home / _OWN

    def link(self, model: LockedModel) -> Path:
        """Return where programs find `model` as `<organisation>/<name>`."""
        return self.transformers / model.source

    def snapshot(self, model: LockedModel) -> Path:
        """Return where the files of `model` lie."""
        return self.home / layout.snapshot_directory(model.source, model.revision)

    def store(self, model: LockedModel) -> Path:
        """Return where files of `model` lie, by their sha256, before they are known to be whole and right."""
        return self.own / "partial" / model.source.replace("/", "--")


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A cache, and the models that it has whole."""

    cache: Cache
    models: tuple[LockedModel, ...]


def locate(environment: Mapping[str, str], *, project: Path) -> Cache:
    """Find the cache: TRANSFORMERS_CACHE, else HF_HOME/transformers, else .cache/transformers in `project`."""
    if named := environment.get("TRANSFORMERS_CACHE"):
        directory = Path(named).expanduser()
    elif home := environment.get("HF_HOME"):
        directory = Path(home).expanduser() / "transformers"
    else:
        directory = project / ".cache/transformers"
    return Cache(transformers=directory.resolve())  # the links in it climb out of it, which a link to it would mislead


def targeted(models: Iterable[LockedModel], environment: Mapping[str, str]) -> tuple[LockedModel, ...]:
    """Return the models whose task HF_PRELOAD_TARGETS names, or all where it names none; raises InputError."""
    words = [word.strip() for word in environment.get("HF_PRELOAD_TARGETS", "").split(",") if word.strip()]
    known = get_args(Task)
    for word in words:
        if word not in known:
            raise InputError(f"HF_PRELOAD_TARGETS: there is no task `{word}`", hint=did_you_mean(word, known))
    found = tuple(model for model in models if not words or model.recipe.task in words)
    if not found:
        hint = "name another task, or unset HF_PRELOAD_TARGETS"
        raise InputError(f"no model has a task that HF_PRELOAD_TARGETS names: {', '.join(words)}", hint=hint)
    return found


def lacking(model: LockedModel, cache: Cache, *, is_quick: bool = False) -> tuple[str, ...]:
    """List the files of `model` that are absent or not as they were locked; by size alone where `is_quick`."""
    snapshot = cache.snapshot(model)
    return tuple(
        path for path, file in sorted(model.files.items()) if not _is_right(snapshot / path, file, is_quick=is_quick)
    )


def preload(
    models: Sequence[LockedModel],
    cache: Cache,
    *,
    fetcher: Fetcher | None,
    console: Console,
    command: str,
    is_quick: bool = False,
) -> None:
    """Bring every file of `models` into `cache`; those that are right stay as they are.

    Without a `fetcher` only local folders are copied. Raises ProblemsError with every file that is missing then and
    the `command` that gets them, FailedError where the disk is too small, the Hub does not give a file, or what
    arrives is not what was locked, and InputError where the cache can't be written.
    """
    with _alone(cache, console):
        wanted = {}
        for model in models:
            _adopt(model, cache)
            wanted[model.name] = lacking(model, cache, is_quick=is_quick)
        if fetcher is None:
            missing = [(model, path) for model in models if model.is_fetched for path in wanted[model.name]]
            _refuse(missing, cache, command=command)
        _check_disk(wanted, models, cache)
        for model in models:
            have = len(model.files) - len(wanted[model.name])
            console.say(f"{model.name}: {have} of {len(model.files)} files are there")
            if wanted[model.name]:
                _bring(model, wanted[model.name], cache, fetcher=fetcher)
        for model in _by_snapshot(models):
            _announce(model, cache)
            shutil.rmtree(cache.store(model), ignore_errors=True)  # of earlier revisions, and of what gave up


def _refuse(missing: Sequence[tuple[LockedModel, str]], cache: Cache, *, command: str) -> None:
    """Raise ProblemsError for files that only the Hub has, while it may not be asked."""
    problems = [
        Problem(
            file=str(cache.transformers),
            path=model.name,
            message=f"`{path}` of {model.identity} is missing ({size(model.files[path].size_bytes)})",
        )
        for model, path in missing
    ]
    if problems:
        hint = f"HF_ALLOW_REMOTE_MODELS forbids asking the Hub: run `HF_ALLOW_REMOTE_MODELS=true {command}`"
        raise ProblemsError(problems, hint=hint)


def _bring(model: LockedModel, paths: Sequence[str], cache: Cache, *, fetcher: Fetcher | None) -> None:
    """Fetch or copy `paths`; what is right is moved to its place, whatever happens to the rest."""
    try:
        if model.folder is not None:
            _copy(model.folder, {path: model.files[path] for path in paths}, cache.store(model))
        elif fetcher is not None:
            fetcher.fetch(model, paths, cache.store(model))
    except FailedError:
        _check_disk({model.name: paths}, [model], cache)
        raise
    finally:
        _adopt(model, cache)
    wrong = lacking(model, cache, is_quick=True)
    if wrong:
        raise FailedError(
            f"`{wrong[0]}` of `{model.source}` is not as it was locked", hint="do not change it meanwhile"
        )


def _adopt(model: LockedModel, cache: Cache) -> None:
    """Move what has arrived whole, now or in a run that was cut short, to its place; what has in part stays."""
    store, snapshot = cache.store(model), cache.snapshot(model)
    placed: dict[str, Path] = {}
    for path, file in model.files.items():
        arrived = store / file.sha256
        if file.sha256 in placed:  # two paths have the same content
            shutil.copyfile(placed[file.sha256], arrived)
        if _is_right(arrived, file):
            (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
            placed[file.sha256] = arrived.replace(snapshot / path)
        else:
            arrived.unlink(missing_ok=True)


def _by_snapshot(models: Iterable[LockedModel]) -> Iterator[LockedModel]:
    """Join the models that are the same commit with other files: the listing of a commit is one."""
    joined: dict[str, LockedModel] = {}
    for model in models:
        known = joined.get(model.identity, model)
        joined[model.identity] = replace(known, files={**known.files, **model.files})
    yield from joined.values()


def _copy(folder: Path, files: Mapping[str, LockedFile], store: Path) -> None:
    try:
        store.mkdir(parents=True, exist_ok=True)
        for path, file in files.items():
            shutil.copyfile(folder / path, store / file.sha256)
    except OSError as error:
        raise FailedError(f"`{folder}` can't be copied to `{store}`: {error.strerror}", hint=_DISK_HINT) from error


def _announce(model: LockedModel, cache: Cache) -> None:
    """Make a whole model findable by name: what the hub's clients read, and the link."""
    for path, content in model.cache_files.items():
        target = cache.home / path
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.write(target, content)
    link = cache.link(model)
    link.parent.mkdir(parents=True, exist_ok=True)
    partial = link.with_name(f".{link.name}.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(os.path.relpath(cache.snapshot(model), link.parent))
    try:
        partial.replace(link)
    except IsADirectoryError as error:
        partial.unlink()
        hint = "move that folder away: this program would put a link in its place"
        raise InputError(f"`{link}` is a folder of something else", hint=hint) from error


def _is_right(path: Path, file: LockedFile, *, is_quick: bool = False) -> bool:
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size != file.size_bytes:
                return False
            return is_quick or hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:  # what is not there or can't be read is of no use
        return False


def _check_disk(wanted: Mapping[str, Sequence[str]], models: Iterable[LockedModel], cache: Cache) -> None:
    """Refuse what can't fit; what an interrupted run has left of a file takes no more room."""
    parts = {}
    for model in models:
        sizes = {model.files[path].sha256: model.files[path].size_bytes for path in wanted[model.name]}
        parts[model.name] = max(0, sum(sizes.values()) - held_bytes(cache.store(model), sizes))
    disk.require(Need(parts=parts), disk.free(cache.home), place=f"the disk of `{cache.home}`", hint=_DISK_HINT)


@contextmanager
def _alone(cache: Cache, console: Console) -> Iterator[None]:
    """Keep a second run of this program out of the cache while the block runs; raises InputError for OSError."""
    try:
        cache.own.mkdir(parents=True, exist_ok=True)
        with (cache.own / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.say(f"another build-image fills {cache.home}; waiting for it")
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield
    except OSError as error:
        place = error.filename or cache.home
        raise InputError(f"`{place}` can't be written: {error.strerror}", hint=_DISK_HINT) from error
