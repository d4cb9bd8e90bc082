from pathlib import Path
from typing import get_args

import pytest

from builder import manifest
from builder.errors import InputError, ProblemsError
from builder.manifest import Gates, Manifest, Optimize
from tests.conftest import Golden

ROOT = Path(__file__).parent.parent.parent

GOOD = """\
version: 1
models:
  m:
    task: embedding
    repo: example/m
images:
  i:
    models: [m]
"""


def parse(text: str, folder: Path = Path("folder")) -> Manifest:
    return manifest.parse(text, file=folder / "models.yaml", environment={})


def problems(text: str, folder: Path = Path("folder")) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        parse(text, folder)
    return [f"{problem}" + (f" [{problem.hint}]" if problem.hint else "") for problem in caught.value.problems]


def test_what_a_manifest_does_not_say_has_defaults() -> None:
    read = parse(GOOD)
    model, image = read.models["m"], read.images["i"]
    assert (model.name, model.revision, model.dtype, model.path) == ("m", "main", "fp32", None)
    assert (image.repository, image.tags, read.defaults.base) == (None, ["latest"], "debian:bookworm-slim")
    assert image.kind == "server"


def test_the_default_manifest_is_valid() -> None:
    read = manifest.load(ROOT / "models.yaml", environment={})
    assert [model.repo for model in read.models.values()] == [
        "onnx-community/embeddinggemma-300m-ONNX",
        "jinaai/jina-reranker-v2-base-multilingual",
    ]


def test_the_default_manifest_takes_other_models_from_the_environment() -> None:
    environment = {"HF_EMBEDDING_MODEL_ID": "a/b", "HF_RERANKER_MODEL_ID": "c/d"}
    read = manifest.load(ROOT / "models.yaml", environment=environment)
    assert [model.repo for model in read.models.values()] == ["a/b", "c/d"]


def optimized(wishes: str) -> str:
    return GOOD.replace("    repo: example/m\n", f"    repo: example/m\n    optimize: {wishes}\n")


def test_what_a_model_s_optimisation_does_not_say_has_defaults() -> None:
    assert parse(GOOD).models["m"].optimize is None
    assert parse(optimized("{}")).models["m"].optimize == Optimize(
        graph=True,
        quantize="none",
        variants=[],
        fuse_pooling=True,
        keep_original=False,
        insist=False,
        exclude=[],
        samples=None,
        min_mean_cosine=0.99,
        min_top10_overlap=0.95,
    )


def test_every_problem_of_an_optimisation_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "texts").write_bytes(b"\n")
    wishes = "{quantise: int8, quantize: int4, insist: 1, min_mean_cosine: 2, variants: [avx], samples: texts}"
    place = f"{tmp_path}/models.yaml:6: `models.m.optimize"
    assert sorted(problems(optimized(wishes), tmp_path)) == [
        f"{place}.insist`: must be `true` or `false`, not `1`",
        f"{place}.min_mean_cosine`: must be at most one",
        f"{place}.quantise`: unknown key [did you mean `quantize`?]",
        f"{place}.quantize`: must be `none`, `int8` or `q4`, not `int4`",
        f"{place}.samples`: `{tmp_path}/texts` holds no text: write one a line",
        f"{place}.variants[0]`: must be `int8`, `int8-vnni` or `q4`, not `avx`",
    ]


def test_an_optimisation_that_leaves_nothing_to_do_is_refused() -> None:
    (problem,) = problems(optimized("{graph: false, fuse_pooling: false}"))
    assert problem.startswith("folder/models.yaml:6: `models.m.optimize`: nothing is left to optimise: ")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 1", "version: 2", "folder/models.yaml:1: `version`: must be 1, not `2`"),
        ("version: 1\n", "", "folder/models.yaml:1: `version`: this key is required"),
        (
            "task: embedding",
            "task: embeding",
            "folder/models.yaml:4: `models.m.task`: must be `embedding`, `reranker` or `classifier`, not `embeding`",
        ),
        (
            "models: [m]",
            "models: [m]\n    kind: weights",
            "folder/models.yaml:9: `images.i.kind`: must be `server` or `models`, not `weights`",
        ),
        (
            "repo: example/m",
            "repo: example/m\n    dtyp: q8",
            "folder/models.yaml:6: `models.m.dtyp`: unknown key [did you mean `dtype`?]",
        ),
        (
            "repo: example/m",
            "repo: example/m\n    max_length: '12'",
            "folder/models.yaml:6: `models.m.max_length`: must be a whole number, not `12`",
        ),
        (
            "repo: example/m",
            "repo: example/m\n    max_length: 0",
            "folder/models.yaml:6: `models.m.max_length`: must be greater than zero",
        ),
        (
            "repo: example/m",
            "repo: example/m\n    normalize: 1",
            "folder/models.yaml:6: `models.m.normalize`: must be `true` or `false`, not `1`",
        ),
        (
            "repo: example/m",
            "repo: m",
            "folder/models.yaml:5: `models.m.repo`: `m` is not a Hub repository: write `organisation/name`",
        ),
        (
            "repo: example/m",
            "path: nowhere",
            "folder/models.yaml:5: `models.m.path`: there is no folder `folder/nowhere`",
        ),
        (
            "    repo: example/m\n",
            "",
            "folder/models.yaml:3: `models.m`: give either `repo` (a Hub repository) or `path` (a local folder)",
        ),
        (
            "images:",
            "  M: {task: reranker, repo: x/y}\nimages:",
            "folder/models.yaml:6: `models.M`: `M` is not a name: use lower-case letters and digits,"
            " joined by `.`, `_` or `-`",
        ),
        (
            "repo: example/m",
            "repo: example/m\n    prompts: {query: 'q: '}\n    default_prompt: qery",
            "folder/models.yaml:7: `models.m.default_prompt`: there is no prompt `qery` [did you mean `query`?]",
        ),
        (
            "models: [m]",
            "models: [n]",
            "folder/models.yaml:8: `images.i.models[0]`: there is no model `n` [known here: m]",
        ),
        ("models: [m]", "models: [m, m]", "folder/models.yaml:8: `images.i.models[1]`: `m` is in the list twice"),
        (
            "images:\n  i:\n    models: [m]",
            "  n: {task: embedding, repo: example/m, dtype: int8}\nimages:\n  i:\n    models: [m, n]",
            "folder/models.yaml:9: `images.i.models[1]`: `n` and `m` are both of `example/m`, which a cache has once"
            " [give each an image of its own]",
        ),
        ("models: [m]", "models: []", "folder/models.yaml:8: `images.i.models`: must not be empty"),
        (
            "models: [m]",
            "models: [m]\n    tags: [a b]",
            "folder/models.yaml:9: `images.i.tags[0]`: `a b` is not a tag: use up to 128 letters, digits, `_`, `.`"
            " and `-`, not starting with `.` or `-`",
        ),
        (
            "models: [m]",
            "models: [m]\n    repository: Registry/App:1",
            "folder/models.yaml:9: `images.i.repository`: `Registry/App:1` is not an image repository: use lower-case"
            " letters, digits, `.`, `_`, `-` and `/`, and no tag",
        ),
        (
            "task: embedding",
            "task: embedding\n    true_token: yes",
            "folder/models.yaml:5: `models.m.true_token`: must be a string, not `True`"
            " [YAML reads yes, no, on and off as true and false: put it in quotes]",
        ),
        (
            "task: embedding",
            "task: embedding\n    template: '{query}'",
            "folder/models.yaml:5: `models.m.template`: has to hold `{document}` once, not 0 times",
        ),
        (
            "task: embedding",
            "task: embedding\n    template: '{query}{document}{prompt}{prompt}'",
            "folder/models.yaml:5: `models.m.template`: has to hold `{prompt}` at most once, not 2 times",
        ),
        (
            "task: embedding",
            "task: embedding\n    adapters: {query: -1}",
            "folder/models.yaml:5: `models.m.adapters.query`: must be zero or more",
        ),
        (
            "version: 1",
            "version: 1\ndefaults: {base: 'python:3-alpine'}",
            "folder/models.yaml:2: `defaults.base`: `python:3-alpine` is Alpine: ONNX Runtime has no wheel for musl;"
            " use a glibc base such as `debian:bookworm-slim`",
        ),
        (
            "version: 1",
            "version: 1\ndefaults: {platform: windows/amd64}",
            "folder/models.yaml:2: `defaults.platform`: `windows/amd64` is not a platform that the runtime has wheels"
            " for: use `linux/amd64` or `linux/arm64`",
        ),
        (
            "  i:\n    models: [m]",
            "  i: [m]",
            "folder/models.yaml:7: `images.i`: must be a mapping of keys to values, not `['m']`",
        ),
        (
            "  i:\n",
            "  i:\n    models: [m]\n  i:\n",
            "folder/models.yaml:9: `images.i`: the name is given twice, first on line 7",
        ),
    ],
)
def test_a_mistake_is_one_problem_with_its_line(old: str, new: str, problem: str) -> None:
    assert problems(GOOD.replace(old, new)) == [problem]


def test_all_problems_are_told_at_once(golden: Golden) -> None:
    text = (Path(__file__).parent / "data" / "bad.yaml").read_text()
    golden.check("\n".join(problems(text)) + "\n", "manifest-problems.txt")


@pytest.mark.parametrize("text", ["", "[]", "models", "version: 1\nmodels: 3\nimages: x\n"])
def test_what_is_no_manifest_at_all_is_refused_without_a_crash(text: str) -> None:
    assert problems(text) != []


def test_a_folder_is_looked_for_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    assert parse(GOOD.replace("repo: example/m", "path: export"), tmp_path).models["m"].path == "export"


def test_a_folder_is_looked_for_beside_the_file_that_a_manifest_links_to(tmp_path: Path) -> None:
    (tmp_path / "real/export").mkdir(parents=True)
    (tmp_path / "real/models.yaml").write_text(GOOD.replace("repo: example/m", "path: export"))
    (tmp_path / "models.yaml").symlink_to("real/models.yaml")
    assert manifest.load(tmp_path / "models.yaml", environment={}).models["m"].path == "export"


def test_a_folder_need_not_be_there_where_its_files_are_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(GOOD.replace("repo: example/m", "path: export"))
    assert manifest.load(file, environment={}, has_folders=False).models["m"].path == "export"


def test_a_folder_whose_name_no_file_system_takes_is_not_there() -> None:
    (problem,) = problems(GOOD.replace("repo: example/m", f"path: {'x' * 300}"))
    assert "`models.m.path`: there is no folder " in problem


def test_a_missing_file_says_how_to_name_another() -> None:
    with pytest.raises(InputError) as caught:
        manifest.load(Path("nowhere.yaml"), environment={})
    assert caught.value.message == "there is no manifest at `nowhere.yaml`"
    assert caught.value.hint == "pass the manifest's path: build-image --models models.yaml"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="can't be read"):
        manifest.load(path, environment={})


def test_the_schema_names_every_key_of_a_model() -> None:
    assert set(manifest.Model.model_fields) == set(
        manifest.Manifest.model_json_schema()["$defs"]["Model"]["properties"]
    )


@pytest.mark.parametrize(
    ("text", "modes"),
    [
        ("cls", ["cls"]),
        ("lasttoken", ["lasttoken"]),
        ("[mean]", ["mean"]),
        ("[max, mean_sqrt_len_tokens, weightedmean]", ["max", "mean_sqrt_len_tokens", "weightedmean"]),
    ],
)
def test_pooling_is_one_mode_or_a_list_of_them(text: str, modes: list[str]) -> None:
    assert parse(GOOD.replace("repo:", f"pooling: {text}\n    repo:")).models["m"].pooling == modes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "median",
            "folder/models.yaml:5: `models.m.pooling[0]`: must be `cls`, `max`, `mean`, `mean_sqrt_len_tokens`, "
            "`weightedmean` or `lasttoken`, not `median`",
        ),
        ("[]", "folder/models.yaml:5: `models.m.pooling`: must not be empty"),
        ("true", "folder/models.yaml:5: `models.m.pooling`: must be a list, not `True`"),
    ],
)
def test_other_pooling_is_refused(text: str, problem: str) -> None:
    assert problems(GOOD.replace("repo:", f"pooling: {text}\n    repo:")) == [problem]


def test_the_schema_takes_pooling_in_both_forms() -> None:
    (pooling, _) = manifest.Manifest.model_json_schema()["$defs"]["Model"]["properties"]["pooling"]["anyOf"]
    mode = {"type": "string", "enum": list(get_args(manifest.PoolingMode))}
    assert pooling["anyOf"] == [mode, {"type": "array", "items": mode, "minItems": 1}]


def test_gates_have_numbers_of_bytes_in_words_and_look_for_secrets_unless_told_otherwise() -> None:
    read = parse(GOOD + "gates: {max_size: 1.5 GB, max_duplicates: 100, licences: [mit], min_golden_cosine: 1}\n")
    assert read.gates == Gates(
        licences=["mit"], max_size=1_500_000_000, max_duplicates=100, min_golden_cosine=1.0, secrets=True
    )


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        (
            "max_size: 2 gigabytes",
            "max_size`: `2 gigabytes` is not a number of bytes: write it as `500 MB` or `1.5 GiB`",
        ),
        ("max_sise: 2 GB", "max_sise`: unknown key [did you mean `max_size`?]"),
        ("min_golden_cosine: 1.5", "min_golden_cosine`: must be at most one"),
        ("min_golden_cosine: near", "min_golden_cosine`: must be a number, not `near`"),
        ("min_tokens_per_second: 0", "min_tokens_per_second`: must be greater than zero"),
        ("licences: mit", "licences`: must be a list, not `mit`"),
        ("secrets: maybe", "secrets`: must be `true` or `false`, not `maybe`"),
    ],
)
def test_a_gate_that_says_nothing_clear_is_a_problem_on_its_line(gate: str, problem: str) -> None:
    assert problems(f"{GOOD}gates:\n  {gate}\n") == [f"folder/models.yaml:10: `gates.{problem}"]
