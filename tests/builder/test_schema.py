"""The JSON Schema of the manifest: the file that editors read, held to what the program takes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from builder import schema
from builder.manifest import Defaults, Gates, Image, Manifest, Model, Optimize

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "templates" / schema.FILE
VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema.text()))
GOOD: dict[str, Any] = {
    "version": 1,
    "models": {"m": {"task": "reranker", "path": "model"}},
    "images": {"i": {"models": ["m"]}},
}
MANIFESTS = sorted(
    path
    for path in [ROOT / "models.yaml", *ROOT.glob("examples/**/*.yaml"), *ROOT.glob("benchmarks/*.yaml")]
    if not {"models", "node_modules"} & set(path.relative_to(ROOT).parts[:-1])
)


def complaints(manifest: object) -> list[str]:
    """Return the places that an editor underlines."""
    return [".".join(map(str, error.absolute_path)) for error in VALIDATOR.iter_errors(manifest)]


def with_model(**keys: object) -> dict[str, Any]:
    return {**GOOD, "models": {"m": {**GOOD["models"]["m"], **keys}}}


def test_the_file_in_the_checkout_is_what_the_command_prints() -> None:
    assert FILE.read_text() == schema.text() + "\n", f"write it with `build-image schema >templates/{schema.FILE}`"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    assert (VALIDATOR.schema["$id"], VALIDATOR.schema["title"]) == (
        "urn:build-image:models:1",
        "Manifest of build-image",
    )


def test_every_key_has_a_description() -> None:
    sections: dict[str, type[BaseModel]] = {
        "": Manifest,
        "defaults.": Defaults,
        "gates.": Gates,
        "models.NAME.": Model,
        "images.NAME.": Image,
        "optimize.": Optimize,
    }
    keys = {f"{prefix}{key}" for prefix, section in sections.items() for key in section.model_fields}
    assert set(schema.DESCRIPTIONS) == keys


def test_the_default_manifest_names_the_file() -> None:
    first = (ROOT / "models.yaml").read_text().partition("\n")[0]
    assert first == f"# yaml-language-server: $schema={FILE.relative_to(ROOT)}"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_manifest_of_the_checkout_is_taken_as_it_is_written(path: Path) -> None:
    assert complaints(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repo", "${MODEL}"),
        ("dtype", "${DTYPE:-fp32}"),
        ("max_length", "${LENGTH:-77}"),
        ("normalize", "${NORMALIZE:-true}"),
        ("revision", "v${VERSION}"),
        ("pooling", ["${POOLING}"]),
        ("adapters", {"query": "${ADAPTER}"}),
    ],
)
def test_a_variable_stands_for_any_value(key: str, value: object) -> None:
    manifest = with_model(**{key: value})
    if key == "repo":
        del manifest["models"]["m"]["path"]
    assert complaints(manifest) == []


@pytest.mark.parametrize(
    ("manifest", "places"),
    [
        ({**GOOD, "version": 2}, ["version"]),
        ({**GOOD, "imagse": {}}, [""]),
        ({**GOOD, "models": {"M": {"task": "reranker", "path": "model"}}}, ["models"]),
        (with_model(task="rerankr"), ["models.m.task"]),
        (with_model(repo="a/b"), ["models.m"]),
        (with_model(max_length="77"), ["models.m.max_length"]),
        (with_model(max_length=0), ["models.m.max_length"]),
        (with_model(dtyp="fp16"), ["models.m"]),
        ({**GOOD, "images": {"i": {"models": []}}}, ["images.i.models"]),
        ({**GOOD, "gates": {"min_golden_cosine": 2}}, ["gates.min_golden_cosine"]),
    ],
)
def test_what_is_wrong_is_underlined(manifest: object, places: list[str]) -> None:
    assert complaints(manifest) == places
