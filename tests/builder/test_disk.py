from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builder import disk
from builder.api import HeldImage
from builder.disk import HUB_CLIENT_BYTES, SERVER_BYTES, Need
from builder.errors import FailedError
from builder.labels import MODELS_LABEL
from builder.lock import LockedFile, LockedModel
from tests.builder import data

LOCAL = data.local(Path("/models/embedder"))
FETCHED = data.fetched()
EACH_BYTES = 1000  # of either model


def enormous() -> LockedModel:
    """Make a model that fits on no disk."""
    file = LockedFile(size_bytes=10**18, sha256="e" * 64, blob_id="f" * 40, is_large=True)
    return replace(FETCHED, files={"onnx/model.onnx": file})


class Engine:
    """An engine with a root and images, which counts how often it is asked for these."""

    def __init__(self, root: Path | None, *, models: str = "") -> None:
        self.root = root
        self.models = models
        self.times_listed = 0

    def local_root(self) -> Path | None:
        return self.root

    def images(self, *, label: str) -> Sequence[HeldImage]:
        self.times_listed += 1
        return [HeldImage(id="sha256:1", names=(), labels={label: self.models}, size_bytes=1, own_bytes=1)]


def test_a_first_build_takes_stages_layers_contexts_and_packages() -> None:
    assert dict(disk.predict([data.image(LOCAL, FETCHED)]).parts) == {
        "models in their stages": 2 * EACH_BYTES,
        "models in layers": 2 * EACH_BYTES,
        "kept for the next fetch": EACH_BYTES,
        "contexts": EACH_BYTES,
        "the server": SERVER_BYTES,
        "the Hub's client": HUB_CLIENT_BYTES,
    }


def test_images_share_stages_layers_and_what_was_sent() -> None:
    need = disk.predict([data.image(LOCAL), data.image(LOCAL, name="other")])
    assert dict(need.parts) == {
        "models in their stages": EACH_BYTES,
        "models in layers": EACH_BYTES,
        "kept for the next fetch": 0,
        "contexts": EACH_BYTES,
        "the server": SERVER_BYTES,
        "the Hub's client": 0,
    }


def test_an_image_of_weights_alone_has_no_server() -> None:
    need = disk.predict([replace(data.image(LOCAL), kind="models")])
    assert need.total_bytes == 3 * EACH_BYTES


def test_what_the_engine_holds_takes_nothing_more() -> None:
    need = disk.predict([data.image(LOCAL, FETCHED)], held={LOCAL.identity})
    assert need.total_bytes == 3 * EACH_BYTES
    assert disk.predict([data.image(LOCAL)], held={LOCAL.identity}).total_bytes == 0


def test_a_need_is_written_by_what_it_is_for() -> None:
    assert str(Need(parts={"layers": 2_000_000, "contexts": 0, "the server": 600_000_000})) == (
        "layers 2 MB, the server 600 MB"
    )


def test_what_fits_is_not_refused() -> None:
    disk.require(Need(parts={"layers": 5}), 5, place="the disk", hint="")


def test_what_can_t_fit_is_refused_with_the_sum_and_what_is_free() -> None:
    with pytest.raises(FailedError) as caught:
        disk.require(Need(parts={"layers": 2_000_000, "contexts": 1_000_000}), 4000, place="the disk", hint="free it")
    message = "the disk has 4 kB free, and 3 MB are needed: layers 2 MB, contexts 1 MB"
    assert (caught.value.message, caught.value.hint, caught.value.exit_code) == (message, "free it", 1)


def test_the_space_of_a_folder_that_is_not_there_yet_is_that_of_its_parent(tmp_path: Path) -> None:
    assert disk.free(tmp_path / "not/yet") > 0


def test_an_engine_elsewhere_is_not_checked() -> None:
    disk.check_engine([data.image(enormous())], Engine(None))


def test_an_engine_with_space_enough_is_not_asked_for_its_images(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    disk.check_engine([replace(data.image(LOCAL), kind="models")], engine)
    assert engine.times_listed == 0


def test_a_model_that_the_engine_has_is_not_counted_where_bytes_are_short(tmp_path: Path) -> None:
    model = enormous()
    engine = Engine(tmp_path, models=f"example/other@{data.COMMIT} {model.identity}")
    disk.check_engine([data.image(model)], engine)
    assert engine.times_listed == 1


def test_a_model_that_the_engine_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedError) as caught:
        disk.check_engine([data.image(enormous())], Engine(tmp_path, models="example/other@1"))
    assert caught.value.message.startswith(f"the engine's disk (`{tmp_path}`) has ")
    assert caught.value.hint == disk.ENGINE_HINT


def test_without_the_cache_everything_is_made_again(tmp_path: Path) -> None:
    model = enormous()
    engine = Engine(tmp_path, models=model.identity)
    with pytest.raises(FailedError):
        disk.check_engine([data.image(model)], engine, no_cache=True)


def test_a_model_is_named_as_the_label_names_it() -> None:
    named = [f"local/{LOCAL.name}@{'a' * 40}", f"example/{FETCHED.name}@{data.COMMIT}"]
    assert [LOCAL.identity, FETCHED.identity] == named
    assert data.image(LOCAL, FETCHED).labels[MODELS_LABEL].split() == named
