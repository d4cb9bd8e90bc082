"""Own running the program that fetches a model in its stage, against stand-in Hubs with faults."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from templates.stages import fetch_model
from tests.support.hub_server import HubServer

TEMPLATES = Path(fetch_model.__file__).parent.parent
REPOSITORY = "example/model"
GATED = "example/gated"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_right"
LARGE = "onnx/model.onnx_data"
FILES = {"config.json": b"{}", "onnx/model.onnx": b"graph", LARGE: bytes(range(256)) * 5000}
CHECK_BYTES = "check HTTPS_PROXY and HF_ENDPOINT; `build-image lock --upgrade MODEL` locks what the Hub has now"
TRY_LATER = "try again later, or name mirrors in HF_ENDPOINT, after the Hub"


@dataclass(frozen=True, kw_only=True)
class Run:
    code: int
    output: str
    errors: str
    directory: Path

    def found(self) -> dict[str, tuple[bool, bytes]]:
        """Return whether each file is a link, and its bytes."""
        paths = (path for path in self.directory.rglob("*") if not path.is_dir())
        return {str(path.relative_to(self.directory)): (path.is_symlink(), path.read_bytes()) for path in paths}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a build stage has: a folder to write to, and Hubs; what is asked for is what the folder `hub` has."""

    directory: Path
    servers: tuple[HubServer, ...]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def server(self) -> HubServer:
        return self.servers[0]

    @property
    def store(self) -> Path:
        """What is a cache mount in a build."""
        return self.directory / "kept"

    @property
    def snapshot(self) -> Path:
        """Where the stage wants the files."""
        return self.directory / "out/snapshot"

    def fetch(self, *paths: str, snapshot: Path | None = None, **options: Any) -> Run:
        """Run the program to its end."""
        directory = snapshot or self.snapshot
        with self.start(*paths, snapshot=directory, **options) as process:
            output, errors = process.communicate()
        return Run(code=process.returncode, output=output, errors=errors, directory=directory)

    def start(
        self,
        *paths: str,
        repo: str = REPOSITORY,
        revision: str = COMMIT,
        token: str | None = TOKEN,
        snapshot: Path | None = None,
        retry_wait_s: float = 0.001,
        **changed: Any,
    ) -> "subprocess.Popen[str]":
        """Start the program on `paths`, locked as the Hub has them and then `changed`."""
        files = {path: {**locked(self.directory / "hub" / REPOSITORY / path), **changed} for path in paths}
        spec, secret = self.directory / "fetch.json", self.directory / "hf_token"
        spec.write_text(json.dumps({"repo": repo, "revision": revision, "files": files}))
        if token is not None:
            secret.write_text(token + "\n")
        endpoints = ", ".join(server.endpoint for server in self.servers)
        settings = {"HF_ENDPOINT": endpoints, "HF_TOKEN_PATH": str(secret), "HOME": str(self.directory)}
        arguments = [spec, self.store, "--copy-to", snapshot or self.snapshot, "--retry-wait-s", str(retry_wait_s)]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "stages.fetch_model", *map(str, arguments)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(TEMPLATES), **settings, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def refused(self, *paths: str, **options: Any) -> list[str]:
        """Fetch what can't be fetched and return the lines that say so."""
        run = self.fetch(*paths, **options)
        assert (run.code, TOKEN in run.output + run.errors) == (1, False)
        return run.errors.splitlines()


def locked(path: Path) -> dict[str, Any]:
    """Describe a file as the lock does; one that is not there is a lock of something that was."""
    content = path.read_bytes() if path.is_file() else b"{}"
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def repositories(tmp_path: Path) -> Path:
    for name in (REPOSITORY, GATED):
        for path, content in FILES.items():
            file = tmp_path / "hub" / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        (tmp_path / "hub" / name / "modeling.py").write_text("raise SystemExit")
    return tmp_path / "hub"
