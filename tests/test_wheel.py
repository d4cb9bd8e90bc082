"""The wheel is what people install, so it is the wheel that is tried."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import checkout, lookalikes
from tests.support.checkout import ROOT

MANIFEST = "version: 1\nmodels: {m: {task: reranker, path: model}}\nimages: {i: {models: [m]}}\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    checkout.copy(source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_has_the_templates_the_server_its_page_and_their_locks(installed: Path) -> None:
    held = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    expected = {"runtime/__main__.py", "runtime/requirements.txt"}
    expected |= {
        f"builder/templates/{name}"
        for name in ("Dockerfile.jinja", "report.css", "report.html.jinja", "report.schema.json", "models.schema.json")
    }
    expected |= {
        f"builder/templates/stages/{path.name}" for path in (ROOT / "templates/stages").iterdir() if path.is_file()
    }
    expected |= {f"runtime/page/{path.name}" for path in (ROOT / "runtime/page").iterdir()}
    assert expected - held == set()


def test_the_wheel_holds_no_tests(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {"builder", "runtime"}


def test_the_wheel_prints_the_schema_of_reports_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    program = "import sys; from builder import cli; sys.exit(cli.run(['schema', '--report']))"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    printed = subprocess.check_output([sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment, text=True)
    assert printed == (ROOT / "templates/report.schema.json").read_text()


def test_the_wheel_renders_a_context_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    lookalikes.write_reranker(tmp_path / "model")
    (tmp_path / "models.yaml").write_text(MANIFEST)
    program = "import sys; from builder import cli; sys.exit(cli.run(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program, "render", "--output", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "out/i\n", "wrote models.lock\n")
    assert (tmp_path / "out/i/app/app/runtime/__main__.py").is_file()
    assert (tmp_path / "out/i/stages/requirements.txt").read_text() == (ROOT / "runtime/requirements.txt").read_text()
