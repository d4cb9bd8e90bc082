"""What a folder of supplies is refused for, and what is planned from one; no engine is asked."""

import hashlib
import json
import subprocess
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from builder import cli, offline, supplies
from builder.console import Console
from builder.errors import FailedError, ProblemsError
from builder.plan import ImagePlan, Plan
from builder.settings import Settings
from builder.supplies import File, Supplies
from tests.builder import supplied
from tests.builder.supplied import BASE, FakeHost

TWO_MODELS = {
    "models": {name: {"task": "reranker", "path": "reranker"} for name in ("reranker", "second")},
    "images": {"server": {"models": ["reranker", "second"]}},
}


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A project, the supplies that were gathered for it, and a host without a network."""

    project: Settings
    held: Supplies
    host: FakeHost

    def plan(self, **flags: Any) -> Plan:
        """Plan from the folder's own manifest, unless `models` names another."""
        asked = {"models": self.held.path("models.yaml"), "environment": self.project.environment, **flags}
        console = Console(out=None, err=StringIO())
        return offline.plan(Settings(version="1.2.3", **asked), self.held.directory, host=self.host, console=console)

    def refusal(self, **flags: Any) -> list[str]:
        """Return why the folder is refused, and the hint."""
        with pytest.raises(ProblemsError) as caught:
            self.plan(**flags)
        assert {problem.file for problem in caught.value.problems} == {str(self.held.directory)}
        assert self.host.loaded == []
        return [*(problem.message for problem in caught.value.problems), str(caught.value.hint)]

    def describe(self, **changes: Any) -> None:
        """Change the folder's description."""
        supplies.write(replace(self.held, description=replace(self.held.description, **changes)))

    def hint(self, models: Path | str = "models.yaml") -> str:
        command = f"build-image cache --models {models} --output {self.held.directory}"
        return f"where there is a network, run `{command}`"

    def lock(self) -> dict[str, Any]:
        """Read the folder's lock."""
        content: dict[str, Any] = json.loads(self.held.path("models.lock").read_text())
        return content

    @property
    def snapshot(self) -> Path:
        """Where the model's files lie."""
        (found,) = (self.held.directory / "hub/models--local--reranker/snapshots").iterdir()
        return found


def made(folder: Path, changes: dict[str, Any] | None = None, **content: Any) -> Folder:
    console = Console(out=None, err=StringIO())
    project = supplied.project(folder, **content)
    held = supplied.gathered(project, folder / "supplies", console=console, **(changes or {}))
    return Folder(project=project, held=held, host=FakeHost())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return made(tmp_path)


def only(plan: Plan) -> ImagePlan:
    (image,) = plan.images
    return image


def test_models_packages_and_base_come_from_the_folder(folder: Folder) -> None:
    image = only(folder.plan())
    assert image.supplied is not None
    assert (image.built_on, image.base, dict(image.supplied.files)) == (
        BASE.reference,
        "debian:bookworm-slim",
        folder.held.packages(),
    )
    assert [(model.folder, model.is_fetched) for model in image.models] == [(folder.snapshot, False)]


OPTIMIZED = {"task": "reranker", "path": "reranker", "optimize": {"quantize": "int8", "samples": "texts"}}


def test_an_optimised_model_has_its_samples_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("one\n")
    changes = {"wanted": supplies.wanted_packages(optimizes=True)}
    folder = made(tmp_path, changes, models={"reranker": OPTIMIZED})
    (tmp_path / "texts").unlink()
    (model,) = only(folder.plan()).optimized
    assert model.samples == folder.held.path("samples/reranker.txt")
    assert model.samples.read_text() == "one\n"


def test_a_folder_without_the_optimiser_s_packages_is_refused_for_a_model_that_wants_them(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("one\n")
    folder = made(tmp_path, models={"reranker": OPTIMIZED})
    assert folder.refusal() == ["it has no packages to optimise a model with", folder.hint()]


def test_the_image_has_the_names_and_labels_that_it_has_with_a_network(tmp_path: Path) -> None:
    digest = f"sha256:{'d' * 64}"
    folder = made(tmp_path)
    text = json.dumps({**folder.lock(), "bases": {BASE.name: digest}}).encode()
    folder.held.path("models.lock").write_bytes(text)
    locked = File(size_bytes=len(text), sha256=hashlib.sha256(text).hexdigest())
    files = {**folder.held.description.files, "models.lock": locked}
    folder.describe(files=files, base=replace(BASE, digest=digest))
    image = only(folder.plan())
    assert image.references == ("server:latest",)
    assert image.labels["org.opencontainers.image.base.name"] == BASE.name
    assert image.labels["org.opencontainers.image.base.digest"] == digest


def test_the_base_is_loaded_where_the_host_lacks_it(folder: Folder) -> None:
    folder.plan()
    folder.plan()
    assert folder.host.loaded == [folder.held.path("base.tar")]


def test_an_image_of_other_layers_under_the_base_s_name_is_not_built_on(folder: Folder) -> None:
    folder.host.held[BASE.reference] = ("sha256:other",)
    folder.plan()
    assert folder.host.loaded == [folder.held.path("base.tar")]


def test_a_base_that_is_not_in_its_tar_fails(folder: Folder) -> None:
    folder.host.gives = {}
    with pytest.raises(FailedError) as caught:
        folder.plan()
    tar = folder.held.path("base.tar")
    assert caught.value.message == f"`{tar}` gave the engine no `{BASE.reference}` with its layers"


def test_every_file_that_is_not_as_it_was_gathered_is_named(folder: Folder) -> None:
    wheel, model = folder.held.path(supplied.WHEEL), folder.snapshot / "config.json"
    wheel.write_bytes(b"other")
    model.unlink()
    sha256 = folder.lock()["models"]["reranker"]["files"]["config.json"]["sha256"]
    assert folder.refusal() == [
        f"`{model.relative_to(folder.held.directory)}` is missing, which has sha256 {sha256}",
        f"`{supplied.WHEEL}` has sha256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa, "
        f"and {folder.held.description.files[supplied.WHEEL].sha256} was gathered",
        folder.hint(),
    ]


def test_a_damaged_lock_is_named_before_it_is_read(folder: Folder) -> None:
    folder.held.path("models.lock").write_text("{")
    refusal, _ = folder.refusal()
    assert refusal.startswith(
        "`models.lock` has sha256 021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96"
    )


def test_a_folder_that_was_not_finished_is_refused(folder: Folder) -> None:
    folder.describe(is_complete=False)
    assert folder.refusal() == ["it is not complete: the run that gathered it did not end well", folder.hint()]


def test_everything_that_it_was_not_gathered_for_is_named_at_once(folder: Folder) -> None:
    folder.describe(wanted={**supplies.wanted_packages(), "requirements.txt": "0"}, program="0.9.0")
    folder.host.platform = "linux/arm64"
    project = supplied.project(folder.project.directory, defaults={"base": "ubuntu:24.04"}, **TWO_MODELS)
    assert folder.refusal(models=project.models) == [
        "it has the base image `debian:bookworm-slim`, and the manifest wants `ubuntu:24.04`",
        "it is for `linux/amd64`, and this build is for `linux/arm64`",
        "it was gathered by build-image 0.9.0, whose `requirements.txt` is not that of this one",
        "it lacks the model `second`",
        folder.hint(project.models),
    ]


def test_the_manifest_s_platform_is_the_one_that_counts(tmp_path: Path) -> None:
    folder = made(tmp_path, {"platform": "linux/arm64"}, defaults={"platform": "linux/arm64"})
    assert only(folder.plan()).platform == "linux/arm64"


def test_a_folder_for_weights_alone_has_no_packages_for_a_server(folder: Folder) -> None:
    folder.describe(wanted={})
    assert folder.refusal() == ["it has no packages for an image that serves", folder.hint()]


def test_weights_alone_need_no_packages(tmp_path: Path) -> None:
    folder = made(tmp_path, {"wanted": {}}, images={"w": {"kind": "models", "models": ["reranker"]}})
    assert only(folder.plan()).kind == "models"


def test_a_manifest_that_wants_another_model_is_refused_by_the_difference(folder: Folder) -> None:
    model = {"task": "reranker", "path": "reranker", "max_length": 77}
    project = supplied.project(folder.project.directory, models={"reranker": model})
    assert folder.refusal(models=project.models) == [
        "the manifest wants another lock: models.reranker: max_length asked for: nothing -> `77`",
        folder.hint(project.models),
    ]


def test_a_lock_beside_the_manifest_that_has_moved_on_is_refused(folder: Folder) -> None:
    lock = folder.lock()
    lock["models"]["reranker"]["recipe"]["max_length"] = 77
    folder.project.lock_path.write_text(json.dumps(lock))
    assert folder.refusal(models=folder.project.models) == [
        "the manifest wants another lock: models.reranker: recipe.max_length: `1024` -> `77`",
        folder.hint(folder.project.models),
    ]


def test_a_base_that_the_manifest_s_lock_has_at_another_digest_is_refused(folder: Folder) -> None:
    digest = f"sha256:{'d' * 64}"
    folder.project.lock_path.write_text(json.dumps({**folder.lock(), "bases": {BASE.name: digest}}))
    assert folder.refusal(models=folder.project.models) == [
        f"it has the base image at `no digest`, and the lock of the manifest has it at `{digest}`",
        folder.hint(folder.project.models),
    ]


def test_a_local_model_that_has_changed_is_refused(folder: Folder) -> None:
    model = folder.project.directory / "reranker"
    (model / "config.json").write_text("{}")
    assert folder.refusal(models=folder.project.models) == [
        f"models.reranker: `{model}` holds other files than were gathered",
        folder.hint(folder.project.models),
    ]


def test_a_local_model_need_not_be_on_this_machine(folder: Folder) -> None:
    (folder.project.directory / "reranker").rename(folder.project.directory / "elsewhere")
    assert only(folder.plan(models=folder.project.models)).references == ("server:latest",)


def test_the_folder_s_own_manifest_has_the_variables_that_it_was_gathered_with(tmp_path: Path) -> None:
    images = {"server": {"models": ["reranker"], "repository": "${ORG:-none}/server"}}
    folder = made(tmp_path, {"variables": {"ORG": "then"}}, images=images)
    here = {**folder.project.environment, "ORG": "now"}
    assert only(folder.plan(environment=here)).references == ("then/server:latest",)
    assert only(folder.plan(environment=here, models=folder.project.models)).references == ("now/server:latest",)


def test_the_folder_s_own_manifest_has_the_tags_that_it_had_when_it_was_gathered(tmp_path: Path) -> None:
    images = {"server": {"models": ["reranker"], "tags": ["{{ git.short_sha }}", "{{ date }}"]}}
    folder = made(tmp_path, {"images": {"server": ("ccccccc", "2026-11-23")}}, images=images)
    assert only(folder.plan()).references == ("server:ccccccc", "server:2026-11-23")
    assert folder.plan().is_repeatable


def test_a_manifest_of_the_project_is_tagged_with_its_own_checkout(tmp_path: Path) -> None:
    images = {"server": {"models": ["reranker"], "tags": ["{{ git.branch }}"]}}
    folder = made(tmp_path, {"images": {"server": ("main",)}}, images=images)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "--quiet", "-b", "topic"], ["commit", "--quiet", "--allow-empty", "--message", "models"]):
        subprocess.run([*git, *command], check=True)
    planned = folder.plan(models=folder.project.models)
    assert (only(planned).references, planned.is_repeatable) == (("server:topic",), False)


def test_only_the_images_that_were_gathered_are_built_from_the_folder_s_own_manifest(tmp_path: Path) -> None:
    images = {name: {"models": ["reranker"]} for name in ("one", "two")}
    folder = made(tmp_path, {"images": {"two": ("latest",)}}, images=images)
    assert folder.refusal(images=("one",)) == ["it was not gathered for the image `one`", folder.hint()]
    assert [image.name for image in folder.plan().images] == ["two"]
    assert [image.name for image in folder.plan(models=folder.project.models).images] == ["one", "two"]


@pytest.mark.parametrize("command", ["lock", "render", "serve"])
def test_a_command_that_builds_nothing_takes_no_supplies(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--from", "supplies", command]) == 2
    assert capsys.readouterr().err == f"error: --from builds images, and `{command}` does not\n"
