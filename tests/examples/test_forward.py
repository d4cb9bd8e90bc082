"""How the forwarder refuses; that it forwards is tested with a container in tests/engine/test_page.py."""

import subprocess
import sys
from pathlib import Path

import pytest

FORWARD = Path(__file__).parents[2] / "examples/forward.py"


@pytest.mark.parametrize("port", ["80000", "-1", "http"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    ended = subprocess.run(
        [sys.executable, FORWARD, "x", f"--port={port}"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        2,
        f"forward.py: error: argument --port: invalid port_number value: '{port}'",
    )


def test_without_docker_it_says_where_to_run() -> None:
    ended = subprocess.run(
        [sys.executable, FORWARD, "x"], capture_output=True, text=True, check=False, env={"PATH": "/nowhere"}
    )
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: `docker` is not installed\nhint: run this where the container's engine is administered\n",
    )
