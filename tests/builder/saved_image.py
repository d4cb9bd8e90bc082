"""Own saved images that are made in a test: tars as `docker save` writes them."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

Layer = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedImage:
    """An image of `layers`, path to content; the layers whose number is in `compressed` are that."""

    layers: Sequence[Layer]
    config: Mapping[str, Any]
    compressed: frozenset[int] = frozenset()

    @property
    def digests(self) -> list[str]:
        """The digests of its layers, as they lie in the tar."""
        return [f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in self._blobs()]

    @contextmanager
    def saved_image(self, _: str) -> Iterator[BinaryIO]:
        """Stream it, as an engine does."""
        blobs = {f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in self._blobs()}
        config = json.dumps({"rootfs": {}, **self.config}).encode()
        names = {"Config": "blobs/sha256/config", "RepoTags": None, "Layers": list(blobs)}
        files = {**blobs, "blobs/sha256/config": config, "manifest.json": json.dumps([names]).encode()}
        yield io.BytesIO(tar(dict(sorted(files.items()))))

    def _blobs(self) -> list[bytes]:
        blobs = [tar(layer) for layer in self.layers]
        return [
            gzip.compress(blob, mtime=0) if number in self.compressed else blob for number, blob in enumerate(blobs)
        ]


def tar(files: Mapping[str, bytes], *, modified: int = 0) -> bytes:
    """Write a tar of files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), modified
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()
