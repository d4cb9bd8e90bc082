"""Own the build context: what an image is built from as a sorted tree of files, sent or written to a folder."""

import importlib.util
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from builder import bundle, optimization, sbom
from builder.errors import InternalError

if TYPE_CHECKING:
    from builder.lock import LockedModel
    from builder.optimization import Optimization
    from builder.plan import ImagePlan

# 2024-01-01T00:00:00Z. Every file of a context and of an image carries it, so equal content is an equal layer.
SOURCE_DATE_EPOCH = 1704067200
NANOSECONDS = 1_000_000_000

# What of a recipe a graph is derived by.
_REQUEST_KEYS = (
    *("graph", "task", "inputs", "output", "pooling", "include_prompt", "layers", "normalize", "answer_tokens"),
    *("padding_side", "first_position"),
)

_SERVER_PARTS = ("*.py", "*.html", "page/*")  # what of the server's folder is baked

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file or directory; `source` is its bytes, the local file that has them, or None for a directory."""

    path: str
    source: bytes | Path | None

    @property
    def mode(self) -> int:
        """Permission bits: nothing of a context is private or runs by its mode."""
        return DIRECTORY_MODE if self.source is None else FILE_MODE

    @property
    def size_bytes(self) -> int:
        """Size of the content, zero for a directory."""
        if self.source is None:
            return 0
        return self.source.stat().st_size if isinstance(self.source, Path) else len(self.source)

    @property
    def modified_ns(self) -> int:
        """Modification time in nanoseconds since 1970; see `fingerprint`."""
        return SOURCE_DATE_EPOCH * NANOSECONDS + fingerprint(self.source)


def fingerprint(source: bytes | Path | None) -> int:
    """Derive the nanoseconds of an entry's modification time, [0, 1e9), from what tells its content apart.

    The engine takes a file as unchanged when size, mode and modification time are. The time is therefore
    SOURCE_DATE_EPOCH, which is all that a layer keeps (layers hold whole seconds), plus nanoseconds that differ when
    the content does: a hash of the bytes, or of a local file's inode and times, which is not read for that.
    """
    if source is None:
        return 0
    if isinstance(source, Path):
        found = source.stat()
        source = f"{found.st_dev} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}".encode()
    return int.from_bytes(blake2b(source, digest_size=16).digest(), "big") % NANOSECONDS


@dataclass(frozen=True, slots=True)
class Context:
    """Entries in the order in which a walk of the tree meets them: parents first, siblings by name."""

    entries: tuple[Entry, ...]


def assemble(files: Mapping[str, bytes | Path]) -> Context:
    """Make a context of `files` (path to content), with every directory that they need."""
    directories = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    entries = [Entry(path=path, source=source) for path, source in files.items()]
    entries += [Entry(path=path, source=None) for path in directories]
    return Context(tuple(sorted(entries, key=lambda entry: PurePosixPath(entry.path).parts)))


def of_image(image: "ImagePlan", *, dockerfile: str, files_are_shared: bool = False) -> Context:
    """Make the context that `dockerfile` builds `image` from, without the models' files where those are shared."""
    files = _stage_files(dockerfile)
    if image.optimized:
        files |= {f"optimizer/{name}": text for name, text in optimization.programs().items()}
    for model in image.optimized:
        files |= {f"optimize/{model.name}/{path}": source for path, source in _optimized_files(model).items()}
    if image.kind == "server":
        files |= _server_files(image)
    for model in image.models:
        files |= {f"models/{model.name}/{path}": source for path, source in _model_files(model).items()}
        if not files_are_shared:
            files |= {f"files/{model.name}/{path}": source for path, source in _local_files(model).items()}
    return assemble(files)


def of_model_files(model: "LockedModel") -> Context:
    """Make the tree of the files in a local model's folder, which is what `sharing` sends."""
    return assemble(_local_files(model))


def of_packages(dockerfile: str) -> Context:
    """Make the context that `dockerfile` gathers the packages of a server in."""
    return assemble(_stage_files(dockerfile) | {"stages/requirements.txt": _requirements()})


def wanted_packages(*, optimizes: bool = False) -> dict[str, bytes]:
    """Return the texts that say which packages a server is built from: the locked wheels, and Debian's packages.

    Where it `optimizes` a model, the wheels that do so are among them.
    """
    stages = resources.files("builder.templates").joinpath("stages")
    scripts = ["gather-packages.sh", *([optimization.REQUIREMENTS] if optimizes else [])]
    return {"requirements.txt": _requirements().read_bytes()} | {
        name: stages.joinpath(name).read_bytes() for name in scripts
    }


def _stage_files(dockerfile: str) -> dict[str, bytes | Path]:
    """Return what every build has: its Dockerfile and the scripts of all stages."""
    stages = resources.files("builder.templates").joinpath("stages")
    scripts = {f"stages/{stage.name}": stage.read_bytes() for stage in stages.iterdir() if stage.is_file()}
    return {"Dockerfile": dockerfile.encode(), **scripts}


def _server_files(image: "ImagePlan") -> dict[str, bytes | Path]:
    """Return what only an image that serves is built from."""
    server = _runtime_folder()
    files: dict[str, bytes | Path] = {"stages/requirements.txt": _requirements()}
    if image.supplied is not None:
        files |= {f"supplies/{path}": file for path, file in image.supplied.files.items()}
    parts = [part for pattern in _SERVER_PARTS for part in server.glob(pattern)]
    files |= {f"app/app/runtime/{part.relative_to(server)}": part.read_bytes() for part in parts}
    files["app/opt/bundle/bundle.json"] = bundle.document(image.models)
    files["sbom.json"] = sbom.document(image)
    return files


def _model_files(model: "LockedModel") -> dict[str, bytes | Path]:
    """Return what a model's stage reads beside its files: the cache's own, and the list to fetch or check them by."""
    files: dict[str, bytes | Path] = {f"cache/{path}": content for path, content in model.cache_files.items()}
    if model.folder is None:
        files["fetch.json"] = (json.dumps(model.fetch_request(model.files), indent=2) + "\n").encode()
    else:
        files["sha256sums"] = model.sha256sums.encode()
    return files


def _local_files(model: "LockedModel") -> dict[str, bytes | Path]:
    return {path: model.folder / path for path in model.files} if model.folder else {}


def _optimized_files(model: "LockedModel") -> dict[str, bytes | Path]:
    """Return what the stage that derives a graph is told, the cache's files for what is left, and the samples."""
    if model.optimization is None:
        raise InternalError(f"the model `{model.name}` is not optimised")
    samples: dict[str, bytes | Path] = {"compare/samples.txt": model.samples} if model.samples else {}
    thresholds = json.dumps(model.optimization.thresholds, indent=2) + "\n"
    cache: dict[str, bytes | Path] = {
        f"derive/cache/{path}": text for path, text in model.optimized_cache_files.items()
    }
    return {
        "derive/request.json": _pretty(_request(model, model.optimization)),
        "derive/replaces.txt": "".join(f"{path}\n" for path in model.replaced_files).encode(),
        **cache,
        "compare/thresholds.json": thresholds.encode(),
        **samples,
    }


def _request(model: "LockedModel", wanted: "Optimization") -> dict[str, Any]:
    """Say what a graph is derived from and how; what is not about a graph has no part in it."""
    decided = asdict(model.recipe)
    return {
        **{key: decided[key] for key in _REQUEST_KEYS},
        "batching": model.asked.get("batching"),
        "optimize": wanted.wishes,
        "variants": list(wanted.variants),
    }


def _pretty(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def _requirements() -> Path:
    return _runtime_folder() / "requirements.txt"


def _runtime_folder() -> Path:
    """Find the server's source without importing it: the two packages never load each other."""
    spec = importlib.util.find_spec("runtime")
    if spec is None or spec.origin is None:
        raise InternalError("the `runtime` package is not installed beside `builder`")
    return Path(spec.origin).parent


def write(context: Context, directory: Path) -> None:
    """Write `context` below `directory`, which `docker build` then builds to the same layers."""
    directory.mkdir(parents=True, exist_ok=True)
    for entry in context.entries:
        target = directory / entry.path
        if entry.source is None:
            target.mkdir(parents=True, exist_ok=True)
        elif isinstance(entry.source, Path):
            shutil.copyfile(entry.source, target)
        else:
            target.write_bytes(entry.source)
        target.chmod(entry.mode)
    for entry in reversed(context.entries):
        os.utime(directory / entry.path, ns=(entry.modified_ns, entry.modified_ns))
