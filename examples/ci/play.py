"""Play a pipeline on this machine: the steps of its own file, run by bash with the variables that its system sets.

`python -m examples.ci.play github` or `gitlab`, in a checkout with `.venv` (`make quickstart` makes one) and an engine.
The registry is Debian's `docker-registry` on loopback; the Hub is the tests' stand-in with look-alikes of the models.
"""

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from builder.engine import Engine
from tests.engine import registry as registries
from tests.engine.registry import PASSWORD, USER
from tests.support import checkout, lookalikes
from tests.support.hub_server import HubServer

HERE = Path(__file__).parent
TOKEN = "hf_stand-in"  # noqa: S105 - of the stand-in Hub
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
# What a runner's own machine sets: where things are, and what its network takes.
_OF_A_RUNNER = re.compile(r"PATH|HOME|LANG|DOCKER_HOST|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|(?i:PIP_\w+|\w+_PROXY)")
_NOT_JOBS = {"stages", "variables", "default"}


@dataclass(kw_only=True)
class Machine:
    """What a CI system would give a run: a checkout, folders, variables and secrets."""

    folder: Path
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        """The checkout, in which every step begins."""
        return self.folder / "workspace"

    def bash(self, script: str, *flags: str, environment: Mapping[str, str]) -> None:
        """Run a script as a runner does, from a file; raises CalledProcessError."""
        path = self.folder / "script.sh"
        path.write_text(script)
        inherited = {name: value for name, value in os.environ.items() if _OF_A_RUNNER.fullmatch(name)}
        common = {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", ""), "XDG_CACHE_HOME": str(self.folder / "memory")}
        command = ["bash", "--noprofile", "--norc", *flags, str(path)]
        subprocess.run(command, cwd=self.workspace, env={**inherited, **common, **environment}, check=True)


def play_github(machine: Machine) -> None:
    """Run the steps of every job of github.yml, in order; what it `uses` of others is not played."""
    workflow = yaml.safe_load((HERE / "github.yml").read_text())
    for job in workflow["jobs"].values():
        for number, step in enumerate(job["steps"]):
            if "run" not in step:
                say(f"not played: {step['uses']}")
                continue
            say(step["name"])
            _github_step(machine, step, env={**job["env"], **step.get("env", {})}, number=number)


def _github_step(machine: Machine, step: Mapping[str, Any], *, env: Mapping[str, str], number: int) -> None:
    files = {name: machine.folder / f"{name}-{number}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    files["GITHUB_PATH"] = machine.folder / "GITHUB_PATH"
    for path in files.values():
        path.touch()
    added = files["GITHUB_PATH"].read_text().split()
    environment = {
        **{name: _filled(value, machine) for name, value in env.items()},
        **{name: str(path) for name, path in files.items()},
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(machine.workspace),
        "GITHUB_SHA": _commit(machine),
        "GITHUB_REF_NAME": "main",
        "GITHUB_RUN_NUMBER": "1",
        "RUNNER_TEMP": str(machine.folder),
        "PATH": ":".join([*added[::-1], os.environ["PATH"]]),
    }
    machine.bash(_filled(step["run"], machine), "-e", environment=environment)
    for name, value in _assigned(files["GITHUB_OUTPUT"].read_text()):
        machine.outputs[f"steps.{step.get('id')}.outputs.{name}"] = value


def _filled(text: str, machine: Machine) -> str:
    """Fill in the expressions of a workflow; one that is not known here ends the play."""
    known = {
        "github.workspace": str(machine.workspace),
        **{f"vars.{name}": value for name, value in machine.variables.items()},
        **{f"secrets.{name}": value for name, value in machine.secrets.items()},
        **machine.outputs,
    }
    return _EXPRESSION.sub(lambda found: known[found[1]], text)


def _assigned(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a step put into the file of its outputs: `NAME=VALUE`, or lines up to a word of its own."""
    lines = iter(text.splitlines())
    for line in lines:
        name, is_long, word = line.partition("<<")
        if is_long and "=" not in name:
            yield name, "\n".join(itertools.takewhile(word.__ne__, lines))
        else:
            name, _, value = line.partition("=")
            yield name, value


def play_gitlab(machine: Machine) -> None:
    """Run every job of gitlab.yml, stage by stage; the variables that one reports are there for the next."""
    pipeline = yaml.safe_load((HERE / "gitlab.yml").read_text())
    jobs = {name: job for name, job in pipeline.items() if name not in _NOT_JOBS}
    predefined = {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_PROJECT_DIR": str(machine.workspace),
        "CI_COMMIT_SHA": _commit(machine),
        "CI_COMMIT_BRANCH": "main",
        "CI_PIPELINE_IID": "1",
    }
    # Those of the project win over those of the file, and `$NAME` in them is filled in.
    given = {**pipeline["variables"], **machine.variables, **machine.secrets}
    variables = {name: value.replace("$CI_PROJECT_DIR", str(machine.workspace)) for name, value in given.items()}
    reported: dict[str, str] = {}
    for stage in pipeline["stages"]:
        for name, job in jobs.items():
            if job["stage"] == stage:
                say(name)
                script = "\n".join([*pipeline["default"]["before_script"], *job["script"]])
                machine.bash(script, "-eo", "pipefail", environment={**predefined, **variables, **reported})
                reported |= _reported(machine, job)


def _reported(machine: Machine, job: Mapping[str, Any]) -> dict[str, str]:
    path = job.get("artifacts", {}).get("reports", {}).get("dotenv")
    return dict(_assigned((machine.workspace / path).read_text())) if path else {}


def prepare(machine: Machine) -> None:
    """Make the repository as its people have left it: manifest and lock are committed."""
    shutil.copytree(HERE, machine.workspace, ignore=shutil.ignore_patterns("__pycache__", "play.py"))
    checkout.copy(machine.workspace / "build-image")
    shutil.copytree(checkout.ROOT / "requirements", machine.workspace / "build-image/requirements")
    (machine.workspace / ".gitignore").write_text("build-image/\nout/\n.program/\n")
    command = Path(sys.executable).with_name("build-image")
    environment = {**machine.variables, **machine.secrets}
    machine.bash(f"{command} lock && git init --quiet --initial-branch main", "-e", environment=environment)
    git = "git -c user.name=play -c user.email=play@example.com"
    machine.bash(f"{git} add . && {git} commit --quiet --message models", "-e", environment={})


def _commit(machine: Machine) -> str:
    command = ["git", "-C", str(machine.workspace), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def say(text: str) -> None:
    """Print the title of a step."""
    print(f"\n== {text}", flush=True)


def play(system: str, folder: Path) -> None:
    """Start what is asked by the pipeline, and play it; raises CalledProcessError for the first step that fails."""
    lookalikes.write_lookalikes(folder / "hub")
    (folder / "registry").mkdir()
    with ExitStack() as stack:
        hub = stack.enter_context(HubServer(folder / "hub", token=TOKEN))
        registry = stack.enter_context(registries.running(folder / "registry"))
        os.environ["HF_ENDPOINT"] = hub.endpoint
        machine = Machine(
            folder=folder,
            variables={"REGISTRY": registry.host, "FLAGS": "--build-network host"},
            secrets={"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD, "HF_TOKEN": TOKEN},
        )
        prepare(machine)
        try:
            {"github": play_github, "gitlab": play_gitlab}[system](machine)
        finally:
            _forget(registry.host)


def _forget(host: str) -> None:
    """Remove the names that the pipeline gave to images of the engine."""
    with Engine.connect() as engine:
        for image in engine.images(label="build-image.models"):
            for name in image.names:
                if name.startswith(f"{host}/"):
                    engine.untag(name)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the steps of a pipeline's file on this machine.")
    parser.add_argument("system", choices=["github", "gitlab"])
    parser.add_argument("--folder", type=Path, help="where everything is kept that it makes; else it is removed")
    options = parser.parse_args()
    try:
        if options.folder:
            play(options.system, options.folder)
        else:
            with tempfile.TemporaryDirectory() as folder:
                play(options.system, Path(folder))
    except subprocess.CalledProcessError as error:
        sys.exit(f"the step ended with {error.returncode}")


if __name__ == "__main__":
    main()
