import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

import pytest

from builder import bundle, verification
from builder.api import ImageDetails
from builder.errors import FailedError, InputError
from builder.lock import Lock, LockedFile, LockedModel, OutdatedModel
from builder.verification import ExpectedModel, FoundFile, Verdict
from tests.builder import data
from tests.builder.optimized import OPTIMIZATION

CONTENT = {"config.json": b"{}", "onnx/model.onnx": b"weights"}
SNAPSHOT = f"/opt/hf-cache/hub/models--example--reranker/snapshots/{data.COMMIT}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def locked(content: bytes) -> LockedFile:
    return LockedFile(size_bytes=len(content), sha256=sha256(content), blob_id="b" * 40, is_large=False)


MODEL: LockedModel = replace(data.fetched(), files={path: locked(content) for path, content in CONTENT.items()})


def whole() -> dict[str, bytes]:
    """The files of an image that holds MODEL as it was locked, by their absolute paths."""
    beside = {f"/opt/hf-cache/{path}": content for path, content in MODEL.cache_files.items()}
    return {**beside, **{f"{SNAPSHOT}/{path}": content for path, content in CONTENT.items()}}


def verdict(files: Mapping[str, bytes]) -> Verdict:
    found = {
        path: FoundFile(path=path, sha256=sha256(content), size_bytes=len(content)) for path, content in files.items()
    }
    return verification.judge(verification.of_model(MODEL), found)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldImage:
    """An engine with one image of these files."""

    files: Mapping[str, bytes]

    def inspect_image(self, _: str, /) -> ImageDetails:
        raise NotImplementedError

    @contextmanager
    def archive(self, _: str, path: str, /) -> Iterator[BinaryIO]:
        parent = f"{path.rpartition('/')[0]}/"
        held = {name: content for name, content in self.files.items() if name == path or name.startswith(f"{path}/")}
        yield io.BytesIO(archive({name.removeprefix(parent): content for name, content in held.items()}))


def overlaid(graph: str | None, **changes: bytes) -> tuple[str, ...]:
    """Return what does not match in an image whose model was optimised, and then changed."""
    model = replace(MODEL, optimization=OPTIMIZATION)
    place = f"/opt/hf-cache/optimized/models--example--reranker/{data.COMMIT}/reranker"
    listed = {"model.onnx": {"size_bytes": 7, "sha256": sha256(b"derived")}} if graph else {}
    derived = json.dumps({"graph": graph, "files": listed}).encode()
    files = {**whole(), f"{place}/derived.json": derived}
    if graph:
        del files[f"{SNAPSHOT}/onnx/model.onnx"]
        files |= {f"/opt/hf-cache/{path}": text for path, text in model.optimized_cache_files.items()}
        files[f"{place}/model.onnx"] = b"derived"
    files |= {f"{place}/{name.replace('__', '.')}": content for name, content in changes.items()}
    (found,) = verification.verify(HeldImage(files=files), "i", [verification.of_model(model)])
    return found.mismatches


def test_a_derived_graph_stands_for_the_one_that_was_locked() -> None:
    assert overlaid("model.onnx") == ()


def test_where_no_graph_was_derived_the_one_that_was_locked_has_to_be_there() -> None:
    assert overlaid(None) == ()


def test_a_derived_graph_that_is_not_as_the_build_wrote_it_is_told() -> None:
    (line,) = overlaid("model.onnx", model__onnx=b"damaged")
    assert line.endswith(f"has sha256 {sha256(b'damaged')}, and {sha256(b'derived')} was locked")


def test_a_file_beside_a_derived_graph_that_the_build_did_not_write_is_told() -> None:
    (line,) = overlaid("model.onnx", other=b"")
    assert line.endswith("/other` was not locked")


def archive(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return written.getvalue()


def test_an_image_with_every_byte_as_locked_has_no_mismatch() -> None:
    assert verdict(whole()) == Verdict(name="reranker", file_count=2, size_bytes=9, mismatches=())


def test_a_file_with_other_bytes_is_told_with_both_digests() -> None:
    path = f"{SNAPSHOT}/onnx/model.onnx"
    assert verdict({**whole(), path: b"weighty"}).mismatches == (
        f"`{path}` has sha256 {sha256(b'weighty')}, and {sha256(b'weights')} was locked",
    )


def test_a_missing_file_is_named() -> None:
    path = f"{SNAPSHOT}/config.json"
    files = {name: content for name, content in whole().items() if name != path}
    assert verdict(files).mismatches == (f"`{path}` is missing",)


def test_a_file_beside_the_locked_ones_is_named() -> None:
    path = f"{SNAPSHOT}/modeling.py"
    assert verdict({**whole(), path: b"import os"}).mismatches == (f"`{path}` was not locked",)


def test_another_model_s_files_are_not_its_concern() -> None:
    assert verdict({**whole(), "/opt/hf-cache/hub/models--example--other/refs/main": b"x"}).mismatches == ()


def test_a_reference_to_another_commit_is_a_mismatch() -> None:
    path = "/opt/hf-cache/hub/models--example--reranker/refs/main"
    assert verdict({**whole(), path: b"e" * 40}).mismatches == (
        f"`{path}` has sha256 {sha256(b'e' * 40)}, and {sha256(data.COMMIT.encode())} was locked",
    )


def test_the_mismatches_of_several_models_carry_their_names() -> None:
    verdicts = [Verdict(name=name, file_count=1, size_bytes=0, mismatches=("`x` is missing",)) for name in ("a", "b")]
    assert verification.mismatches(verdicts) == ("a: `x` is missing", "b: `x` is missing")
    assert [found.outcome for found in verdicts] == ["1 not as locked", "1 not as locked"]


def test_the_bundle_that_is_baked_says_what_should_be_there() -> None:
    assert verification.of_bundle(bundle.document([MODEL]), image="i") == (
        ExpectedModel(
            name="reranker",
            snapshot=SNAPSHOT,
            files={f"{SNAPSHOT}/{path}": sha256(content) for path, content in CONTENT.items()},
            beside={},
        ),
    )


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", json.dumps({"models": [{"name": "a", "path": "/b"}]}).encode()])
def test_a_bundle_without_digests_is_refused(text: bytes) -> None:
    with pytest.raises(InputError) as caught:
        verification.of_bundle(text, image="i")
    assert (caught.value.message, caught.value.hint) == (
        "the bundle of `i` has no digests",
        "compare it with a lock: `build-image verify i --models models.yaml`",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OneImage:
    """An engine with one image, whose bundle is `text`."""

    labels: Mapping[str, str]
    text: bytes = bundle.document([MODEL])
    environment: tuple[str, ...] = ("PATH=/bin", "RUNTIME_BUNDLE=/opt/bundle/bundle.json")

    def inspect_image(self, _: str, /) -> ImageDetails:
        return ImageDetails(
            id="",
            platform="linux/amd64",
            size_bytes=0,
            layers=("sha256:1",),
            labels=self.labels,
            environment=self.environment,
            digest="",
        )

    def archive(self, _: str, path: str, /) -> AbstractContextManager[BinaryIO]:
        return io.BytesIO(archive({path.rpartition("/")[2]: self.text}))


LABELS = {
    "build-image.bundle": f"sha256:{sha256(bundle.document([MODEL]))}",
    "build-image.models": f"example/reranker@{data.COMMIT}",
}


def test_the_bundle_that_the_label_names_says_what_should_be_there() -> None:
    expected = verification.expected_of_image(OneImage(labels=LABELS), "i", lock=None)
    assert expected == verification.of_bundle(bundle.document([MODEL]), image="i")


@pytest.mark.parametrize("lock", [None, data.lock(MODEL)], ids=["bundle", "lock"])
def test_a_bundle_that_the_label_does_not_name_is_a_failure(lock: Lock | None) -> None:
    other = bundle.document([replace(MODEL, revision="e" * 40)])
    with pytest.raises(FailedError) as caught:
        verification.expected_of_image(OneImage(labels=LABELS, text=other), "i", lock=lock)
    assert caught.value.message == (
        "`i` does not hold the bundle that was baked: `/opt/bundle/bundle.json` is sha256:"
        f"{sha256(other)}, and the label `build-image.bundle` names {LABELS['build-image.bundle']}"
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (OneImage(labels=LABELS, environment=()), "`i` carries no bundle that says what should be in it"),
        (OneImage(labels={}), "`i` has no label `build-image.bundle` to compare its bundle with"),
    ],
)
def test_an_image_that_says_too_little_is_compared_with_a_lock_alone(image: OneImage, message: str) -> None:
    with pytest.raises(InputError) as caught:
        verification.expected_of_image(image, "i", lock=None)
    assert (caught.value.message, caught.value.hint) == (
        message,
        "compare it with a lock: `build-image verify i --models models.yaml`",
    )


def test_a_lock_says_what_should_be_there_whatever_the_image_says() -> None:
    expected = verification.expected_of_image(OneImage(labels=LABELS), "i", lock=data.lock(MODEL))
    assert expected == (verification.of_model(MODEL),)


def test_the_files_of_a_tar_are_read_below_its_parent_and_nothing_else() -> None:
    stream = io.BytesIO(archive({"hub/one": b"1", "hub/two/three": b"23"}))
    assert list(verification.read_files(stream, parent="/opt")) == [
        FoundFile(path="/opt/hub/one", sha256=sha256(b"1"), size_bytes=1),
        FoundFile(path="/opt/hub/two/three", sha256=sha256(b"23"), size_bytes=2),
    ]


def test_a_tar_that_is_cut_short_is_a_failure() -> None:
    stream = io.BytesIO(archive({"hub/one": bytes(5000)})[:2000])
    with pytest.raises(FailedError, match="the image's files can't be read: unexpected end of data"):
        list(verification.read_files(stream, parent="/opt"))


def test_the_models_of_an_image_are_those_that_its_label_names() -> None:
    lock = data.lock(data.fetched("one"), data.fetched("two"))
    labels = {"build-image.models": f"example/two@{data.COMMIT}"}
    assert [model.name for model in verification.labelled(labels, lock, image="i")] == ["two"]


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ({}, InputError, "`i` has no label `build-image.models`, so it is not an image of build-image"),
        ({"build-image.models": "a/b@c"}, FailedError, "`i` holds `a/b@c`, which is not in the lock"),
    ],
)
def test_an_image_that_the_lock_does_not_know_is_refused(
    labels: dict[str, str], kind: type[FailedError | InputError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        list(verification.labelled(labels, data.lock(data.fetched()), image="i"))
    assert caught.value.message == message


def test_a_lock_of_an_older_release_is_written_again_first() -> None:
    old = Lock(outdated={"m": OutdatedModel(asked={}, revision="0" * 40)})
    with pytest.raises(InputError, match="an older release wrote the lock") as caught:
        list(verification.labelled({}, old, image="i"))
    assert caught.value.hint == "write it again: `build-image lock`"


def test_a_lock_without_models_is_no_lock() -> None:
    with pytest.raises(InputError, match="there is no lock to compare with"):
        list(verification.labelled({}, data.lock(), image="i"))
