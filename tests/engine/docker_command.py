"""Own which plugins the docker command has here: tests that need one are skipped without it."""

import shutil
import subprocess

import pytest


def needs(plugin: str) -> pytest.MarkDecorator:
    """Skip where `docker PLUGIN` can't be run."""
    return pytest.mark.skipif(not _has(plugin), reason=f"docker {plugin} is not installed")


def _has(plugin: str) -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", plugin, "version"], capture_output=True, check=False).returncode == 0
