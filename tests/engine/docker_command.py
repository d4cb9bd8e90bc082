"""Own which commands docker has here: tests that need one are skipped without it."""

import shutil
import subprocess

import pytest


def needs(*command: str) -> pytest.MarkDecorator:
    """Skip where `docker COMMAND`, which asks nothing of an engine, can't be run."""
    return pytest.mark.skipif(not _has(*command), reason=f"`docker {command[0]}` is not installed")


def _has(*command: str) -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", *command], capture_output=True, check=False).returncode == 0
