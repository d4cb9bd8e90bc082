"""What buildx says, as errors of ours: `docker` is a script here that says it; `tests/engine` runs the real one."""

from pathlib import Path

import pytest

from builder import buildx, context
from builder.buildkit import Cancellation
from builder.buildx import BuildxRequest
from builder.errors import BuildFailedError, FailedError, InputError, UnreachableError
from tests.builder import data

INSTALL = "install Docker's command with its buildx plugin, 0.13 or newer: on Debian docker-cli and docker-buildx"
IMAGE = data.image(data.fetched())


class NoImages:
    """An engine that got nothing."""

    def image_id(self, _: str, /) -> str:
        return ""


def saying(folder: Path, script: str) -> dict[str, str]:
    """Return an environment in which `docker` is a shell script."""
    (folder / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "docker").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def build(environment: dict[str, str], *, builder: str = "far") -> str:
    request = BuildxRequest(
        builder=builder,
        image=IMAGE,
        context=context.assemble({"Dockerfile": b"FROM scratch\n"}),
        environment=environment,
        secrets={"hf_token": b"hf_secret", "ca_bundle": b"certificates"},
    )
    return buildx.build(request, store=NoImages(), on_event=lambda _: None, cancellation=Cancellation())


def test_without_the_docker_command_it_is_named_with_its_packages(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        buildx.check("far", environment={"PATH": str(tmp_path)})
    assert caught.value.message == "`--builder` needs the command `docker`, which is not installed"
    assert caught.value.hint == INSTALL


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (
            "docker: 'buildx' is not a docker command.",
            InputError,
            "`--builder` needs `docker buildx`, which is not installed",
        ),
        ('ERROR: no builder "far" found', InputError, '`far` is no builder: no builder "far" found'),
        (
            "ERROR: Cannot connect to the Docker daemon at tcp://far:1.",
            UnreachableError,
            "the builder `far` can't be reached: Cannot connect to the Docker daemon at tcp://far:1.",
        ),
    ],
)
def test_a_builder_that_can_t_be_had_is_told_before_the_build(
    said: str, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    environment = saying(tmp_path, f"cat >&2 <<'END'\n{said}\nEND\nexit 1")
    with pytest.raises(kind) as caught:
        buildx.check("far", environment=environment)
    assert str(caught.value) == message


def test_a_builder_that_is_there_is_fine(tmp_path: Path) -> None:
    buildx.check("far", environment=saying(tmp_path, "exit 0"))


@pytest.mark.parametrize("version", ["v0.17.0 abc", "v1.0.0 abc"])
def test_a_buildx_that_heeds_the_network_is_fine(version: str, tmp_path: Path) -> None:
    environment = saying(tmp_path, f"echo github.com/docker/buildx {version}")
    buildx.check("far", environment=environment, network_mode="host")


def test_a_buildx_that_does_not_heed_the_network_is_refused_where_that_matters(tmp_path: Path) -> None:
    environment = saying(tmp_path, "echo github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3")
    buildx.check("far", environment=environment)
    with pytest.raises(InputError) as caught:
        buildx.check("far", environment=environment, network_mode="host")
    told = "this buildx does not heed `--build-network`: github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3"
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: target retrieval: failed to solve: nothing", BuildFailedError),
        ("ERROR: dial tcp 10.0.0.1:1234: connect: connection refused", UnreachableError),
        ("ERROR: invalid progress mode rawjson", BuildFailedError),
    ],
)
def test_what_ends_a_build_is_told_in_buildx_s_words(said: str, kind: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(kind) as caught:
        build(saying(tmp_path, f"echo '#1 [internal] load'>&2; echo '{said}' >&2; exit 1"))
    assert said.removeprefix("ERROR: ") in str(caught.value)


def test_an_image_that_does_not_come_to_the_engine_is_not_taken_for_tested(tmp_path: Path) -> None:
    metadata = '{"retrieval": {"containerimage.digest": "sha256:1"}}'
    with pytest.raises(FailedError) as caught:
        build(saying(tmp_path, f"echo '{metadata}' >metadata.json"))
    assert caught.value.message == "`far` has built sha256:1, and this engine did not get it"


def test_secrets_are_in_the_environment_and_in_files_of_the_folder_and_never_in_the_bake_file(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"""\
{{ printf '%s %s %s ' "$HF_TOKEN" "$BUILD_IMAGE_CA_BUNDLE" "[$BUILD_IMAGE_PIP_CONF]"; cat ca_bundle; echo
stat --format '%a' .; grep -c 'hf_secret\\|certificates' docker-bake.json; }} >{seen}
echo '{{}}' >metadata.json"""
    with pytest.raises(FailedError):
        build(saying(tmp_path, script))
    assert seen.read_text() == "hf_secret ca_bundle [] certificates\n700\n0\n"


def test_a_cancelled_build_is_an_interrupt(tmp_path: Path) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(KeyboardInterrupt):
        buildx.build(
            BuildxRequest(
                builder="far",
                image=IMAGE,
                context=context.assemble({"Dockerfile": b""}),
                environment=saying(tmp_path, "exec sleep 60"),
            ),
            store=NoImages(),
            on_event=lambda _: None,
            cancellation=cancellation,
        )
