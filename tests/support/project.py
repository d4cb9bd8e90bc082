"""Own a folder with a manifest whose models the stand-in Hub has, and runs of the installed command in it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import lookalikes
from tests.support.hub_server import HubServer
from tests.support.lookalikes import EMBEDDING_REPOSITORY, RERANKER_REPOSITORY

COMMAND = str(Path(sys.executable).with_name("build-image"))
_CHOOSES = ("TRANSFORMERS_CACHE", "HF_HOME", "HF_PRELOAD_TARGETS", "HF_ALLOW_REMOTE_MODELS", "HF_TOKEN")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A folder with a manifest of an embedding model and a reranker; `hub` is started by whoever needs it."""

    folder: Path
    hub: HubServer

    @property
    def home(self) -> Path:
        """Where the local cache lies."""
        return self.folder / ".cache"

    def lock(self) -> dict[str, Any]:
        """Read the lock's models."""
        models: dict[str, Any] = json.loads((self.folder / "models.lock").read_text())["models"]
        return models

    def snapshot(self, name: str) -> Path:
        """Say where the cache has the files of a model."""
        locked = self.lock()[name]
        repository = f"models--{locked['source'].replace('/', '--')}"
        return self.home / "hub" / repository / "snapshots" / str(locked["revision"])

    def environment(self, **variables: str) -> dict[str, str]:
        """Give a run the stand-in Hub and nothing else that chooses models or folders."""
        inherited = {name: value for name, value in os.environ.items() if name not in _CHOOSES}
        return {
            **inherited,
            "HF_ENDPOINT": self.hub.endpoint,
            "HOME": str(self.folder),
            "DOCKER_HOST": f"unix://{self.folder}/nothing.sock",
            "XDG_CACHE_HOME": str(self.folder / "memory"),
            "NO_PROXY": "127.0.0.1,localhost",
            **variables,
        }

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Start the command."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Run the command to its end: exit code, stdout, stderr."""
        with self.start(*arguments, **variables) as process:
            out, err = process.communicate()
        return process.returncode, out, err


def make(folder: Path, **models: Mapping[str, Any]) -> Project:
    """Make a project below `folder`; `models` add to the manifest's own two, or replace them."""
    lookalikes.write_lookalikes(folder / "hub")
    hub = HubServer(folder / "hub")
    own = {"embedder": ("embedding", EMBEDDING_REPOSITORY), "reranker": ("reranker", RERANKER_REPOSITORY)}
    revisions = {name: hub.commit(repository) for name, (_, repository) in own.items()}
    content = {
        "version": 1,
        "models": {
            **{name: {"task": task, "repo": repo, "revision": revisions[name]} for name, (task, repo) in own.items()},
            **models,
        },
        "images": {"i": {"models": [*own, *(name for name in models if name not in own)]}},
    }
    (folder / "models.yaml").write_text(json.dumps(content))
    return Project(folder=folder, hub=hub)
