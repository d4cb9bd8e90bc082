import os
from uuid import uuid4

import pytest

from builder import reference
from builder.buildkit import BuildRequest, build
from builder.context import assemble
from builder.engine import ContainerOptions, Engine, ExecResult
from builder.errors import FailedError
from builder.trace import Event

pytestmark = pytest.mark.engine

SLEEPING = ContainerOptions(image="debian:bookworm-slim", command=["sleep", "60"])


def ignore(_: Event) -> None:
    """Take an event that the test does not look at."""


def scratch_image(engine: Engine) -> str:
    """Build an image with nothing in it, and return its id."""
    context = assemble({"Dockerfile": f"FROM scratch\nLABEL run={uuid4().hex}\n".encode()})
    return build(engine, BuildRequest(context=context, shared_key="tests"), on_event=ignore)


def test_a_tag_leads_to_its_image_until_that_is_removed(engine: Engine) -> None:
    name = f"registry.example.com/test/{uuid4().hex}:tag"
    image = scratch_image(engine)
    engine.tag(image, name)
    tagged = engine.inspect_image(name).id
    engine.remove_image(name)
    assert (tagged, engine.has_image(name), engine.has_image(image)) == (image, False, False)


@pytest.mark.parametrize("spelling", ["{}:1", "index.docker.io/{}:1", "team/{}:1", "localhost/{}:1", "Host/{}:1"])
def test_a_name_is_spelled_out_as_the_engine_does(engine: Engine, spelling: str) -> None:
    name = spelling.format(uuid4().hex)
    image = scratch_image(engine)
    engine.tag(image, name)
    found = engine.image_id(reference.spelled_out(name))
    engine.remove_image(image)
    assert found == image


def test_an_image_that_is_not_there_fails_without_an_address(engine: Engine) -> None:
    with pytest.raises(FailedError) as caught:
        engine.inspect_image("absent:tag")
    assert caught.value.message == "cannot inspect `absent:tag`: No such image: absent:tag"


def test_a_container_is_locked_down(engine: Engine) -> None:
    command = ["sh", "-c", "id -u; id -g; grep CapEff /proc/self/status; touch /file"]
    with engine.run_container(SLEEPING) as container:
        shown = container.exec(command)
        assert (shown.exit_code, shown.stdout, container.state().status, container.changes()) == (
            1,
            b"12345\n0\nCapEff:\t0000000000000000\n",
            "running",
            (),
        )


def test_a_command_in_a_container_reads_its_input(engine: Engine) -> None:
    content = os.urandom(200_000)
    with engine.run_container(SLEEPING) as container:
        assert container.exec(["cat"], stdin=content) == ExecResult(exit_code=0, stdout=content, stderr=b"")


def test_a_command_that_says_nothing_is_given_up(engine: Engine) -> None:
    silence = pytest.raises(FailedError, match=r"`sleep 59` said nothing for 0\.1 s")
    with engine.run_container(SLEEPING) as container, silence:
        container.exec(["sleep", "59"], timeout_s=0.1)


def test_what_a_container_writes_is_told(engine: Engine) -> None:
    options = ContainerOptions(image="debian:bookworm-slim", command=["sleep", "60"], user="0:0", read_only=False)
    with engine.run_container(options) as container:
        container.exec(["touch", "/file"])
        assert container.changes() == ("A /file",)


def test_a_container_that_ran_out_of_memory_says_so(engine: Engine) -> None:
    command = ["sh", "-c", "echo starting; held=$(yes | head -c 100000000)"]
    options = ContainerOptions(image="debian:bookworm-slim", command=command, memory_bytes=20_000_000)
    with engine.run_container(options) as container:
        while container.state().status == "running":
            pass
        state = container.state()
        assert (state.exit_code, state.oom_killed, container.logs()) == (137, True, ("starting",))


def test_a_container_is_removed_after_a_failure(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.run_container(SLEEPING) as container:
        raise ZeroDivisionError
    with pytest.raises(FailedError, match="No such container"):
        container.state()


def test_killing_a_container_that_has_ended_is_fine(engine: Engine) -> None:
    with engine.run_container(SLEEPING) as container:
        container.kill()
        container.kill()
        assert container.state().exit_code == 137
