"""The files for CI systems: by the schemas that editors have of them, and by what this repository has."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder import outputs
from tests.support import pipelines
from tests.support.checkout import ROOT

SCRIPT = ROOT / "scripts/pipeline.py"
SHOW = "import json, sys\nprint(json.dumps(sys.argv[1:]))\n"


def complaints(schema: str, document: Path) -> str:
    """Return what check-jsonschema says of a file by one of the schemas that come with it."""
    command = [str(pipelines.program("check-jsonschema")), "--builtin-schema", f"vendor.{schema}", str(document)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def shown(heading: str) -> Any:
    """Return what the README shows as a file below one of its headings."""
    section = (ROOT / "README.md").read_text().partition(f"\n### {heading}\n")[2]
    (block, *_) = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    return yaml.load(textwrap.dedent(block), Loader=yaml.BaseLoader)  # noqa: S506 - `on` stays a word


def written(folder: Path, document: object) -> Path:
    path = folder / "document.yml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_action_is_one_by_github_s_schema(tmp_path: Path) -> None:
    assert complaints("github-actions", pipelines.ACTION) == ""
    broken = yaml.safe_load(pipelines.ACTION.read_text())
    broken["runs"]["using"] = "composit"
    assert "composit" in complaints("github-actions", written(tmp_path, broken))


def test_the_component_is_one_by_gitlab_s_schema_as_it_stands_and_filled_in(tmp_path: Path) -> None:
    header, jobs = pipelines.component(source="https://gitlab.example.com/tools/build-image.git", args="--quiet")
    assert complaints("gitlab-ci", written(tmp_path, header | jobs)) == ""
    jobs["build-image"]["artifacts"]["reports"]["junitt"] = "x"
    assert "junitt" in complaints("gitlab-ci", written(tmp_path, header | jobs))


def test_every_variable_of_the_component_is_a_text() -> None:
    _, jobs = pipelines.component(source="x", push=True, jobs=2)
    given = dict(pipelines.variables(jobs["build-image"]))
    assert (given["INPUT_PUSH"], given["INPUT_JOBS"], given["INPUT_LOCKED"]) == ("true ", "2 ", "true ")


def test_the_hook_is_one_by_pre_commit_itself() -> None:
    assert (
        subprocess.run([pipelines.program("pre-commit"), "validate-manifest", pipelines.HOOKS], check=False).returncode
        == 0
    )


def test_what_the_readme_shows_is_taken_by_those_who_read_it(tmp_path: Path) -> None:
    assert complaints("github-workflows", written(tmp_path, shown("GitHub"))) == ""
    assert complaints("gitlab-ci", written(tmp_path, shown("GitLab"))) == ""
    command = [str(pipelines.program("pre-commit")), "validate-config", str(written(tmp_path, shown("pre-commit")))]
    assert subprocess.run(command, check=False).returncode == 0


def test_what_the_readme_gives_the_action_and_the_component_are_inputs_of_theirs() -> None:
    _, step, _ = shown("GitHub")["jobs"]["images"]["steps"]
    assert set(step["with"]) <= set(yaml.safe_load(pipelines.ACTION.read_text())["inputs"])
    header, _ = pipelines.component()
    assert set(shown("GitLab")["include"][0]["inputs"]) <= set(header["spec"]["inputs"])


def test_no_input_of_the_action_gets_into_a_script() -> None:
    steps = yaml.safe_load(pipelines.ACTION.read_text())["runs"]["steps"]
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []


def test_no_input_of_the_component_gets_into_a_script() -> None:
    _, body = yaml.safe_load_all(pipelines.COMPONENT.read_text())
    (job,) = body.values()
    assert [line for line in job["script"] if "$[[" in line] == []


def test_what_is_not_ours_is_pinned_by_its_commit() -> None:
    steps = yaml.safe_load(pipelines.ACTION.read_text())["runs"]["steps"]
    used = [step["uses"] for step in steps if "uses" in step]
    assert [use for use in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", use)] == []


def test_the_action_hands_on_every_output_that_the_program_writes() -> None:
    written_ = re.findall(r"^([a-z]+)<<", outputs.of_github({"result": "", "images": []}), re.MULTILINE)
    assert list(yaml.safe_load(pipelines.ACTION.read_text())["outputs"]) == written_


def test_both_have_the_same_inputs_of_the_program_with_the_same_defaults() -> None:
    action = yaml.safe_load(pipelines.ACTION.read_text())["inputs"]
    header, _ = pipelines.component()
    component = header["spec"]["inputs"]
    names = ("models", "image", "push", "jobs", "locked", "args")
    assert [action[name]["default"] for name in names] == [str(component[name]["default"]).lower() for name in names]


def test_the_versions_that_the_hook_is_installed_with_are_the_locked_ones() -> None:
    locked = re.findall(r"^([a-z0-9].*?) \\$", (ROOT / "requirements/builder.txt").read_text(), re.MULTILINE)
    assert (ROOT / "requirements/builder-versions.txt").read_text().splitlines() == locked


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """An environment whose build-image shows its arguments."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    shown = tmp_path / "build-image"
    shown.write_text(f"#!{sys.executable}\n{SHOW}")
    shown.chmod(0o755)
    return python


def asked(program: Path, *flags: str, **inputs: str) -> Any:
    """Return the flags that build-image gets for inputs, else the exit code and what is said."""
    environment = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
    ended = subprocess.run([program, SCRIPT, *flags], env=environment, capture_output=True, text=True, check=False)
    return json.loads(ended.stdout) if ended.returncode == 0 else (ended.returncode, ended.stderr)


@pytest.mark.parametrize(
    ("inputs", "flags"),
    [
        ({}, []),
        ({"models": "", "image": "", "push": "", "jobs": "", "locked": "", "args": ""}, []),
        ({"models": "a b.yaml", "jobs": "2"}, ["--models", "a b.yaml", "--jobs", "2"]),
        ({"image": "one two\nthree\n"}, ["--image", "one", "--image", "two", "--image", "three"]),
        ({"push": "true", "locked": "true"}, ["--push", "--locked"]),
        ({"push": "false", "locked": "false"}, []),
        ({"args": "--report 'my report.json' --sbom x"}, ["--report", "my report.json", "--sbom", "x"]),
        ({"models": "$(touch x); `id`", "args": "$HOME"}, ["--models", "$(touch x); `id`", "$HOME"]),
    ],
)
def test_inputs_become_flags_as_they_are(program: Path, inputs: dict[str, str], flags: list[str]) -> None:
    assert asked(program, **inputs) == flags


def test_the_pipeline_s_own_flags_come_last(program: Path) -> None:
    assert asked(program, "--junit", "j.xml", args="--quiet") == ["--quiet", "--junit", "j.xml"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"push": "yes"}, "error: the input `push` is `yes`, and may be `true` or `false`\n"),
        ({"args": "'open"}, "error: the input `args` is not what a shell would take: No closing quotation\n"),
    ],
)
def test_an_input_that_can_t_be_meant_ends_with_2(program: Path, inputs: dict[str, str], said: str) -> None:
    assert asked(program, **inputs) == (2, said)
