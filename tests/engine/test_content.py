"""What is proven of an image before it gets a name, on a real engine."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from builder import contents, reproducibility, sbom
from builder.buildkit import BuildRequest, build
from builder.contents import Search
from builder.context import assemble
from builder.engine import ContainerOptions, Engine
from builder.leaks import Finder
from tests.engine.command import build_image, manifest

pytestmark = pytest.mark.engine

BASE = "debian:bookworm-slim"
TOKEN = "hf_" + "Ab3" * 11 + "x"
VALUE = uuid4().hex


@contextmanager
def built(engine: Engine, commands: str, *, no_cache: bool = False) -> Iterator[str]:
    """Build an image on the base for as long as the block runs."""
    context = assemble({"Dockerfile": f"FROM {BASE}\n{commands}".encode()})
    image = build(
        engine, BuildRequest(context=context, shared_key="content", no_cache=no_cache), on_event=lambda _: None
    )
    try:
        yield image
    finally:
        engine.remove_image(image)


def gated(folder: Path, name: str, **gates: Any) -> Path:
    """Write a manifest of one image with gates."""
    path = manifest(folder, name)
    path.write_text(json.dumps({**json.loads(path.read_text()), "gates": gates}))
    return path


def test_a_secret_is_found_in_a_layer_that_a_later_one_hides_and_in_every_text(engine: Engine) -> None:
    commands = (
        f"RUN printf %s {VALUE[:16]}{VALUE[16:]} >/root/key\nRUN rm /root/key && printf %s {TOKEN} >/etc/token\n"
        f"ENV NAME=https://user:{VALUE}@example.com\nLABEL a={VALUE}\n"
    )
    with built(engine, commands) as image:
        base = engine.inspect_image(BASE).layers
        search = Search(finder=Finder.of([VALUE]), duplicates=False, base_layers=base)
        leaks = contents.survey(engine, image, search).leaks
    places = {leak.place for leak in leaks}
    assert {"`config.Env[1]`", "`config.Labels.a`", "`/root/key` of layer 2", "`/etc/token` of layer 3"} <= places
    assert [leak.kind for leak in leaks if leak.place.startswith("`/")] == [
        "a secret that was given to the build",
        "a Hugging Face token",
    ]


def test_keys_that_a_library_of_the_base_tests_itself_with_are_its_own_affair(engine: Engine) -> None:
    base = engine.inspect_image(BASE).layers
    found = [
        contents.survey(engine, BASE, Search(finder=Finder.of([]), duplicates=False, base_layers=layers)).leaks
        for layers in (base, ())
    ]
    assert (found[0], [leak.kind for leak in found[1]]) == ((), ["a private key"])


def test_a_file_that_a_command_copies_is_found_twice(engine: Engine) -> None:
    with built(engine, "RUN head -c 100000 /dev/zero >/a\nRUN chmod 600 /a\nRUN cp /a /b\n") as image:
        base = engine.inspect_image(BASE).layers
        (found,) = contents.survey(engine, image, Search(finder=None, duplicates=True, base_layers=base)).duplicates
    assert (found.paths, found.wasted_bytes) == (("/a", "/a", "/b"), 200_000)


def test_a_command_that_is_not_reproducible_is_told_by_its_files(engine: Engine) -> None:
    commands = "RUN head -c 9 /dev/urandom >/etc/random && touch -d @0 /etc/random /etc\n"
    with built(engine, commands, no_cache=True) as first, built(engine, commands, no_cache=True) as second:
        assert reproducibility.differences(engine, first, second) == (
            "`/etc/random` of layer 2: bytes, 9 and 9 of them",
        )


def test_an_image_that_a_gate_refuses_gets_no_name(engine: Engine, folder: Path, name: str) -> None:
    report = folder / "report.json"
    path = gated(folder, name, max_size="100 MB", min_tokens_per_second=1, licences=["gemma", "cc-by-nc-4.0"])
    ended = build_image("--models", path, "--report", report)
    assert ended.code == 1
    assert f"error: {name}: gate `max_size`: it has " in ended.err
    assert "; allowed: 100 MB\nhint: the image has no tag; change it, or the key below `gates`" in ended.err
    (image,) = json.loads(report.read_text())["images"]
    assert [check["name"] for check in image["checks"]][-4:] == [
        "writes nothing",
        "gate licences",
        "gate min_tokens_per_second",
        "gate secrets",
    ]
    assert (image["result"], image["references"], engine.has_image(f"{name}:latest")) == ("failed", [], False)


def test_an_image_that_holds_the_token_gets_no_name_and_the_token_is_not_shown(
    engine: Engine, folder: Path, name: str, tmp_path: Path
) -> None:
    shutil.copytree(folder / "embedder", tmp_path / "embedder")
    shutil.copytree(folder / "reranker", tmp_path / "reranker")
    card = tmp_path / "reranker" / "README.md"
    card.write_text(f"{card.read_text()}\nFetch it with {TOKEN}.\n")
    path = manifest(tmp_path, name)
    ended = build_image("--models", path, environment={"HF_TOKEN": TOKEN})
    assert (ended.code, engine.has_image(f"{name}:latest"), TOKEN in ended.out + ended.err) == (1, False, False)
    assert f"error: {name}: gate `secrets`: a secret that was given to the build in `/opt/hf-cache/hub/" in ended.err
    allowed = build_image("--models", gated(tmp_path, name, secrets=False), environment={"HF_TOKEN": TOKEN})
    assert allowed.code == 0, allowed.err


def test_a_run_that_is_to_write_something_is_not_taken_for_one_that_changes_nothing(
    folder: Path, name: str, tmp_path: Path
) -> None:
    path = manifest(folder, name)
    first, second = (build_image("--models", path, *flags) for flags in ((), ("--sbom", tmp_path)))
    assert (first.code, second.code) == (0, 0)
    assert [file.name for file in tmp_path.iterdir()] == [f"{name}.cdx.json"]


def test_an_image_is_the_same_in_two_builds_without_a_cache(engine: Engine, folder: Path, name: str) -> None:
    report = folder / "report.json"
    ended = build_image("--models", manifest(folder, name), "--verify-reproducible", "--build-only", "--report", report)
    assert ended.code == 0, ended.err
    (image,) = json.loads(report.read_text())["images"]
    assert [(check["name"], check["detail"]) for check in image["checks"]] == [
        ("reproducible", f"both builds are {image['id'][:19]}")
    ]
    engine.remove_image(image["id"])


def test_another_time_and_commit_make_no_layer_again(engine: Engine, folder: Path, name: str, tmp_path: Path) -> None:
    path, built, steps = manifest(folder, name), [], []
    for epoch in ("1700000000", "1800000000"):
        report = tmp_path / f"{epoch}.json"
        ended = build_image(
            *("--models", path, "--build-only", "--report", report),
            environment={"SOURCE_DATE_EPOCH": epoch, "XDG_CACHE_HOME": str(tmp_path / epoch)},
        )
        assert ended.code == 0, ended.err
        built.append(engine.inspect_image(json.loads(report.read_text())["images"][0]["id"]))
        steps.append([line for line in ended.err.splitlines() if "] RUN " in line or "] COPY " in line])
    first, second = built
    assert first.layers == second.layers
    assert [line for line in steps[1] if not line.startswith("  cached  ")] == []
    created = [image.labels["org.opencontainers.image.created"] for image in built]
    assert created == ["2023-11-14T22:13:20Z", "2027-01-15T08:00:00Z"]
    for image in built:
        engine.remove_image(image.id)


@pytest.fixture(scope="module")
def described(engine: Engine, folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder with what a run writes about its two images, one of weights alone, and the report."""
    path, report, name = folder / "described.yaml", folder / "described.json", f"build-image-test-{uuid4().hex[:12]}"
    read = json.loads(manifest(folder, name).read_text())
    read["images"][f"{name}-weights"] = {"models": ["embedder"], "kind": "models"}
    path.write_text(json.dumps(read))
    directory = folder / "described"
    flags = ("--sbom", directory, "--provenance", directory)
    ended = build_image("--models", path, "--report", report, *flags)
    assert ended.code == 0, ended.err
    images = {image["name"].removeprefix(name): image for image in json.loads(report.read_text())["images"]}
    yield directory, images
    for image in images.values():
        engine.remove_image(image["id"])


def test_the_bill_of_materials_in_the_image_is_valid_and_the_one_beside_the_report(
    engine: Engine, described: tuple[Path, dict[str, Any]]
) -> None:
    directory, images = described
    text = (directory / f"{images['']['name']}.cdx.json").read_bytes()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode()) is None
    assert sbom.read(engine, images[""]["id"]) == text
    shown = build_image("sbom", images[""]["id"])
    assert (shown.code, json.loads(shown.out)) == (0, json.loads(text))


def test_the_bill_of_materials_has_the_packages_that_dpkg_and_python_list(
    engine: Engine, described: tuple[Path, dict[str, Any]]
) -> None:
    directory, images = described
    read = json.loads((directory / f"{images['']['name']}.cdx.json").read_text())
    list_python = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    with engine.run_container(ContainerOptions(image=images[""]["id"])) as container:
        debian = container.exec(["dpkg-query", "--show", "--showformat=${Package} ${Version}\\n"]).stdout.decode()
        python = container.exec(["python3", "-c", list_python]).stdout.decode()
    found: dict[str, set[str]] = {"deb": set(), "pypi": set()}
    for component in read["components"]:
        kind = component["bom-ref"].partition("/")[0]
        found.get(kind, set()).add(f"{component['name']} {component.get('version')}")
    assert found["deb"] == {*debian.splitlines()}
    assert found["pypi"] == {line.lower().replace("_", "-") for line in python.splitlines()}
    assert [
        part["name"] for part in read["components"] if part["bom-ref"].startswith("pypi/") and "hashes" not in part
    ] == []


def test_an_image_of_weights_has_its_bill_of_materials_beside_the_report_alone(
    described: tuple[Path, dict[str, Any]],
) -> None:
    directory, images = described
    text = (directory / f"{images['-weights']['name']}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    ended = build_image("sbom", images["-weights"]["id"])
    assert (ended.code, ended.out) == (2, "")
    assert "hint: one of weights alone holds none: build it with `--sbom DIR`\n" in ended.err


def test_the_provenance_is_about_the_image_that_was_tagged(described: tuple[Path, dict[str, Any]]) -> None:
    directory, images = described
    for image in images.values():
        read = json.loads((directory / f"{image['name']}.intoto.json").read_text())
        (reference,) = image["references"]
        assert read["subject"] == [{"name": reference, "digest": {"sha256": image["id"].removeprefix("sha256:")}}]
