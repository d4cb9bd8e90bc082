import io
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from builder import lockfile, pipeline
from builder.buildkit import Cancellation
from builder.console import Console
from builder.making import Maker
from builder.plan import ImagePlan, Plan
from builder.settings import Settings
from tests.builder import data
from tests.support import lookalikes


def of_image(folder: Path, image: str) -> Settings:
    return Settings(models=folder / "models.yaml", version="1", environment={"HOME": str(folder)}, images=(image,))


def write(folder: Path, *models: str) -> None:
    content = {
        "version": 1,
        "models": {name: {"task": "reranker", "path": "reranker"} for name in models},
        "images": {name: {"models": [name]} for name in models},
    }
    (folder / "models.yaml").write_text(json.dumps(content))


def test_what_a_run_for_another_image_locks_meanwhile_is_kept(tmp_path: Path) -> None:
    lookalikes.write_reranker(tmp_path / "reranker")
    write(tmp_path, "one", "other")
    both = [of_image(tmp_path, name) for name in ("one", "other")]
    for draft, settings in [(pipeline.draft(settings), settings) for settings in both]:
        assert pipeline.settle(draft, settings) is True
    assert set(lockfile.read(tmp_path / "models.lock").models) == {"one", "other"}


def test_a_model_that_the_manifest_dropped_meanwhile_is_not(tmp_path: Path) -> None:
    lookalikes.write_reranker(tmp_path / "reranker")
    write(tmp_path, "one", "other")
    other = of_image(tmp_path, "other")
    held = pipeline.draft(other)
    write(tmp_path, "one")
    draft = pipeline.draft(of_image(tmp_path, "one"))
    pipeline.settle(held, other)
    pipeline.settle(draft, of_image(tmp_path, "one"))
    assert set(lockfile.read(tmp_path / "models.lock").models) == {"one"}


class InterruptedMaker:
    """Makes an image at a time, and is interrupted in the first; stopping it takes as long as a next one could need."""

    def __init__(self, *, after_s: float) -> None:
        self.after_s = after_s
        self.settings = Settings(models=Path("models.yaml"), version="1", environment={}, jobs=1)
        self.console = Console(out=io.StringIO(), err=io.StringIO())
        self.cancellation = Cancellation()
        self.begun: list[str] = []
        self._is_stopped = threading.Event()
        self._has_begun_another = threading.Event()

    def make(self, image: ImagePlan) -> None:
        self.begun.append(image.name)
        if len(self.begun) > 1:
            self._has_begun_another.set()
            return
        with self.cancellation.calling(self._stop):
            time.sleep(self.after_s)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            self._is_stopped.wait(20)

    def _stop(self) -> None:
        self._is_stopped.set()
        self._has_begun_another.wait(0.5)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Hear SIGINT, also where the tests are a background job of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("after_s", [0, 0.2])  # while the images are handed out, and later
def test_no_image_begins_after_an_interrupt(after_s: float, tmp_path: Path) -> None:
    maker, model = InterruptedMaker(after_s=after_s), data.local(tmp_path)
    plan = Plan(images=tuple(data.image(model, name=name) for name in ("first", "second")), is_repeatable=True)
    with pytest.raises(KeyboardInterrupt):
        pipeline._make_all(plan, cast("Maker", maker))
    assert (maker.begun, maker.cancellation.requested) == (["first"], True)
