"""What the README says of names is held to the code; its figures come from `make bench` and `make quickstart`."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import yaml

from builder import outputs, schema
from builder.manifest import Manifest
from runtime.answers import ANSWERS
from runtime.cohere_shapes import InputType
from runtime.documentation import documentation_routes
from runtime.openai_dialect import PURPOSES
from runtime.prompting import NAMES
from runtime.routes import ROUTES
from runtime.settings import Settings, variable

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_key_of_the_manifest_is_described_as_editors_show_it() -> None:
    described = dict(
        re.findall(
            r"^\| `((?:version|vars|defaults|models|images|gates|optimize)[\w.]*)` \| (.*) \|$", README, re.MULTILINE
        )
    )
    sections = {"defaults", "gates", "models", "images"}
    assert described == {key: text for key, text in schema.DESCRIPTIONS.items() if key not in sections}


def test_every_setting_of_the_server_is_described_with_its_default() -> None:
    described = dict(re.findall(r"^\| `(RUNTIME_\w+)` \| `?([^`|]+?)`? \|", README, re.MULTILINE))
    settings = {variable(name): str(value) for name, value in Settings()._asdict().items()}
    del settings["RUNTIME_BUNDLE"]  # the image sets it
    settings["RUNTIME_INTRA_OP_THREADS"] = "CPUs of affinity and quota"
    settings |= dict.fromkeys(("RUNTIME_API_KEY", "RUNTIME_API_KEY_FILE", "RUNTIME_CORS_ALLOW_ORIGIN"), "none")
    assert described == settings


def test_the_manifest_that_is_shown_is_the_default_one() -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load((ROOT / "models.yaml").read_text())
    assert set(Manifest.model_fields) - {"vars"} == set(yaml.safe_load(shown))


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README)
    assert len(named) >= len(re.findall(r"^\| .* \| `tests/", README, re.MULTILINE)) > 20
    texts = {path: (ROOT / path).read_text() for path, _ in named}
    assert [f"{path}::{name}" for path, name in named if f"\ndef {name}(" not in texts[path]] == []


def test_every_report_is_described_with_its_flag() -> None:
    shown = README[README.index("## Reports") : README.index("## How it works")]
    described = re.findall(r"^\| [^|]+ \| (?:`--(\w+) FILE`|the file `(\w+)`) \|", shown, re.MULTILINE)
    assert [flag for flag, _ in described if flag] == ["report", "html", "junit", "dotenv"]
    assert {variable for _, variable in described if variable} == {"GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"}
    outputs_ = re.findall(r"^([a-z]+)<<", outputs.of_github({"result": "", "images": []}), re.MULTILINE)
    assert re.findall(r"^- `(\w+)`: ", shown[shown.index("The step outputs:") :], re.MULTILINE) == outputs_


def test_every_route_is_described() -> None:
    described = set(re.findall(r"`((?:GET|POST) /[^` ]*)`", README[README.index("## The server") :]))
    served = {f"{route.method} {route.path}" for route in (*ROUTES, *documentation_routes(ROUTES, has_keys=False))}
    assert described == served | {"GET /"}


def test_every_error_is_described_with_its_statuses() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d{3}) \| (\d{3}) \|$", README, re.MULTILINE)
    statuses = [(row.status("openai"), row.status("native")) for row in ANSWERS.values()]
    assert [(int(openai), int(native)) for openai, native in rows] == statuses


def test_every_purpose_is_described_with_its_names() -> None:
    rows = re.findall(r"^\| (?:`(\w+)` )?\| `([\w.-]+)` \| ((?:`[\w.-]+` ?)+)\|$", README, re.MULTILINE)
    described = {task: tuple(re.findall(r"`([^`]+)`", names)) for _, task, names in rows}
    assert described == {task: NAMES[purpose] for task, purpose in PURPOSES.items()}
    assert [(kind, PURPOSES[task]) for kind, task, _ in rows if kind] == [
        (kind, kind) for kind in get_args(InputType) if kind != "image"
    ]


def test_every_client_is_named_with_the_version_that_is_tested() -> None:
    described = dict(re.findall(r"^\| `([a-z-]+)` \| ([\d.]+) \|", README, re.MULTILINE))
    locked = "".join((ROOT / "requirements" / f"{name}.txt").read_text() for name in ("litellm", "clients"))
    versions = dict(re.findall(r"^([a-z-]+)==([\d.]+)", locked, re.MULTILINE))
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    names = {re.split("[>=]", wanted)[0].replace("_", "-") for wanted in groups["clients"] + groups["litellm"]}
    assert described == {name: versions[name] for name in names - {"numpy"}}


def test_the_targets_that_are_named_exist() -> None:
    named = set(re.findall(r"make (\w+)", README))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets
