"""Own the layout of a Hugging Face cache: paths, and the files beside the weights; it writes nothing to disk.

Real files in the snapshot, `refs/main` without a newline and a listing of exactly what is baked: with these three
every call of huggingface_hub finds the model offline, under any user.
"""

import json
from collections.abc import Mapping

from builder.repository import RepositoryFile

_TREE_FORMAT = 1  # huggingface_hub ignores a listing of any other format


def repository_directory(source: str) -> str:
    """Return where the cache keeps the repository `source` (organisation/name)."""
    organisation, name = source.split("/")
    return f"hub/models--{organisation}--{name}"


def snapshot_directory(source: str, revision: str) -> str:
    """Return where the cache keeps the files of one commit."""
    return f"{repository_directory(source)}/snapshots/{revision}"


def optimized_directory(source: str, revision: str, *, name: str) -> str:
    """Return where an image keeps what was derived of one commit for the model `name`: no client looks there."""
    return f"optimized/{repository_directory(source).removeprefix('hub/')}/{revision}/{name}"


def metadata_files(source: str, revision: str, files: Mapping[str, RepositoryFile]) -> dict[str, bytes]:
    """Return what makes the baked `files` findable offline by name as well as by commit: path to content."""
    listing = {path: _tree_entry(files[path]) for path in sorted(files)}
    tree = json.dumps({"format_version": _TREE_FORMAT, "files": listing}, indent=1)
    directory = repository_directory(source)
    return {f"{directory}/refs/main": revision.encode(), f"{directory}/trees/{revision}.json": tree.encode()}


def _tree_entry(file: RepositoryFile) -> dict[str, str | int]:
    entry: dict[str, str | int] = {"size": file.size_bytes, "blob_id": file.blob_id}
    if file.sha256 is not None:
        entry |= {"lfs_sha256": file.sha256, "lfs_size": file.size_bytes}
    return entry
