"""Publishing through Debian's registry, behind a relay that counts, fails and holds up what it is told to."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builder.api import Credentials
from builder.engine import Engine
from builder.registry import Registry as OverHttp
from tests.engine import registry as registries
from tests.engine.command import COMMAND, Ended, build_image
from tests.engine.registry import PASSWORD, USER, Registry
from tests.runtime.server import free_port
from tests.support import lookalikes
from tests.support.registry_relay import Relay, relayed

pytestmark = pytest.mark.engine

LOGIN = {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
WRONG = {"output": "last_hidden_state", "pooling": "cls", "normalize": True}  # fails its smoke test; see test_run


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Registry]:
    """A registry that nothing has been pushed to."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with registries.running(folder) as started:
        yield started


@pytest.fixture
def relay(upstream: Registry) -> Iterator[Relay]:
    with relayed(upstream.host) as started:
        yield started


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models, of which one is larger than all that an image has beside it."""
    folder = tmp_path_factory.mktemp("models")
    lookalikes.write_embedding_model(folder / "embedder")
    lookalikes.write_reranker(folder / "reranker")
    return folder


class Project:
    """A manifest with images of weights, and runs of the command on it; `made` are all images that came of them."""

    def __init__(self, folder: Path, *, models: Path, host: str) -> None:
        self.manifest = folder / "models.yaml"
        self.host = host
        self.made: set[str] = set()
        self._report = folder / "report.json"
        self._models = models
        self._cache = folder / "cache"

    def write(self, images: dict[str, dict[str, Any]], **embedder: object) -> None:
        """Write the manifest; JSON is YAML."""
        models = {
            "embedder": {"task": "embedding", "path": str(self._models / "embedder"), **embedder},
            "reranker": {"task": "reranker", "path": str(self._models / "reranker")},
        }
        told = {
            name: {"kind": "models", "repository": f"{self.host}/{name}", **image} for name, image in images.items()
        }
        self.manifest.write_text(json.dumps({"version": 1, "models": models, "images": told}))

    def environment(self, **more: str) -> dict[str, str]:
        """Return what the command runs with: the login, and a memory of its own."""
        return {**os.environ, **LOGIN, "XDG_CACHE_HOME": str(self._cache), **more}

    def run(self, *command: str, **environment: str) -> Ended:
        """Run the command on the manifest with a report."""
        self._report.unlink(missing_ok=True)
        flags: list[str | Path] = ["--models", self.manifest, "--report", self._report]
        ended = build_image(*command, *flags, environment=self.environment(**environment))
        if self._report.exists():
            self.made |= {str(image["id"]) for image in self.images() if image["id"]}
        return ended

    def plan(self) -> dict[str, Any]:
        """Run `plan`."""
        ended = build_image("plan", "--models", self.manifest, "--format", "json", environment=self.environment())
        read: dict[str, Any] = json.loads(ended.out)
        return read

    def images(self) -> list[dict[str, Any]]:
        """Read the images of the last report."""
        read: list[dict[str, Any]] = json.loads(self._report.read_text())["images"]
        return read

    def digest(self, name: str, tag: str = "latest") -> str | None:
        """Ask the registry what it has."""
        login = Credentials(username=USER, secret=PASSWORD)
        with closing(OverHttp(self.host, login=login)) as registry:
            held = registry.held(name, tag)
            return held.digest if held else None


@pytest.fixture
def project(engine: Engine, relay: Relay, models: Path, tmp_path: Path) -> Iterator[Project]:
    started = Project(tmp_path, models=models, host=relay.host)
    yield started
    for image_id in started.made:
        engine.remove_image(image_id)


def test_what_passed_is_pushed_and_told_by_the_digest_that_the_registry_has(project: Project) -> None:
    project.write({"weights": {"models": ["embedder"], "tags": ["1", "latest"]}})
    ended = project.run("--push")
    assert ended.code == 0, ended.err
    (image,) = project.images()
    digest = project.digest("weights", "1")
    assert [(pushed["reference"], pushed["digest"]) for pushed in image["pushed"]] == [
        (f"{project.host}/weights:1", digest),
        (f"{project.host}/weights:latest", digest),
    ]
    assert [row[-1] for row in ended.columns()[1:]] == ["pushed", "pushed"]
    assert [phase["name"] for phase in image["phases"]] == ["build", "smoke test", "gates", "attest", "tag", "push"]
    assert PASSWORD not in ended.out + ended.err


def test_a_second_image_with_the_same_model_sends_no_byte_of_it(
    project: Project, relay: Relay, upstream: Registry
) -> None:
    project.write({"one": {"models": ["embedder"]}, "two": {"models": ["embedder", "reranker"]}})
    ended = project.run("--push")
    assert ended.code == 0, ended.err
    model = json.loads(project.manifest.with_suffix(".lock").read_text())["models"]["embedder"]
    sent = relay.uploads()
    assert (sent["one"] > sum(file["size_bytes"] for file in model["files"].values()) / 2, sent["two"] < 20_000) == (
        True,
        True,
    )
    # By the registry's own log: the model's layer is mounted; the other model's and the configuration are sent.
    mounted = [path for path in upstream.requests("POST") if path.startswith("/v2/two/") and "mount=" in path]
    assert any("from=one" in path for path in mounted), mounted
    assert len([path for path in upstream.requests("PATCH") if path.startswith("/v2/two/")]) == 2


def test_an_unchanged_image_moves_no_layer(project: Project, relay: Relay) -> None:
    project.write({"weights": {"models": ["embedder", "reranker"]}})
    assert project.run("--push").code == 0
    before, digest = relay.uploads(), project.digest("weights")
    for command in ("--push", "push"):
        ended = project.run(command)
        assert (ended.code, relay.uploads(), project.images()[0]["pushed"][0]["digest"]) == (0, before, digest)


def test_a_registry_that_fails_twice_is_tried_again(project: Project, relay: Relay) -> None:
    project.write({"weights": {"models": ["reranker"]}})
    relay.fail("POST", "/blobs/uploads/$", status=500, times=2)
    relay.fail("PUT", "/manifests/", status=500, times=2)
    ended = project.run("--push")
    assert (ended.code, [row[-1] for row in ended.columns()[1:]]) == (0, ["pushed"])
    assert len(re.findall(r"^warning: weights: .*; trying again in [12] s$", ended.err, re.MULTILINE)) == 2


def test_of_several_images_it_is_told_exactly_which_were_published(project: Project, relay: Relay) -> None:
    project.write(
        {
            "good": {"models": ["reranker"]},
            "bad": {"models": ["reranker"], "tags": ["1"]},
            "last": {"models": ["reranker"]},
        }
    )
    relay.fail("PUT", "/v2/bad/manifests/", status=403, message="requested access to the resource is denied")
    ended = project.run("--push")
    assert (ended.code, [row[-1] for row in ended.columns()[1:]]) == (1, ["pushed", "failed", "pushed"])
    assert [len(image["pushed"]) for image in project.images()] == [1, 0, 1]
    assert f"error: bad: cannot push `{project.host}/bad:1`: " in ended.err
    assert "hint: check that your login may write to that repository\n" in ended.err
    assert project.digest("bad", "1") is None


def test_a_layer_that_the_registry_refuses_leaves_no_name_behind(project: Project, relay: Relay) -> None:
    project.write({"weights": {"models": ["embedder", "reranker"]}})
    relay.fail("PUT", "/blobs/uploads/", status=403, message="requested access to the resource is denied")
    ended = project.run("--push")
    assert (ended.code, [row[-1] for row in ended.columns()[1:]]) == (1, ["failed"])
    assert project.digest("weights") is None


def test_a_wrong_password_ends_the_run_before_the_build(project: Project) -> None:
    project.write({"weights": {"models": ["reranker"]}})
    ended = project.run("--push", REGISTRY_PASSWORD="battery-staple")
    assert (ended.code, ended.out) == (2, "")
    last = ended.err.splitlines()[-2:]
    assert last == [
        f"error: `{project.host}` does not let `{USER}` push to `weights`: authentication required",
        f"hint: log in with `docker login {project.host}`, or set REGISTRY_USER and REGISTRY_PASSWORD",
    ]
    assert ("building" in ended.err, "battery-staple" in ended.err) == (False, False)


def test_a_registry_that_is_away_ends_the_run_with_4_before_the_build(project: Project) -> None:
    project.host = f"127.0.0.1:{free_port()}"
    project.write({"weights": {"models": ["reranker"]}})
    ended = project.run("--push")
    assert (ended.code, "building" in ended.err) == (4, False)
    assert f"error: the registry `{project.host}` can't be reached: Connection refused\n" in ended.err


def test_an_image_that_fails_its_smoke_test_keeps_all_from_being_pushed(
    project: Project, relay: Relay, engine: Engine
) -> None:
    project.write({"good": {"models": ["reranker"]}, "bad": {"models": ["embedder"], "kind": "server"}}, **WRONG)
    ended = project.run("--push")
    assert (ended.code, [row[-1] for row in ended.columns()[1:]]) == (1, ["tagged", "failed"])
    assert "warning: no image is pushed, since bad failed\n" in ended.err
    assert (relay.uploads(), engine.has_image(f"{project.host}/bad:latest")) == ({}, False)


def test_an_immutable_tag_is_never_overwritten(project: Project) -> None:
    project.write({"weights": {"models": ["reranker"], "tags": ["1"], "immutable": ["?"]}})
    assert [project.run("--push").code for _ in range(2)] == [0, 0]  # the second one pushes the same again
    digest = project.digest("weights", "1")
    project.write({"weights": {"models": ["embedder"], "tags": ["1"], "immutable": ["?"]}})
    ended = project.run("--push")  # known before the build, but not that it will be another image
    assert (ended.code, ended.columns()[1][-1]) == (2, "failed")
    taken = f"`{project.host}/weights:1` is immutable, and the registry has {digest} there\n"
    assert f"error: weights: {taken}" in ended.err
    ended = project.run("--push")  # the engine's image of that name is now another one
    assert (ended.code, ended.out, "building" in ended.err) == (2, "", False)
    assert (f"error: {taken}" in ended.err, project.digest("weights", "1")) == (True, digest)


def test_an_image_that_this_program_did_not_test_is_not_pushed(project: Project, relay: Relay, engine: Engine) -> None:
    project.write({"weights": {"models": ["reranker"]}})
    assert project.run().code == 0
    engine.tag(engine.image_id("debian:bookworm-slim"), f"{project.host}/weights:latest")
    ended = project.run("push")
    engine.untag(f"{project.host}/weights:latest")
    assert (ended.code, relay.uploads()) == (2, {})
    assert "which has passed no smoke test of this program on this machine\n" in ended.err


def test_what_was_built_before_is_pushed_by_itself(project: Project) -> None:
    project.write({"weights": {"models": ["reranker"]}})
    assert project.run().code == 0
    ended = project.run("push")
    assert (ended.code, ended.columns()[1][-1]) == (0, "pushed")
    assert project.images()[0]["pushed"][0]["digest"] == project.digest("weights")


def test_an_interrupted_push_leaves_no_name_and_the_next_run_sends_only_the_rest(
    project: Project, relay: Relay
) -> None:
    project.write({"first": {"models": ["reranker"]}, "second": {"models": ["embedder", "reranker"]}})
    assert project.run().code == 0
    relay.hold("PATCH", "/v2/second/")
    process = subprocess.Popen(
        [COMMAND, "push", "--models", str(project.manifest), "--report", str(project.manifest.with_suffix(".json"))],
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert relay.reached.wait(60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    relay.release()
    first, second = (f"{project.host}/{name}:latest" for name in ("first", "second"))
    assert (process.returncode, out) == (130, "")
    assert f"interrupted: pushed {first}; not pushed {second}\n" in err
    assert (project.digest("first") is None, project.digest("second")) == (False, None)
    told = json.loads(project.manifest.with_suffix(".json").read_text())["images"]
    assert [(image["result"], len(image["pushed"])) for image in told] == [("pushed", 1), ("interrupted", 0)]
    stored = set(relay.stored())
    assert project.run("push").code == 0
    assert (stored != set(), [digest for digest in relay.stored()[len(stored) :] if digest in stored]) == (True, [])


def test_a_plan_tells_what_the_build_then_does(project: Project) -> None:
    project.write(
        {
            "one": {"models": ["embedder"], "kind": "server", "tags": ["{{ lock.digest }}"]},
            "two": {"models": ["reranker"]},
        }
    )
    planned = project.plan()
    ended = project.run()
    assert ended.code == 0, ended.err
    told = [(image["name"], image["references"], image["models"]) for image in planned["images"]]
    assert told == [
        (image["name"], image["references"], [model["name"] for model in image["models"]]) for image in project.images()
    ]
    sizes = [
        (image["size_bytes"], made["size_bytes"])
        for image, made in zip(planned["images"], project.images(), strict=True)
    ]
    assert [predicted / size for predicted, size in sizes] == pytest.approx([1, 1], rel=0.1)
    again = project.plan()
    assert [image["state"] for image in again["images"]] == ["unchanged", "unchanged"]
    assert ([model["is_held"] for model in again["models"]], again["fetch"]["total_bytes"]) == ([True, True], 0)
