"""Own what CI systems make of action.yml and of the GitLab component: expressions filled in, and steps run by bash."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support import checkout
from tests.support.checkout import ROOT

ACTION = ROOT / "action.yml"
COMPONENT = ROOT / "templates/build-image.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
_EXPRESSION = re.compile(r"\$\{\{ (?:inputs\.([\w-]+)|steps\.(\w+)\.outputs\.(\w+)) \}\}")
_INPUT = re.compile(r"\$\[\[ inputs\.(\w+) \]\]")
_OUTPUT = re.compile(r"(\w+)<<(\S+)\n(.*?)\n\2\n", re.DOTALL)
# As GitHub runs `shell: bash`, and GitLab's runner a script.
_BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")


def copy_checkout(target: Path) -> Path:
    """Copy what a pipeline gets of this checkout."""
    checkout.copy(target)
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (ACTION, HOOKS):
        shutil.copy(path, target)
    return target


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a job ended: its exit code and all that it printed, and the outputs of the action."""

    code: int
    said: str
    outputs: Mapping[str, str]


def run_action(action: Path, workspace: Path, *, environment: Mapping[str, str], **inputs: str) -> Ended:
    """Do what GitHub does for a step that uses the composite action in the folder `action`, `uses` steps left out.

    Source: GitHub's reference of metadata syntax, and of the variables that each step has.
    """
    described = yaml.safe_load((action / "action.yml").read_text())
    given = {
        name: inputs.get(name.replace("-", "_"), each.get("default", "")) for name, each in described["inputs"].items()
    }
    runner = workspace.parent / "runner"
    runner.mkdir(exist_ok=True)
    steps: dict[str, dict[str, str]] = {}
    code, said = 0, ""
    for number, step in enumerate(each for each in described["runs"]["steps"] if "run" in each):
        output = runner / f"output-{number}"
        output.touch()
        variables = {name: _filled(value, given, steps) for name, value in step.get("env", {}).items()}
        own = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(runner),
        }
        folder = workspace / _filled(step.get("working-directory", "."), given, steps)
        code, told = _run(_filled(step["run"], given, steps), folder, {**environment, **own, **variables})
        said += told
        if "id" in step:
            steps[step["id"]] = {name: value for name, _, value in _OUTPUT.findall(output.read_text())}
        if code:
            break
    outputs = {name: _filled(each["value"], given, steps) for name, each in described["outputs"].items()}
    return Ended(code=code, said=said, outputs=outputs)


def _filled(text: str, inputs: Mapping[str, str], steps: Mapping[str, Mapping[str, str]]) -> str:
    def value(match: re.Match[str]) -> str:
        name, step, output = match.groups()
        return inputs[name] if name else steps.get(step, {}).get(output, "")

    return _EXPRESSION.sub(value, text)


def _run(script: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    ended = subprocess.run(
        [*_BASH, "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def component(**inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header of the component, and its jobs with the inputs filled in as GitLab does it, after the YAML."""
    header, body = yaml.safe_load_all(COMPONENT.read_text())
    given = {name: inputs.get(name, (each or {}).get("default")) for name, each in header["spec"]["inputs"].items()}
    jobs = _interpolated(body, given)
    return header, jobs


def _interpolated(value: Any, inputs: Mapping[str, Any]) -> Any:
    """Fill in inputs; one that is the whole of a text keeps its type."""
    if isinstance(value, dict):
        return {_interpolated(key, inputs): _interpolated(each, inputs) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, inputs) for each in value]
    if not isinstance(value, str):
        return value
    if whole := _INPUT.fullmatch(value):
        return inputs[whole[1]]
    return _INPUT.sub(lambda match: _text(inputs[match[1]]), value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def variables(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the variables of a job as its shell has them."""
    for name, value in job["variables"].items():
        text = value["value"] if isinstance(value, dict) else value
        assert isinstance(text, str), f"{name} is {text!r}, which GitLab refuses"
        yield name, text


def run_job(job: Mapping[str, Any], folder: Path, *, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run the script of a GitLab job."""
    own = {"GITLAB_CI": "true", "CI_PROJECT_DIR": str(folder), **dict(variables(job))}
    return _run("\n".join(job["script"]), folder, {**environment, **own})


def program(name: str) -> Path:
    """Return a program that these files are tested with, in an environment that is made the first time."""
    subprocess.run([ROOT / "scripts/ensure-clients", "pipelines"], check=True)
    return ROOT / ".clients/pipelines/bin" / name


def git(folder: Path, *command: str) -> str:
    """Run git in a repository as nobody in particular."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.check_output(["git", *who, "-C", folder, *command], text=True, stderr=subprocess.STDOUT)


def make_repository(folder: Path) -> Path:
    """Commit all of a folder to a new repository in it."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message", "all")
    return folder


def outside_of_pipelines(home: Path) -> dict[str, str]:
    """Return an environment without what tells of a CI system, and with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "CI_", "INPUT_"))}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
