import json
from pathlib import Path

from builder import lockfile, pipeline
from builder.settings import Settings
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
