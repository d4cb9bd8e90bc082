import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from templates.stages.fetch_request import readable
from tests.builder.fetch_stage import (
    CHECK_BYTES,
    COMMIT,
    FILES,
    GATED,
    LARGE,
    REPOSITORY,
    TOKEN,
    TRY_LATER,
    Stage,
    repositories,
)
from tests.support.hub_server import BodyFault, Failure, HubServer

LARGE_PATH = f"/content-network/{REPOSITORY}/{LARGE}"
CHECK_NETWORK = "check the network, HF_ENDPOINT and HTTPS_PROXY; behind a TLS-inspecting proxy pass its --ca-bundle"
CHOOSE_ANOTHER = "its history was rewritten: choose another commit with `build-image lock --upgrade MODEL`"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with HubServer(repositories(tmp_path), token=TOKEN, gated=[GATED]) as server:
        yield Stage(directory=tmp_path, servers=(server,))


def ranges(server: HubServer) -> list[str | None]:
    """Return the ranges in which the large file was asked for."""
    return [request.range for request in server.requests if request.path == LARGE_PATH]


def test_exactly_the_files_asked_for_arrive_as_real_files(stage: Stage) -> None:
    run = stage.fetch(*FILES)
    assert (run.code, run.errors) == (0, "")
    assert run.found() == {path: (False, content) for path, content in FILES.items()}


def test_nothing_else_is_left_in_the_snapshot(stage: Stage) -> None:
    run = stage.fetch("config.json")
    assert list(run.directory.iterdir()) == [run.directory / "config.json"]


def test_each_file_is_one_line_with_its_size_and_the_last_says_that_all_are_verified(stage: Stage) -> None:
    *lines, last = stage.fetch(*FILES).output.splitlines()
    assert lines == [
        f"fetching 3 files of {REPOSITORY} at {COMMIT} from {stage.server.endpoint}",
        "  config.json  2 B",
        "  onnx/model.onnx  5 B",
        f"  {LARGE}  1.28 MB",
    ]
    assert last.startswith("fetched 1.28 MB in ")
    assert last.endswith(" s; sizes and sha256 verified")


def test_the_token_reaches_the_hub_alone_and_is_not_printed(stage: Stage) -> None:
    run = stage.fetch("onnx/model.onnx")
    path = f"/{REPOSITORY}/resolve/{COMMIT}/onnx/model.onnx"
    content_path = f"/content-network/{REPOSITORY}/onnx/model.onnx"
    asked = [(request.method, request.path, request.authorized) for request in stage.server.requests]
    assert asked == [("GET", path, True), ("GET", content_path, False)]
    assert TOKEN not in run.output + run.errors


def test_a_public_model_needs_no_token(stage: Stage) -> None:
    stage.server.token = None
    run = stage.fetch("config.json", token=None)
    assert (run.code, [request.authorized for request in stage.server.requests]) == (0, [False])


def test_what_the_hub_keeps_in_xet_comes_over_plain_http(stage: Stage) -> None:
    stage.server.has_xet = True
    run = stage.fetch(LARGE)
    assert run.found() == {LARGE: (False, FILES[LARGE])}
    assert [request.path for request in stage.server.requests] == [
        f"/{REPOSITORY}/resolve/{COMMIT}/{LARGE}",
        LARGE_PATH,
    ]


def test_an_empty_file_is_fetched(stage: Stage) -> None:
    (stage.directory / "hub" / REPOSITORY / "config.json").write_bytes(b"")
    assert stage.fetch("config.json").found() == {"config.json": (False, b"")}


# What a repository says no to.


def test_an_unknown_repository_says_what_to_check(stage: Stage) -> None:
    assert stage.refused("config.json", repo="example/absent") == [
        f"error: the Hub at {stage.server.endpoint} has no repository `example/absent` for this account",
        "hint: check `repo`; a private repository needs a token that may read it in HF_TOKEN",
    ]


def test_a_private_repository_without_a_token_says_what_to_check(stage: Stage) -> None:
    assert stage.refused("config.json", token=None) == [
        f"error: the Hub at {stage.server.endpoint} has no repository `{REPOSITORY}` for this account",
        "hint: check `repo`; a private repository needs a token that may read it in HF_TOKEN",
    ]


def test_a_gated_repository_names_the_page_of_its_licence(stage: Stage) -> None:
    hub = stage.server.endpoint
    assert stage.refused("config.json", repo=GATED) == [
        f"error: `{GATED}` is gated: the Hub at {hub} gives it to accounts that accepted its licence",
        f"hint: accept the licence at {hub}/{GATED}, then set a token of that account as HF_TOKEN",
    ]


def test_a_token_that_may_not_read_says_so(stage: Stage) -> None:
    stage.server.fail(403)
    assert stage.refused("config.json") == [
        f"error: the Hub at {stage.server.endpoint} refuses to give `{REPOSITORY}` to this account",
        "hint: check the token that is set as HF_TOKEN",
    ]


def test_a_token_that_is_wrong_is_told_and_not_printed(stage: Stage) -> None:
    lines = stage.refused("config.json", token="hf_wrong")
    assert lines == [
        f"error: the Hub at {stage.server.endpoint} refuses to give `{REPOSITORY}` to this account",
        "hint: check the token that is set as HF_TOKEN",
    ]


def test_what_is_no_hub_is_told_by_its_status(stage: Stage) -> None:
    stage.server.fail(404)
    assert stage.refused("config.json") == [
        f"error: the Hub at {stage.server.endpoint} answers HTTP 404 for `{REPOSITORY}`",
        "hint: check `repo` and HF_ENDPOINT",
    ]


def test_a_file_that_is_gone_is_named(stage: Stage) -> None:
    assert stage.refused("absent.json") == [
        f"error: `{REPOSITORY}` has no file `absent.json` any more at the Hub at {stage.server.endpoint}",
        f"hint: {CHOOSE_ANOTHER}",
    ]


def test_a_revision_that_a_force_push_took_away_is_named(stage: Stage) -> None:
    stage.server.gone.add(COMMIT)
    assert stage.refused("config.json") == [
        f"error: `{REPOSITORY}` has no revision `{COMMIT}` any more at the Hub at {stage.server.endpoint}",
        f"hint: {CHOOSE_ANOTHER}",
    ]


def test_a_token_that_no_header_can_hold_is_not_printed(stage: Stage) -> None:
    assert stage.refused("config.json", token=f"{TOKEN}\nsecond line") == [
        "error: the Hub token holds characters that can't be sent",
        "hint: check HF_TOKEN",
    ]


def test_an_endpoint_that_is_no_address_is_told(stage: Stage) -> None:
    stage.environment["HF_ENDPOINT"] = "hub.example.com"
    assert stage.refused("config.json") == [
        "error: HF_ENDPOINT is not a web address: `hub.example.com`",
        "hint: set HF_ENDPOINT to addresses such as https://hub.example.com, or unset it",
    ]


def test_offline_mode_is_told(stage: Stage) -> None:
    stage.environment["HF_HUB_OFFLINE"] = "1"
    assert stage.refused("config.json") == [
        f"error: `{REPOSITORY}` is on the Hub, but the environment forbids its use",
        "hint: unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
    ]


# What passes by itself.


def test_a_server_error_is_retried_and_told_in_the_log(stage: Stage) -> None:
    stage.server.fail(503, times=2)
    run = stage.fetch("config.json")
    said = f"  the Hub at {stage.server.endpoint} answers HTTP 503 for `{REPOSITORY}`"
    assert (run.code, run.output.splitlines()[1:3]) == (
        0,
        [f"{said}; retry 1 of 5 in 0.001 s, at 0 B of 2 B", f"{said}; retry 2 of 5 in 0.002 s, at 0 B of 2 B"],
    )


def test_a_server_error_that_stays_ends_the_download(stage: Stage) -> None:
    stage.server.fail(503, times=100)
    assert stage.refused("config.json") == [
        f"error: the Hub at {stage.server.endpoint} answers HTTP 503 for `{REPOSITORY}`",
        f"hint: {TRY_LATER}",
    ]
    assert len(stage.server.requests) == 6


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {"RateLimit": '"api";r=0;t=1'}])
def test_a_rate_limit_is_waited_for_as_long_as_the_hub_says(stage: Stage, headers: Mapping[str, str]) -> None:
    stage.server.fail(429, headers=headers)
    run = stage.fetch("config.json")
    said = f"  the Hub at {stage.server.endpoint} limits the rate of requests and asks for a pause of 1 s"
    assert (run.code, run.output.splitlines()[1]) == (0, f"{said}; retry 1 of 5 in 1 s, at 0 B of 2 B")


def test_a_rate_limit_that_would_last_long_is_not_waited_for(stage: Stage) -> None:
    stage.server.fail(429, headers={"Retry-After": "3600"})
    hub = f"the Hub at {stage.server.endpoint}"
    assert stage.refused("config.json") == [
        f"error: {hub} limits the rate of requests and asks for a pause of 3600 s",
        "hint: try again later; the Hub allows more requests with a token, set as HF_TOKEN",
    ]


def test_a_dropped_connection_goes_on_where_it_broke_off(stage: Stage) -> None:
    stage.server.inject(BodyFault(sent_bytes=500_000), path=LARGE_PATH)
    run = stage.fetch(LARGE)
    assert run.found() == {LARGE: (False, FILES[LARGE])}
    assert ranges(stage.server) == [None, "bytes=500000-"]
    assert "retry 1 of 5 in 0.001 s, at 500 kB of 1.28 MB" in run.output


def test_a_reset_connection_is_resumed(stage: Stage) -> None:
    stage.server.inject(BodyFault(sent_bytes=500_000, is_reset=True), path=LARGE_PATH)
    run = stage.fetch(LARGE)
    assert (run.code, run.found()) == (0, {LARGE: (False, FILES[LARGE])})


def test_a_download_from_a_server_without_ranges_starts_again(stage: Stage) -> None:
    stage.server.has_ranges = False
    stage.server.inject(BodyFault(sent_bytes=500_000), path=LARGE_PATH)
    assert stage.fetch(LARGE).found() == {LARGE: (False, FILES[LARGE])}


def test_a_server_that_always_drops_the_connection_is_given_up(stage: Stage) -> None:
    stage.server.has_ranges = False
    stage.server.inject(BodyFault(sent_bytes=500_000), path=LARGE_PATH, times=None)
    reason = "peer closed connection without sending complete message body (received 500000 bytes, expected 1280000)"
    assert stage.refused(LARGE) == [
        f"error: `{LARGE}` can't be fetched from localhost, for the Hub at {stage.server.endpoint}: {reason}",
        f"hint: {CHECK_NETWORK}",
    ]
    assert len(ranges(stage.server)) == 6


def test_an_address_that_has_run_out_is_replaced_by_a_new_one(stage: Stage) -> None:
    stage.server.inject(Failure(status=403), path=LARGE_PATH)
    run = stage.fetch(LARGE)
    assert run.found() == {LARGE: (False, FILES[LARGE])}
    assert [request.path for request in stage.server.requests] == [
        *(f"/{REPOSITORY}/resolve/{COMMIT}/{LARGE}", LARGE_PATH) * 2
    ]


def test_a_blocked_content_network_is_named(stage: Stage) -> None:
    stage.server.inject(Failure(status=403), path=LARGE_PATH, times=None)
    assert stage.refused(LARGE) == [
        f"error: localhost, for the Hub at {stage.server.endpoint} answers HTTP 403 for `{REPOSITORY}`",
        f"hint: {TRY_LATER}",
    ]


def test_a_closed_port_is_told_without_the_credentials_of_its_address(stage: Stage) -> None:
    with HubServer(stage.directory / "hub") as closed:
        port = closed.port
    stage.environment["HF_ENDPOINT"] = f"http://user:secret@127.0.0.1:{port}"
    reason = "[Errno 111] Connection refused"
    assert stage.refused("config.json") == [
        f"error: `config.json` can't be fetched from the Hub at http://127.0.0.1:{port}: {reason}",
        f"hint: {CHECK_NETWORK}",
    ]


# Bytes that are not those of the lock.


@pytest.mark.parametrize("path", FILES)
def test_other_bytes_of_the_same_size_are_refused_with_both_digests(stage: Stage, path: str) -> None:
    stage.server.inject(BodyFault(is_corrupt=True), path=f"*/{path}", times=None)
    content = FILES[path]
    actual = hashlib.sha256(bytes([content[0] ^ 1]) + content[1:]).hexdigest()
    digests = f"the sha256 {actual}, not {hashlib.sha256(content).hexdigest()}"
    blame = f"the Hub at {stage.server.endpoint}, or something between, sent other bytes"
    assert stage.refused(*FILES) == [
        f"error: `{path}` of `{REPOSITORY}` has {digests}: {blame}",
        f"hint: {CHECK_BYTES}",
    ]


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b""])
def test_another_size_is_refused(stage: Stage, body: bytes) -> None:
    stage.server.inject(BodyFault(replacement=body), path="*/config.json")
    blame = f"the Hub at {stage.server.endpoint}, or something between, sent other bytes"
    difference = f"another size than 2 bytes ({len(body)} arrived)"
    assert stage.refused("config.json") == [
        f"error: `config.json` of `{REPOSITORY}` has {difference}: {blame}",
        f"hint: {CHECK_BYTES}",
    ]


def test_a_body_without_end_is_not_read_to_its_end(stage: Stage) -> None:
    stage.server.inject(BodyFault(replacement=bytes(50_000_000)), path="*/config.json")
    (error, _) = stage.refused("config.json")
    arrived = int(error.partition("(")[2].partition(" arrived")[0])
    assert arrived < 1_000_000


def test_bytes_that_changed_between_two_parts_are_refused(stage: Stage) -> None:
    stage.server.inject(BodyFault(sent_bytes=500_000, is_corrupt=True), path=LARGE_PATH)
    (error, _) = stage.refused(LARGE)
    assert error.startswith(f"error: `{LARGE}` of `{REPOSITORY}` has the sha256 ")


# The disk.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for a megabyte."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk needs root")
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_full_disk_says_how_many_bytes_are_needed(stage: Stage, small_disk: Path) -> None:
    assert stage.refused(*FILES, snapshot=small_disk) == [
        f"error: no space left for `{LARGE}` of `{REPOSITORY}`: "
        "it needs 1280000 bytes, and all files of the model 1280007",
        "hint: free space on the disk of the Docker Engine: `docker system df` shows what takes it",
    ]


def test_a_folder_that_can_not_be_written_is_told(stage: Stage) -> None:
    (stage.directory / "out").write_text("a file")
    assert stage.refused("config.json") == [
        f"error: `config.json` of `{REPOSITORY}` can't be written: Not a directory",
        "hint: check that disk; in a build it is the Docker Engine's",
    ]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (1_234_521_088, "1.23 GB"), (5e12, "5e+03 GB")]
)
def test_sizes_are_written_as_people_read_them(size: float, text: str) -> None:
    assert readable(size) == text
