import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from builder import sbom
from builder.errors import AbsentError, InputError
from templates.stages import sbom as stage
from tests.builder import data
from tests.builder.saved_image import tar

MODEL = replace(data.fetched("a"), licence="cc-by-nc-4.0, house terms (https://example.com/terms)")
RELEASE = {"ID": "debian", "VERSION_ID": "12"}
STATUS = """\
Package: libgomp1
Status: install ok installed
Source: gcc-12 (12.2.0-14)
Version: 12.2.0-14+deb12u1
Architecture: amd64
Description: GCC OpenMP (GOMP) support library
 Version: of no package
 .

Package: removed
Status: deinstall ok config-files
Version: 1
Architecture: all

Package: base-files
Status: install ok installed
Version: 1:12.4+deb12u7
Architecture: amd64
"""


def components(text: bytes) -> dict[str, Any]:
    return {component["bom-ref"]: component for component in json.loads(text)["components"]}


def assert_valid(text: bytes) -> None:
    """Hold a document to the schema that CycloneDX publishes."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode()) is None


def test_what_is_known_before_a_build_is_valid_and_the_same_every_time() -> None:
    for image in (data.image(MODEL, data.local(Path("/models/b"))), data.image(MODEL, kind="models")):
        assert_valid(sbom.document(image))
        assert sbom.document(image) == sbom.document(image)


def test_a_model_has_its_source_its_licences_and_the_digest_of_every_file() -> None:
    model = components(sbom.document(data.image(MODEL)))["model/a"]
    assert {key: model[key] for key in ("type", "name", "version", "purl", "licenses")} == {
        "type": "machine-learning-model",
        "name": "example/a",
        "version": data.COMMIT,
        "purl": f"pkg:huggingface/example/a@{data.COMMIT}",
        "licenses": [{"license": {"id": "CC-BY-NC-4.0"}}, {"license": {"name": "house terms"}}],
    }
    assert {file["name"]: file["hashes"] for file in model["components"]} == {
        path: [{"alg": "SHA-256", "content": file.sha256}] for path, file in MODEL.files.items()
    }


def test_a_model_from_a_folder_has_no_address() -> None:
    model = components(sbom.document(data.image(data.local(Path("/models/a")))))["model/embedder"]
    assert {"purl", "externalReferences"} & {*model} == set()


def test_only_an_image_that_serves_has_a_base_and_a_server() -> None:
    image = replace(data.image(MODEL), base=f"debian:12@sha256:{'b' * 64}")
    found = components(sbom.document(image))
    assert found["base"]["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert set(found) == {"model/a", "base", "server"}
    assert set(components(sbom.document(data.image(MODEL, kind="models")))) == {"model/a"}


def test_packages_that_are_installed_are_named_with_the_source_that_advisories_are_about() -> None:
    found = {package["name"]: package["purl"] for package in stage.debian_packages(STATUS, RELEASE)}
    assert found == {
        "libgomp1": "pkg:deb/debian/libgomp1@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"
        "&upstream=gcc-12%4012.2.0-14",
        "base-files": "pkg:deb/debian/base-files@1%3A12.4%2Bdeb12u7?arch=amd64&distro=debian-12"
        "&upstream=base-files%401%3A12.4%2Bdeb12u7",
    }


@pytest.mark.parametrize(
    ("fields", "licences"),
    [
        ("License-Expression: MIT AND Zlib", [{"expression": "MIT AND Zlib"}]),
        ("License: BSD", [{"license": {"name": "BSD"}}]),
        (
            "Classifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: Text",
            [{"license": {"name": "MIT License"}}],
        ),
        ("Summary: nothing", []),
    ],
)
def test_a_python_package_s_licence_is_what_its_metadata_says(fields: str, licences: list[Any], tmp_path: Path) -> None:
    folder = tmp_path / "Some_Package-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: Some_Package\nVersion: 1.0\n{fields}\n")
    (package,) = stage.python_packages(str(tmp_path), {"some-package": "a" * 64})
    assert package == {
        "type": "library",
        "bom-ref": "pypi/some-package",
        "name": "some-package",
        "version": "1.0",
        "purl": "pkg:pypi/some-package@1.0",
        "licenses": licences,
        "hashes": [{"alg": "SHA-256", "content": "a" * 64}],
    }


@pytest.mark.parametrize("archive", [{"hash": f"sha256={'a' * 64}"}, {"hashes": {"sha256": "a" * 64}}])
def test_the_digest_of_each_wheel_is_that_of_pip_s_report(archive: dict[str, Any]) -> None:
    report = {"install": [{"metadata": {"name": "Some_Package"}, "download_info": {"archive_info": archive}}]}
    assert stage.read_wheels(report) == {"some-package": "a" * 64}


def test_the_completed_document_is_valid_and_the_image_depends_on_everything() -> None:
    release = stage.read_release('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian"\n')
    found = [stage.operating_system(release), *stage.debian_packages(STATUS, release)]
    known = json.loads(sbom.document(data.image(MODEL)))
    completed = stage.completed(known, found)
    assert_valid(json.dumps(completed).encode())
    assert completed["dependencies"] == [
        {
            "ref": "image",
            "dependsOn": ["base", "deb/base-files:amd64", "deb/libgomp1:amd64", "model/a", "os", "server"],
        }
    ]


class OneImage:
    """An engine that has the image `i`, which holds one file, or none."""

    def __init__(self, text: bytes | None) -> None:
        self._text = text

    def image_id(self, reference: str) -> str:
        return "sha256:1" if reference == "i" else ""

    @contextmanager
    def archive(self, _: str, path: str) -> Iterator[BinaryIO]:
        if self._text is None:
            raise AbsentError("no such file")
        yield io.BytesIO(tar({path.rpartition("/")[2]: self._text}))


def test_the_document_of_an_image_is_read_without_running_it() -> None:
    assert sbom.read(OneImage(b"{}"), "i") == b"{}"


def test_an_image_without_one_is_told_how_to_get_one() -> None:
    with pytest.raises(InputError, match="`i` holds no bill of materials at `/opt/bundle/sbom.cdx.json`") as caught:
        sbom.read(OneImage(None), "i")
    assert caught.value.hint == "one of weights alone holds none: build it with `--sbom DIR`"


def test_an_image_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="the engine has no image `other`"):
        sbom.read(OneImage(None), "other")


def test_the_digest_of_a_model_s_files_is_that_of_their_sha256sums() -> None:
    properties = components(sbom.document(data.image(MODEL)))["model/a"]["properties"]
    digest = hashlib.sha256(MODEL.sha256sums.encode()).hexdigest()
    assert {"name": "build-image:files", "value": f"sha256:{digest}"} in properties


def test_a_derived_graph_is_in_place_of_what_it_was_derived_from_which_is_its_pedigree(tmp_path: Path) -> None:
    derived = {
        "graph": "model.onnx",
        "files": {"model.onnx": {"size_bytes": 7, "sha256": "9" * 64}},
        "applied": [{"step": "quantize", "detail": "int8: 24 of 24 products"}],
        "versions": {"onnxruntime": "1.32.0", "onnx": "1.23.2"},
    }
    (tmp_path / "derived.json").write_text(json.dumps(derived))
    overlay = {"path": str(tmp_path), "replaces": ["onnx/model.onnx"]}
    known = json.loads(sbom.document(data.image(MODEL)))
    made = stage.with_derived_graphs(
        known, [{"name": "a", "graph": "onnx/model.onnx", "overlay": overlay}, {"name": "b"}]
    )
    text = json.dumps(made).encode()
    assert_valid(text)
    files = {file["name"]: file for file in components(text)["model/a"]["components"]}
    assert set(files) == {"config.json", "tokenizer.json", "optimized/model.onnx"}
    assert files["optimized/model.onnx"]["hashes"] == [{"alg": "SHA-256", "content": "9" * 64}]
    pedigree = files["optimized/model.onnx"]["pedigree"]
    assert [ancestor["name"] for ancestor in pedigree["ancestors"]] == ["onnx/model.onnx"]
    assert pedigree["notes"] == "quantize: int8: 24 of 24 products (by onnx 1.23.2, onnxruntime 1.32.0)"


def test_where_no_graph_was_derived_the_bill_names_the_original(tmp_path: Path) -> None:
    (tmp_path / "derived.json").write_text(json.dumps({"graph": None}))
    known = json.loads(sbom.document(data.image(MODEL)))
    overlay = {"path": str(tmp_path), "replaces": ["onnx/model.onnx"]}
    wanted = json.loads(json.dumps(known))
    assert stage.with_derived_graphs(known, [{"name": "a", "graph": "onnx/model.onnx", "overlay": overlay}]) == wanted
