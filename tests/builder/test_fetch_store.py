"""What a download leaves behind for the next one, and what the next one makes of it."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.builder.fetch_stage import CHECK_BYTES, COMMIT, FILES, LARGE, REPOSITORY, TOKEN, Stage, repositories
from tests.support.hub_server import BodyFault, HubServer

LARGE_PATH = f"/content-network/{REPOSITORY}/{LARGE}"
RIGHT = {path: (False, content) for path, content in FILES.items()}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with HubServer(repositories(tmp_path), token=TOKEN) as server:
        yield Stage(directory=tmp_path, servers=(server,))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def kept(stage: Stage) -> dict[str, bytes]:
    """Return what the store holds."""
    return {path.name: path.read_bytes() for path in stage.store.iterdir()}


def whole(*contents: bytes) -> dict[str, bytes]:
    """Return what a store holds that has `contents` and nothing else."""
    return {"lock": b"", **{sha256(content): content for content in contents}}


def asked(server: HubServer) -> list[tuple[str, str | None]]:
    """Return the files that were asked for, and from which byte on."""
    prefix = f"/{REPOSITORY}/resolve/{COMMIT}/"
    return [
        (request.path.removeprefix(prefix), request.range)
        for request in server.requests
        if request.path.startswith(prefix)
    ]


def leave(stage: Stage, name: str, content: bytes) -> None:
    """Put a file into the store, as an earlier download might have."""
    stage.store.mkdir(exist_ok=True)
    (stage.store / name).write_bytes(content)


def change(stage: Stage, path: str, content: bytes) -> None:
    (stage.directory / "hub" / REPOSITORY / path).write_bytes(content)


def test_a_download_keeps_each_file_under_its_digest(stage: Stage) -> None:
    stage.fetch(*FILES)
    assert kept(stage) == whole(*FILES.values())


def test_what_is_kept_is_copied_and_nobody_is_asked(stage: Stage) -> None:
    stage.fetch(*FILES)
    shutil.rmtree(stage.snapshot)
    stage.server.requests.clear()
    run = stage.fetch(*FILES)
    *lines, last = run.output.splitlines()
    assert (run.code, run.found(), stage.server.requests) == (0, RIGHT, [])
    assert lines[1:] == ["  config.json  2 B, kept", "  onnx/model.onnx  5 B, kept", f"  {LARGE}  1.28 MB, kept"]
    assert last.startswith("fetched 0 B of 1.28 MB in ")


def test_of_another_revision_only_the_changed_files_are_fetched_and_kept(stage: Stage) -> None:
    stage.fetch(*FILES)
    change(stage, "config.json", b"[]")
    stage.server.requests.clear()
    run = stage.fetch(*FILES)
    assert (run.code, run.found()) == (0, {**RIGHT, "config.json": (False, b"[]")})
    assert asked(stage.server) == [("config.json", None)]
    assert kept(stage) == whole(b"[]", FILES["onnx/model.onnx"], FILES[LARGE])


def test_a_kept_file_with_other_bytes_is_never_copied(stage: Stage) -> None:
    leave(stage, sha256(FILES["config.json"]), b"[]")
    run = stage.fetch("config.json")
    assert (run.found(), kept(stage)) == ({"config.json": (False, b"{}")}, whole(b"{}"))


def test_a_file_that_two_paths_share_is_fetched_once(stage: Stage) -> None:
    change(stage, "onnx/model.onnx", FILES["config.json"])
    run = stage.fetch("config.json", "onnx/model.onnx")
    assert run.found() == {"config.json": (False, b"{}"), "onnx/model.onnx": (False, b"{}")}
    assert asked(stage.server) == [("config.json", None)]


def test_a_failure_drops_nothing_of_an_earlier_revision(stage: Stage) -> None:
    stage.fetch("config.json")
    stage.server.fail(404)
    stage.refused("onnx/model.onnx")
    assert kept(stage)[sha256(FILES["config.json"])] == FILES["config.json"]


# A download that was cut off.


def test_a_killed_download_is_resumed_by_the_next_one(stage: Stage) -> None:
    stage.server.inject(BodyFault(sent_bytes=500_000), path=LARGE_PATH)
    with stage.start(*FILES, retry_wait_s=100) as process:
        assert process.stdout is not None
        waits = any("retry 1 of 5 in 100 s, at 500 kB of 1.28 MB" in line for line in process.stdout)
        process.kill()
    left = {
        **whole(FILES["config.json"], FILES["onnx/model.onnx"]),
        f"{sha256(FILES[LARGE])}.partial": FILES[LARGE][:500_000],
    }
    assert (waits, kept(stage)) == (True, left)
    stage.server.requests.clear()
    run = stage.fetch(*FILES)
    assert (run.code, run.found(), kept(stage)) == (0, RIGHT, whole(*FILES.values()))
    assert asked(stage.server) == [(LARGE, "bytes=500000-")]
    assert run.output.splitlines()[3:5] == [f"  {LARGE}  500 kB of 1.28 MB are there", f"  {LARGE}  1.28 MB"]
    assert run.output.splitlines()[-1].startswith("fetched 780 kB of 1.28 MB in ")


def test_a_partial_file_with_other_bytes_is_fetched_again_from_its_beginning(stage: Stage) -> None:
    leave(stage, f"{sha256(FILES[LARGE])}.partial", bytes(500_000))
    run = stage.fetch(LARGE)
    assert (run.code, run.found()) == (0, {LARGE: RIGHT[LARGE]})
    assert asked(stage.server) == [(LARGE, "bytes=500000-"), (LARGE, None)]
    assert f"  {LARGE}  what was there is damaged; beginning again" in run.output.splitlines()


def test_a_partial_file_that_is_too_long_is_fetched_again_from_its_beginning(stage: Stage) -> None:
    leave(stage, f"{sha256(FILES['config.json'])}.partial", b"{} ")
    assert stage.fetch("config.json").found() == {"config.json": RIGHT["config.json"]}
    assert asked(stage.server) == [("config.json", None)]


def test_a_partial_file_that_lacks_nothing_needs_no_request(stage: Stage) -> None:
    leave(stage, f"{sha256(FILES[LARGE])}.partial", FILES[LARGE])
    assert stage.fetch(LARGE).found() == {LARGE: RIGHT[LARGE]}
    assert stage.server.requests == []


def test_a_hub_that_has_less_than_had_arrived_is_blamed_for_its_bytes(stage: Stage) -> None:
    arrived = FILES[LARGE][:500_000]
    leave(stage, f"{sha256(FILES[LARGE])}.partial", arrived)
    lock = {"size": len(FILES[LARGE]), "sha256": sha256(FILES[LARGE])}
    change(stage, LARGE, b"short")
    blame = f"the Hub at {stage.server.endpoint}, or something between, sent other bytes"
    assert stage.refused(LARGE, **lock) == [
        f"error: `{LARGE}` of `{REPOSITORY}` has another size than 1280000 bytes (5 arrived): {blame}",
        f"hint: {CHECK_BYTES}",
    ]


def test_wrong_bytes_are_not_what_the_next_download_goes_on_from(stage: Stage) -> None:
    stage.server.inject(BodyFault(is_corrupt=True), path=LARGE_PATH)
    stage.refused(LARGE)
    stage.server.requests.clear()
    assert stage.fetch(LARGE).found() == {LARGE: RIGHT[LARGE]}
    assert asked(stage.server) == [(LARGE, None)]


def test_a_mirror_goes_on_where_the_hub_gave_up(tmp_path: Path) -> None:
    directory = repositories(tmp_path)
    with ExitStack() as stack:
        hub, mirror = (stack.enter_context(HubServer(directory)) for _ in range(2))
        hub.inject(BodyFault(sent_bytes=500_000), path=LARGE_PATH)
        hub.inject(BodyFault(sent_bytes=0), path=LARGE_PATH, times=None)
        run = Stage(directory=tmp_path, servers=(hub, mirror)).fetch(LARGE)
        assert (run.found(), asked(mirror)) == ({LARGE: RIGHT[LARGE]}, [(LARGE, "bytes=500000-")])


# Two downloads at once.


def test_a_second_download_of_a_model_waits_for_the_first_and_takes_over_from_one_that_is_killed(stage: Stage) -> None:
    stage.server.inject(BodyFault(sent_bytes=500_000), path=LARGE_PATH)
    stage.server.inject(BodyFault(sent_bytes=0, is_silent=True), path=LARGE_PATH)
    with stage.start(LARGE) as first:
        assert first.stdout is not None
        assert any("at 500 kB of 1.28 MB" in line for line in first.stdout)
        with stage.start(LARGE) as second:
            assert second.stdout is not None
            said = second.stdout.readline()
            first.kill()
            output, errors = second.communicate()
    assert said == "another download of this model is under way; waiting for it\n"
    assert (second.returncode, errors, (stage.snapshot / LARGE).read_bytes() == FILES[LARGE]) == (0, "", True)
    assert f"  {LARGE}  500 kB of 1.28 MB are there" in output.splitlines()


# The disk.


@pytest.fixture
def small_store(stage: Stage) -> Iterator[None]:
    """Give the store room for a megabyte."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk needs root")
    stage.store.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", stage.store], check=True)
    yield
    subprocess.run(["umount", stage.store], check=True)


@pytest.mark.usefixtures("small_store")
def test_a_full_store_says_how_many_bytes_are_needed_and_keeps_what_it_has(stage: Stage) -> None:
    assert stage.refused(*FILES) == [
        f"error: no space left for `{LARGE}` of `{REPOSITORY}`: "
        "it needs 1280000 bytes, and all files of the model 1280007",
        "hint: free space on the disk of the Docker Engine: `docker system df` shows what takes it",
    ]
    assert set(kept(stage)) == {
        *whole(FILES["config.json"], FILES["onnx/model.onnx"]),
        f"{sha256(FILES[LARGE])}.partial",
    }


def test_a_store_that_can_not_be_written_is_told(stage: Stage) -> None:
    stage.store.write_text("a file")
    assert stage.refused("config.json") == [
        f"error: `{stage.store}` can't be written: File exists",
        "hint: check that disk; in a build it is the Docker Engine's",
    ]
