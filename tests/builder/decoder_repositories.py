"""Own layouts of public repositories whose graphs come from decoders: caches, positions, pictures, padding left."""

from collections.abc import Sequence

from builder.inputs import Input
from builder.recipe import Recipe
from tests.builder.layouts import (
    FLOAT,
    HALF,
    IDS_AND_MASK,
    NO_LIMIT,
    TOKENIZER,
    WITH_DATA,
    WITH_POSITIONS,
    Inputs,
    Layout,
    cache,
    configs,
    embedding,
    fed,
    states,
)
from tests.support.memory_repository import graph

_QWEN_PAD = 151643
_QWEN_FILES = {
    "config.json": {"model_type": "qwen3", "max_position_embeddings": 32768, "hidden_size": 1024},
    "tokenizer_config.json": {"model_max_length": 131072, "pad_token": "<|endoftext|>", "padding_side": "left"},
    TOKENIZER: {"added_tokens": [{"id": _QWEN_PAD, "content": "<|endoftext|>"}]},
}
_QWEN_PROMPTS = {"query": "Instruct: Given a web search query, retrieve relevant passages\nQuery:"}
_QWEN_KEYS = {"pooling": "lasttoken", "normalize": True, "prompts": _QWEN_PROMPTS}
_FULL: Inputs = {**WITH_POSITIONS, **cache(FLOAT)}
_FULL_HALF: Inputs = {**WITH_POSITIONS, **cache(HALF)}

_GEMMA_PROMPTS = {"query": "task: search result | query: ", "document": "title: none | text: "}
_GEMMA_WIDTHS = [768, 512, 256, 128]
_GEMMA_OUTPUTS: dict[str, Sequence[int | str]] = {
    "last_hidden_state": ["batch", "sequence", 768],
    "sentence_embedding": ["batch", 768],
}
_FEATURES = ("image_features", "video_features", "audio_features")
_MULTIMODAL: Inputs = {**IDS_AND_MASK, **{name: (FLOAT, [f"num_{name}", 512]) for name in _FEATURES}}

DECODERS: tuple[tuple[Layout, Recipe], ...] = (
    (
        Layout(
            name="onnx-community/Qwen3-Embedding-0.6B-ONNX",
            files={**_QWEN_FILES, "onnx/model.onnx": states(1024, inputs=_FULL, external_data=["model.onnx_data"])},
            others=["onnx/model.onnx_data", "onnx/model_fp16.onnx", "onnx/model_int8.onnx", "onnx/model_q4f16.onnx"],
            keys=_QWEN_KEYS,
        ),
        embedding(
            *WITH_DATA,
            inputs=fed(_FULL, cache_dtype="float32"),
            pooling=("lasttoken",),
            dimensions=(1024,),
            prompts=_QWEN_PROMPTS,
            max_length=32768,
            pad_token_id=_QWEN_PAD,
            padding_side="left",
        ),
    ),
    (
        Layout(
            name="onnx-community/Qwen3-Embedding-0.6B-ONNX (fp16)",
            files={**_QWEN_FILES, "onnx/model_fp16.onnx": states(1024, inputs=_FULL_HALF)},
            others=["onnx/model.onnx", "onnx/model.onnx_data"],
            keys={**_QWEN_KEYS, "dtype": "fp16"},
        ),
        embedding(
            "onnx/model_fp16.onnx",
            graph="onnx/model_fp16.onnx",
            inputs=fed(_FULL_HALF, cache_dtype="float16"),
            pooling=("lasttoken",),
            dimensions=(1024,),
            prompts=_QWEN_PROMPTS,
            max_length=32768,
            pad_token_id=_QWEN_PAD,
            padding_side="left",
        ),
    ),
    (
        Layout(
            name="Qdrant/Qwen3-Embedding-0.6B-onnx",
            files={**_QWEN_FILES, "model.onnx": states(1024, inputs=IDS_AND_MASK)},
            keys=_QWEN_KEYS,
        ),
        embedding(
            "model.onnx",
            graph="model.onnx",
            pooling=("lasttoken",),
            dimensions=(1024,),
            prompts=_QWEN_PROMPTS,
            max_length=32768,
            pad_token_id=_QWEN_PAD,
            padding_side="left",
        ),
    ),
    (
        Layout(
            name="onnx-community/embeddinggemma-300m-ONNX",
            files={
                **configs("gemma3_text", positions=2048, pad=0, limit=NO_LIMIT),
                "onnx/model_q4.onnx": graph(_GEMMA_OUTPUTS, external_data=["model_q4.onnx_data"]),
                "special_tokens_map.json": {"pad_token": "<pad>"},
                "added_tokens.json": {"<image_soft_token>": 262144},
                "generation_config.json": {"pad_token_id": 0},
            },
            others=["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_q4.onnx_data", "tokenizer.model"],
            keys={"dtype": "q4", "prompts": _GEMMA_PROMPTS, "dimensions": _GEMMA_WIDTHS},
        ),
        embedding(
            "onnx/model_q4.onnx",
            "onnx/model_q4.onnx_data",
            "added_tokens.json",
            "generation_config.json",
            "special_tokens_map.json",
            graph="onnx/model_q4.onnx",
            output="sentence_embedding",
            pooling=(),
            dimensions=(768, 512, 256, 128),
            prompts=_GEMMA_PROMPTS,
            max_length=2048,
        ),
    ),
    (
        Layout(
            name="onnx-community/embeddinggemma-2-ONNX",
            files={
                **configs("gemma", positions=8192, pad=0),
                "config_sentence_transformers.json": {"prompts": _GEMMA_PROMPTS},
                "onnx/model.onnx": graph(_GEMMA_OUTPUTS, inputs=_MULTIMODAL),
            },
            keys={"dimensions": _GEMMA_WIDTHS},
        ),
        embedding(
            "onnx/model.onnx",
            "config_sentence_transformers.json",
            inputs={
                **fed(IDS_AND_MASK),
                **dict.fromkeys(_FEATURES, Input(feed="zeros", dtype="float32", shape=(0, 512))),
            },
            output="sentence_embedding",
            pooling=(),
            dimensions=(768, 512, 256, 128),
            prompts=_GEMMA_PROMPTS,
            max_length=8192,
        ),
    ),
)
