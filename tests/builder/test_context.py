import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

from builder import context
from builder.context import SOURCE_DATE_EPOCH, Entry
from builder.manifest import Kind
from builder.plan import Supplied
from tests.builder import data, optimized


def paths(files: dict[str, bytes | Path]) -> list[str]:
    return [entry.path for entry in context.assemble(files).entries]


def test_entries_come_as_a_walk_meets_them() -> None:
    files: dict[str, bytes | Path] = {"b/x": b"", "b-c": b"", "a/b/c": b"", "a.txt": b"", "b/a/z": b""}
    assert paths(files) == ["a", "a/b", "a/b/c", "a.txt", "b", "b/a", "b/a/z", "b/x", "b-c"]


def test_an_entry_knows_its_size_and_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    entries = [Entry(path="a", source=b"123"), Entry(path="b", source=tmp_path / "file"), Entry(path="c", source=None)]
    assert [(entry.size_bytes, oct(entry.mode)) for entry in entries] == [(3, "0o644"), (5, "0o644"), (0, "0o755")]


def test_a_written_context_has_one_second_and_the_same_modes_everywhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    source.chmod(0o600)
    context.write(context.assemble({"Dockerfile": b"FROM x\n", "a/model": source}), tmp_path / "out")
    written = {
        str(path.relative_to(tmp_path / "out")): (oct(path.stat().st_mode & 0o777), int(path.stat().st_mtime))
        for path in (tmp_path / "out").rglob("*")
    }
    assert written == {
        "Dockerfile": ("0o644", SOURCE_DATE_EPOCH),
        "a": ("0o755", SOURCE_DATE_EPOCH),
        "a/model": ("0o644", SOURCE_DATE_EPOCH),
    }
    assert (tmp_path / "out/a/model").read_bytes() == b"weights"
    assert oct(source.stat().st_mode & 0o777) == "0o600"


def test_a_file_of_a_written_context_has_another_time_where_only_its_bytes_differ(tmp_path: Path) -> None:
    times = []
    for content in (b"same", b"some", b"same"):
        context.write(context.assemble({"Dockerfile": content}), tmp_path / "out")
        times.append((tmp_path / "out/Dockerfile").stat().st_mtime_ns)
    assert (times[0] == times[2], times[0] == times[1]) == (True, False)


def test_a_context_is_without_the_files_that_are_shared(tmp_path: Path) -> None:
    model = data.local(tmp_path)
    for name in model.files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    whole = context.of_image(data.image(model), dockerfile="")
    lean = context.of_image(data.image(model), dockerfile="", files_are_shared=True)
    shared = {f"files/embedder/{entry.path}" for entry in context.of_model_files(model).entries}
    assert {entry.path for entry in whole.entries} - {entry.path for entry in lean.entries} == {
        "files",
        "files/embedder",
        *shared,
    }


def test_an_image_s_context_has_what_its_stages_mount(tmp_path: Path) -> None:
    image = data.image(data.local(tmp_path), data.fetched())
    entries = {entry.path: entry.source for entry in context.of_image(image, dockerfile="FROM x\n").entries}
    assert entries["Dockerfile"] == b"FROM x\n"
    assert entries["files/embedder/onnx/model.onnx"] == tmp_path / "onnx/model.onnx"
    assert entries["models/embedder/cache/hub/models--local--embedder/refs/main"] == b"a" * 40
    request = entries["models/reranker/fetch.json"]
    assert isinstance(request, bytes)
    assert json.loads(request) == {
        "repo": "example/reranker",
        "revision": data.COMMIT,
        "files": {
            "config.json": {"size": 100, "sha256": "c" * 64},
            "onnx/model.onnx": {"size": 800, "sha256": "e" * 64},
            "tokenizer.json": {"size": 100, "sha256": "a" * 64},
        },
    }
    sums = f"{'c' * 64}  config.json\n{'e' * 64}  onnx/model.onnx\n{'a' * 64}  tokenizer.json\n"
    assert entries["models/embedder/sha256sums"] == sums.encode()
    assert {"app/app/runtime/__main__.py", "app/opt/bundle/bundle.json", "stages/network.sh"} <= set(entries)


def test_an_optimised_model_s_stages_have_their_programs_request_and_samples(tmp_path: Path) -> None:
    samples = tmp_path / "texts"
    image = data.image(optimized.model(samples))
    entries = {entry.path: entry.source for entry in context.of_image(image, dockerfile="FROM x\n").entries}
    request, thresholds = (
        entries[f"optimize/embedder/{name}"] for name in ("derive/request.json", "compare/thresholds.json")
    )
    assert isinstance(request, bytes)
    assert isinstance(thresholds, bytes)
    asked = json.loads(request)
    assert (asked["graph"], asked["pooling"], asked["variants"]) == ("onnx/model.onnx", ["cls", "mean"], [])
    assert asked["optimize"] == {
        "graph": True,
        "quantize": "int8",
        "fuse_pooling": True,
        "insist": False,
        "exclude": ["*/pooler/*"],
        "min_mean_cosine": 0.99,
    }
    assert json.loads(thresholds) == {"mean_cosine": 0.99, "top10_overlap": 0.95}
    assert entries["optimize/embedder/compare/samples.txt"] == samples
    assert entries["optimize/embedder/derive/replaces.txt"] == b"onnx/model.onnx\n"
    tree = entries[f"optimize/embedder/derive/cache/hub/models--local--embedder/trees/{'a' * 40}.json"]
    assert isinstance(tree, bytes)
    assert sorted(json.loads(tree)["files"]) == ["config.json", "tokenizer.json"]
    assert "optimizer/optimize_model.py" in entries


def test_an_image_without_optimised_models_has_nothing_of_the_optimiser(tmp_path: Path) -> None:
    entries = context.of_image(data.image(data.local(tmp_path)), dockerfile="").entries
    assert [entry.path for entry in entries if entry.path.startswith("optimize")] == []


def test_the_server_s_lock_file_is_not_part_of_the_server(tmp_path: Path) -> None:
    entries = {entry.path for entry in context.of_image(data.image(data.local(tmp_path)), dockerfile="").entries}
    assert "stages/requirements.txt" in entries
    assert not any(path.startswith("app/") and path.endswith(".txt") for path in entries)


def test_supplies_are_in_the_context_of_a_server_alone(tmp_path: Path) -> None:
    supplied = Supplied(base="base", files={"wheels/a.whl": tmp_path / "a.whl", "packages/b.deb": tmp_path / "b.deb"})
    server, weights = (
        {entry.path: entry.source for entry in context.of_image(image, dockerfile="").entries}
        for image in (
            replace(data.image(data.local(tmp_path), kind=kind), supplied=supplied) for kind in get_args(Kind)
        )
    )
    assert {path: source for path, source in server.items() if path.startswith("supplies/") and source} == {
        "supplies/wheels/a.whl": tmp_path / "a.whl",
        "supplies/packages/b.deb": tmp_path / "b.deb",
    }
    assert [path for path in weights if path.startswith("supplies/")] == []


def test_packages_are_gathered_by_the_texts_that_tell_which_are_wanted() -> None:
    entries = {entry.path: entry.source for entry in context.of_packages("FROM x\n").entries}
    wanted = context.wanted_packages()
    requirements = entries["stages/requirements.txt"]
    assert isinstance(requirements, Path)
    assert wanted == {
        "requirements.txt": requirements.read_bytes(),
        "gather-packages.sh": entries["stages/gather-packages.sh"],
    }


def test_the_server_s_page_is_part_of_the_server(tmp_path: Path) -> None:
    entries = {
        entry.path: entry.source for entry in context.of_image(data.image(data.local(tmp_path)), dockerfile="").entries
    }
    page = Path(__file__).parents[2] / "runtime/page"
    assert {path: source for path, source in entries.items() if path.startswith("app/app/runtime/page/")} == {
        f"app/app/runtime/page/{file.name}": file.read_bytes() for file in page.iterdir()
    }


def test_an_image_of_weights_is_built_from_models_alone(tmp_path: Path) -> None:
    models = (data.local(tmp_path), data.fetched())
    server, weights = (
        {entry.path for entry in context.of_image(image, dockerfile="FROM x\n").entries}
        for image in (data.image(*models), data.image(*models, kind="models"))
    )
    assert {path.split("/")[0] for path in server - weights} == {"app", "sbom.json", "stages"}
    assert weights < server
