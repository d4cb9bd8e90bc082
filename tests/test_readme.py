"""What the README says of names is held to the code; its figures come from `make bench` and `make quickstart`."""

import re
from pathlib import Path

import yaml

from builder.manifest import Defaults, Image, Manifest, Model
from runtime.settings import Settings, variable

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_key_of_the_manifest_is_described() -> None:
    keys = {"version", "vars"}
    for prefix, section in (("defaults", Defaults), ("models.NAME", Model), ("images.NAME", Image)):
        keys |= {f"{prefix}.{key}" for key in section.model_fields}
    described = set(re.findall(r"^\| `((?:version|vars|defaults|models|images)[\w.]*)` \|", README, re.MULTILINE))
    assert described == keys


def test_every_setting_of_the_server_is_described_with_its_default() -> None:
    described = dict(re.findall(r"^\| `(RUNTIME_\w+)` \| `?([^`|]+?)`? \|", README, re.MULTILINE))
    settings = {variable(name): str(value) for name, value in Settings()._asdict().items()}
    del settings["RUNTIME_BUNDLE"]  # the image sets it
    settings["RUNTIME_INTRA_OP_THREADS"] = "CPUs of affinity and quota"
    assert described == settings


def test_the_manifest_that_is_shown_is_the_default_one() -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load((ROOT / "models.yaml").read_text())
    assert set(Manifest.model_fields) - {"vars"} == set(yaml.safe_load(shown))


def test_the_targets_that_are_named_exist() -> None:
    named = set(re.findall(r"make (\w+)", README))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets
