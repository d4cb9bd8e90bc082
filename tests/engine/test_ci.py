"""The pipelines of examples/ci, played: every command of their files is run as it is written there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import junitparser
import pytest
import yaml

from tests.engine.command import ROOT

pytestmark = pytest.mark.engine

CI = ROOT / "examples/ci"
FIRST = "build-image -j 2 --locked --push $FLAGS --report out/report.json --html out/report.html --junit out/junit.xml"


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_a_pipeline_builds_tests_pushes_and_reports_and_the_same_again_moves_nothing(
    system: str, tmp_path: Path
) -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    command = [sys.executable, "-m", "examples.ci.play", system, "--folder", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    out = tmp_path / "workspace/out"
    reports = [json.loads((out / name).read_text()) for name in ("report.json", "again.json")]
    digests = [{pushed["digest"] for image in report["images"] for pushed in image["pushed"]} for report in reports]
    assert [report["result"] for report in reports] == ["succeeded", "succeeded"]
    assert (len(digests[0]), digests[0]) == (2, digests[1])
    sent = re.findall(r"layers: (\d+) sent", (out / "again.log").read_text())
    assert sent == ["0"] * 3
    suites = junitparser.JUnitXml.fromfile(str(out / "junit.xml"))
    assert [suite.name for suite in suites] == ["retrieval", "weights"]
    assert (suites.failures, suites.errors) == (0, 0)
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    deployed = [part for part in yaml.safe_load_all((out / "deploy/kubernetes.yaml").read_text()) if part]
    assert reports[0]["images"][0]["references"][0] in json.dumps(deployed)
    told = {
        "github": "@sha256:",
        "gitlab": f"deploying {reports[0]['images'][0]['references'][-1].rpartition(':')[0]}@",
    }
    assert told[system] in ended.stdout


def test_both_pipelines_run_the_same_commands() -> None:
    workflow = yaml.safe_load((CI / "github.yml").read_text())
    steps = [step["run"] for step in workflow["jobs"]["images"]["steps"] if "run" in step]
    pipeline = yaml.safe_load((CI / "gitlab.yml").read_text())
    jobs = [line for job in pipeline.values() if "script" in job for line in job["script"]]
    both = [{line for text in texts for line in commands(text)} for texts in (steps, jobs)]
    assert {line.removesuffix(" --dotenv out/build.env") for line in both[1]} == both[0]
    assert FIRST in both[0]


def commands(text: str) -> list[str]:
    """List the commands of this program in a script."""
    return [line for line in text.splitlines() if line.startswith("build-image ")]
