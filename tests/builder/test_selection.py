import pytest

from builder import selection
from builder.errors import InputError
from tests.support.memory_repository import manifest_model, repository


def files(*paths: str) -> dict[str, bytes]:
    return dict.fromkeys(paths, b"")


@pytest.mark.parametrize(
    ("dtype", "path"),
    [
        ("fp32", "onnx/model.onnx"),
        ("fp16", "onnx/model_fp16.onnx"),
        ("q8", "onnx/model_quantized.onnx"),
        ("int8", "onnx/model_int8.onnx"),
        ("uint8", "onnx/model_uint8.onnx"),
        ("q4", "onnx/model_q4.onnx"),
        ("q4f16", "onnx/model_q4f16.onnx"),
        ("bnb4", "onnx/model_bnb4.onnx"),
    ],
)
def test_a_dtype_is_the_file_that_transformers_js_would_load(dtype: str, path: str) -> None:
    all_paths = [f"onnx/model{suffix}.onnx" for suffix in selection.DTYPE_SUFFIXES.values()]
    model = manifest_model(task="embedding", dtype=dtype)

    assert selection.graph_path(model, repository(files(*all_paths))) == path


def test_a_graph_beside_the_configs_is_found_too() -> None:
    chosen = selection.graph_path(manifest_model(task="embedding"), repository(files("model.onnx")))
    assert chosen == "model.onnx"


def test_the_folder_onnx_comes_first() -> None:
    chosen = selection.graph_path(manifest_model(task="embedding"), repository(files("model.onnx", "onnx/model.onnx")))
    assert chosen == "onnx/model.onnx"


def test_a_dtype_that_is_missing_lists_those_that_exist() -> None:
    listed = repository(files("onnx/model.onnx", "onnx/model_q4.onnx", "onnx/model_O4.onnx"))
    with pytest.raises(InputError) as caught:
        selection.graph_path(manifest_model(task="embedding", dtype="fp16"), listed)

    assert caught.value.message == "`example/model` has no graph of dtype `fp16`"
    assert caught.value.hint == "set `models.m.dtype` to one of: fp32, q4"


def test_graphs_of_unusual_names_are_listed_for_the_key_graph() -> None:
    with pytest.raises(InputError) as caught:
        selection.graph_path(manifest_model(task="embedding"), repository(files("export/encoder.onnx")))

    assert caught.value.hint == "set `models.m.graph` to one of: export/encoder.onnx"


def test_the_manifests_graph_wins() -> None:
    listed = repository(files("onnx/model.onnx", "onnx/model_O4.onnx"))
    model = manifest_model(task="embedding", graph="onnx/model_O4.onnx")

    assert selection.graph_path(model, listed) == "onnx/model_O4.onnx"


def test_a_graph_of_the_manifest_that_is_missing_lists_those_that_exist() -> None:
    listed = repository(files("onnx/model.onnx", "config.json"))
    with pytest.raises(InputError) as caught:
        selection.graph_path(manifest_model(task="embedding", graph="model.onnx"), listed)

    assert caught.value.message == "`example/model` has no ONNX file `model.onnx`"
    assert caught.value.hint == "set `models.m.graph` to one of: onnx/model.onnx"


def test_a_repository_without_onnx_is_refused() -> None:
    with pytest.raises(InputError, match="`example/model` has no ONNX file"):
        selection.graph_path(manifest_model(task="embedding"), repository(files("model.safetensors")))


def test_external_data_lies_beside_its_graph() -> None:
    listed = repository(files("onnx/model.onnx_data", "onnx/Constant_7_attr__value", "onnx/parts/shared.data"))
    locations = ["model.onnx_data", "./Constant_7_attr__value", "parts/shared.data"]

    paths = selection.external_data_paths("onnx/model.onnx", locations, listed)

    assert paths == ("onnx/model.onnx_data", "onnx/Constant_7_attr__value", "onnx/parts/shared.data")


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", ".."])
def test_external_data_outside_of_the_repository_is_refused(location: str) -> None:
    with pytest.raises(InputError) as caught:
        selection.external_data_paths("onnx/model.onnx", [location], repository(files("onnx/model.onnx")))

    message = f"`onnx/model.onnx` of `example/model` has weights outside of its repository: `{location}`"
    assert caught.value.message == message


def test_external_data_outside_of_the_graph_s_folder_is_refused_as_onnx_runtime_would() -> None:
    listed = repository(files("onnx/model.onnx", "shared.data"))
    with pytest.raises(InputError) as caught:
        selection.external_data_paths("onnx/model.onnx", ["../shared.data"], listed)

    message = "`onnx/model.onnx` of `example/model` has weights outside of its folder: `../shared.data`"
    assert caught.value.message == message


def test_external_data_that_is_missing_is_named() -> None:
    with pytest.raises(InputError) as caught:
        selection.external_data_paths("onnx/model.onnx", ["model.onnx_data"], repository(files("onnx/model.onnx")))

    assert caught.value.message == "`onnx/model.onnx` of `example/model` needs `onnx/model.onnx_data`, which is missing"


def test_configs_and_licences_are_baked_and_code_and_other_weights_are_not() -> None:
    baked = (
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "LICENSE",
        "README.md",
        "added_tokens.json",
        "config.json",
        "config_sentence_transformers.json",
        "generation_config.json",
        "modules.json",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "sentence_bert_config.json",
        "sentence_xlm-roberta_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    )
    left_out = (
        ".gitattributes",
        "2_Dense/model.safetensors",
        "configuration_model.py",
        "model.safetensors",
        "onnx/config.json",
        "onnx/model_fp16.onnx",
        "openvino/openvino_model.bin",
        "pytorch_model.bin",
        "rng_state.pth",
        "tokenizer.model",
        "training_args.bin",
        "vocab.pkl",
    )
    listed = repository(files(*left_out, *baked))

    paths = selection.baked_paths(listed, graph="onnx/model.onnx", weights=["onnx/model.onnx_data"])

    assert paths == baked


def test_a_repository_without_a_fast_tokenizer_is_refused() -> None:
    with pytest.raises(InputError, match=r"`example/model` has no `tokenizer\.json`"):
        selection.baked_paths(repository(files("vocab.txt")), graph="model.onnx", weights=[])
