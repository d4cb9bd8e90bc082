from pathlib import Path

import pytest

from builder import cli
from tests.support import lookalikes

MANIFEST = """\
version: 1
models: {m: {task: reranker, path: model}}
images: {i: {models: [m]}, w: {models: [m], kind: models}}
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.yaml").write_text(MANIFEST)
    lookalikes.write_reranker(tmp_path / "model")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--replicas", "3"], "`--replicas` is not about the format `context`"),
        (["--format", "compose", "--replicas", "3"], "`--replicas` is not about the format `compose`"),
        (["--format", "stack", "--internal"], "`--internal` is not about the format `stack`"),
        (["--format", "kubernetes", "--platform", "linux/arm64"], "`--platform` is not about the format `kubernetes`"),
    ],
)
def test_a_flag_that_its_format_does_not_heed_is_refused(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["render", "--output", "out", *flags]) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}\nhint: leave it out, or choose `--format ")
    assert not Path("out").exists()


def test_a_cache_that_is_no_repository_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["render", "--output", "out", "--format", "bake", "--cache-to", "example/cache:tag"]) == 2
    assert "`example/cache:tag` is not an image repository" in capsys.readouterr().err


def test_only_the_file_that_one_goes_on_with_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["render", "--output", "out", "--format", "bake", "--platform", "linux/arm64"]) == 0
    assert capsys.readouterr().out == "out/docker-bake.json\n"
    assert sorted(path.name for path in Path("out").iterdir()) == ["docker-bake.json", "i", "w"]


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("i", "error: `i` is none of the chosen images of weights\nhint: known here: w\n"),
        ("x", "error: `x` is none of the chosen images of weights\nhint: known here: w\n"),
    ],
)
def test_what_is_no_image_of_weights_is_not_mounted(
    weights: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["render", "--output", "out", "--format", "kubernetes", "--weights", weights]) == 2
    assert capsys.readouterr().err.endswith(told)


def test_weights_are_mounted_where_they_were_asked_for() -> None:
    assert cli.run(["render", "--output", "out", "--format", "kubernetes", "--weights", "w"]) == 0
    assert (
        "      - name: hf-cache\n        image:\n          reference: w:latest\n"
        in Path("out/kubernetes.yaml").read_text()
    )


def test_weights_without_a_model_that_is_served_are_not_mounted(capsys: pytest.CaptureFixture[str]) -> None:
    lookalikes.write_embedding_model(Path("other"))
    models = "models: {m: {task: reranker, path: model}, n: {task: embedding, path: other}}"
    Path("models.yaml").write_text(
        f"version: 1\n{models}\nimages: {{i: {{models: [m, n]}}, w: {{models: [m], kind: models}}}}\n"
    )
    assert cli.run(["render", "--output", "out", "--format", "kubernetes", "--weights", "w"]) == 2
    assert capsys.readouterr().err.endswith(
        "error: `w` does not have `n` of `i`\nhint: add it to `images.w.models`, or choose images with --image\n"
    )
