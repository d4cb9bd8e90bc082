"""What refuses to publish before a build, with Debian's registry behind a relay; no engine is needed for it."""

import base64
import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import requests

from builder import credentials, publication, tested
from builder.api import Credentials, ImageDetails
from builder.console import Console
from builder.errors import BuildImageError, InputError, UnreachableError
from builder.messages import JsonStream
from builder.plan import ImagePlan
from builder.registry import Published
from builder.result import ImageResult
from builder.settings import Settings
from tests.builder import data
from tests.builder.messages import streaming
from tests.engine import registry as registries
from tests.engine.registry import PASSWORD, USER, Registry
from tests.runtime.server import free_port
from tests.support.registry_relay import Relay, relayed

ENVIRONMENT = {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
EMPTY_ID = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of `{}`
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.running(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def relay(upstream: Registry) -> Iterator[Relay]:
    with relayed(upstream.host) as started:
        yield started


class Engine:
    """An engine that holds images by their names, and tells of a push what it is told to tell."""

    def __init__(self, images: Mapping[str, ImageDetails] | None = None, *, digest: str = "") -> None:
        self.held = images or {}
        self.digest = digest
        self.pushed: list[str] = []

    def has_image(self, reference: str, /) -> bool:
        return reference in self.held

    def inspect_image(self, reference: str, /) -> ImageDetails:
        return self.held[reference]

    def push_stream(self, reference: str, login: Credentials, /) -> JsonStream:
        assert login == Credentials(username=USER, secret=PASSWORD)
        self.pushed.append(reference)
        return streaming([{"status": f"1: digest: {self.digest} size: 1"}])


def details(image_id: str = "sha256:" + "1" * 64, *digests: str) -> ImageDetails:
    return ImageDetails(
        id=image_id,
        platform="linux/amd64",
        size_bytes=1,
        layers=(),
        labels={},
        environment=(),
        digest="",
        repository_digests=digests,
    )


def planned(*references: str) -> ImagePlan:
    return replace(data.image(data.fetched()), references=references)


def settings(environment: Mapping[str, str] = ENVIRONMENT, cache: Path = Path("/nowhere")) -> Settings:
    return Settings(models=Path("models.yaml"), version="1", environment={"XDG_CACHE_HOME": str(cache), **environment})


def prepare(*images: ImagePlan, environment: Mapping[str, str] = ENVIRONMENT, engine: Engine | None = None) -> str:
    """Find out whether `images` may be pushed, and return what was told meanwhile."""
    told = StringIO()
    console = Console(out=StringIO(), err=told)
    with publication.prepared(images, settings(environment), engine=engine or Engine(), console=console):
        return told.getvalue()


def refusal(prepared: Callable[[], object], kind: type[BuildImageError] = InputError) -> tuple[str, str | None]:
    with pytest.raises(kind) as caught:
        prepared()
    return caught.value.message, caught.value.hint


def put(upstream: Registry, repository: str, tag: str) -> str:
    """Store an image of nothing, and return its digest."""
    root, login = f"http://{upstream.host}/v2/{repository}", (USER, PASSWORD)
    config, digest = b"{}", EMPTY_ID
    begun = requests.post(f"{root}/blobs/uploads/", auth=login, timeout=10)
    requests.put(begun.headers["Location"], params={"digest": digest}, data=config, auth=login, timeout=10)
    blob = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": digest}
    content = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": blob, "layers": []})
    headers = {"Content-Type": MANIFEST_TYPE}
    stored = requests.put(f"{root}/manifests/{tag}", data=content, auth=login, headers=headers, timeout=10)
    assert stored.status_code == requests.codes.created, stored.text
    return stored.headers["Docker-Content-Digest"]


def test_every_repository_is_asked_once_before_a_build(relay: Relay) -> None:
    images = (planned(f"{relay.host}/one:1", f"{relay.host}/one:latest"), planned(f"{relay.host}/two:1"))
    assert prepare(*images) == ""
    begun = [seen.path for seen in relay.seen if (seen.method, seen.status) == ("POST", 202)]
    assert begun == ["/v2/one/blobs/uploads/", "/v2/two/blobs/uploads/"]


def test_a_name_without_a_registry_is_refused() -> None:
    assert refusal(lambda: prepare(planned("retrieval:latest"))) == (
        "`retrieval:latest` names no registry to push to",
        "set `images.retrieval.repository` to HOST/NAME, such as `registry.example.com/retrieval`",
    )


def test_one_password_is_not_sent_to_two_registries() -> None:
    images = (planned("a.example.com/app:1"), planned("b.example.com/app:1"))
    assert refusal(lambda: prepare(*images)) == (
        "REGISTRY_PASSWORD is for one registry, and these are a.example.com, b.example.com",
        "choose images of one registry with --image, or use `docker login` for each",
    )


def test_a_registry_that_does_not_answer_is_unreachable() -> None:
    host = f"127.0.0.1:{free_port()}"
    message, _ = refusal(lambda: prepare(planned(f"{host}/app:1")), UnreachableError)
    assert message == f"the registry `{host}` can't be reached: Connection refused"


def test_the_login_of_the_docker_config_is_used(relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {relay.host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert prepare(planned(f"{relay.host}/app:1"), environment={}) == ""


def test_a_credential_helper_that_hangs_is_named_before_the_registry_refuses(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-stuck"
    helper.write_text("#!/bin/sh\nexec sleep 1000\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "stuck"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(credentials, "look_up", functools.partial(credentials.look_up, helper_timeout_s=0.2))
    told = StringIO()
    console = Console(out=StringIO(), err=told)
    images = [planned(f"{relay.host}/app:1")]
    message, _ = refusal(
        lambda: publication.prepared(images, settings({}), engine=Engine(), console=console).__enter__()
    )
    assert message == f"`{relay.host}` wants a login to push to `app`"
    assert told.getvalue() == (
        f"warning: `docker-credential-stuck` did not answer within 0.2 s, so `{relay.host}` is asked without a login\n"
    )


def test_an_immutable_name_that_is_free_may_be_pushed(relay: Relay) -> None:
    name = f"{relay.host}/free:1"
    assert prepare(replace(planned(name), immutable=(name,))) == ""


def test_an_immutable_name_that_is_taken_is_refused_before_a_build(relay: Relay, upstream: Registry) -> None:
    digest, name = put(upstream, "taken", "1"), f"{relay.host}/taken:1"
    assert refusal(lambda: prepare(replace(planned(name), immutable=(name,)))) == (
        f"`{name}` is immutable, and the registry has {digest} there",
        "give the image another tag, or take this one out of `immutable`",
    )


def test_an_immutable_name_may_be_pushed_again_as_it_is(relay: Relay, upstream: Registry) -> None:
    digest, name = put(upstream, "same", "1"), f"{relay.host}/same:1"
    engine = Engine({name: details("sha256:1", f"{relay.host}/same@{digest}")})
    assert prepare(replace(planned(name), immutable=(name,)), engine=engine) == ""


@pytest.mark.parametrize("known", ["{host}/other@{digest}", "{host}/moved@sha256:0"])
def test_a_digest_of_another_repository_or_another_digest_does_not_count(
    relay: Relay, upstream: Registry, known: str
) -> None:
    digest, name = put(upstream, "moved", "1"), f"{relay.host}/moved:1"
    engine = Engine({name: details("sha256:1", known.format(host=relay.host, digest=digest))})
    message, _ = refusal(lambda: prepare(replace(planned(name), immutable=(name,)), engine=engine))
    assert message == f"`{name}` is immutable, and the registry has {digest} there"


def test_an_image_that_is_not_there_can_t_be_pushed(tmp_path: Path) -> None:
    images = [planned("host.example.com/app:1")]
    assert refusal(lambda: publication.tested_images(images, settings(cache=tmp_path), engine=Engine())) == (
        "the engine has no image `host.example.com/app:1`",
        "run `build-image --models models.yaml --push`, which builds, tests and pushes",
    )


def test_an_image_that_was_not_tested_can_t_be_pushed(tmp_path: Path) -> None:
    name = "host.example.com/app:1"
    engine = Engine({name: details()})
    message, _ = refusal(lambda: publication.tested_images([planned(name)], settings(cache=tmp_path), engine=engine))
    assert message == f"`{name}` is {details().id}, which has passed no smoke test of this program on this machine"


def test_an_image_that_was_tested_is_found_by_its_names(tmp_path: Path) -> None:
    name, asked = "host.example.com/app:1", settings(cache=tmp_path)
    tested.remember(asked, details().id, checks=["starts"])
    (found,) = publication.tested_images([planned(name)], asked, engine=Engine({name: details()}))
    assert (found.image_id, found.references, found.error) == (details().id, (name,), None)


def test_names_that_are_not_one_image_can_t_be_pushed_as_one(tmp_path: Path) -> None:
    names = ("host.example.com/app:1", "host.example.com/app:latest")
    engine = Engine({names[0]: details(), names[1]: details("sha256:2")})
    message, _ = refusal(lambda: publication.tested_images([planned(*names)], settings(cache=tmp_path), engine=engine))
    assert message == f"`{names[0]}` and `{names[1]}` are not the same image"


def publish(result: ImageResult, engine: Engine) -> tuple[ImageResult, str]:
    """Publish one image, and return how that went and what was told."""
    told = StringIO()
    console = Console(out=StringIO(), err=told)
    with publication.prepared([result.plan], settings(), engine=engine, console=console) as publisher:
        (published,) = publisher.publish([result], journal={})
    return published, told.getvalue()


def passed(name: str, image_id: str) -> ImageResult:
    return ImageResult(plan=planned(name), references=(name,), details=details(image_id))


@pytest.mark.parametrize("store", ["classic", "containerd"])
def test_what_the_registry_has_is_the_image_that_was_tested(relay: Relay, upstream: Registry, store: str) -> None:
    digest, name = put(upstream, "read-back", "1"), f"{relay.host}/read-back:1"
    result = passed(name, {"classic": EMPTY_ID, "containerd": digest}[store])
    published, _ = publish(result, Engine({name: result.details or details()}, digest=digest))
    assert (published.error, published.pushed) == (None, (Published(reference=name, digest=digest, size_bytes=2),))


def test_another_digest_than_the_engine_pushed_is_an_error(relay: Relay, upstream: Registry) -> None:
    digest, name, other = put(upstream, "another", "1"), f"{relay.host}/another:1", "sha256:" + "9" * 64
    published, said = publish(passed(name, EMPTY_ID), Engine({name: details(EMPTY_ID)}, digest=other))
    message = f"the engine pushed `{name}` as {other}, and the registry has {digest} there"
    assert (published.pushed, str(published.error), f"error: retrieval: {message}\n" in said) == ((), message, True)


def test_another_image_than_was_tested_is_an_error(relay: Relay, upstream: Registry) -> None:
    digest, name = put(upstream, "another", "1"), f"{relay.host}/another:1"
    published, _ = publish(passed(name, details().id), Engine({name: details()}, digest=digest))
    message = f"the registry has another image under `{name}` than was tested"
    assert (published.pushed, str(published.error)) == ((), message)


def test_a_name_that_another_run_has_taken_is_not_pushed(relay: Relay) -> None:
    name = f"{relay.host}/taken-over:1"
    engine = Engine({name: details("sha256:2")})
    published, _ = publish(passed(name, "sha256:1"), engine)
    assert (str(published.error), engine.pushed) == (
        f"`{name}` is another image by now than the one that was tested",
        [],
    )
