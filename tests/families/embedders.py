"""Own the families of embedding models: a tiny model of each, how a manifest asks for it and what it should answer."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from safetensors.numpy import save_file

from tests.families import graphs, numbers
from tests.families.graphs import IDS_AND_MASK, POOLED, TOKENS, WITH_SEGMENTS, node
from tests.families.numbers import Floats
from tests.families.serving import CONFIG, NEW, OLD, configs, modules
from tests.runtime import reference, tiny

MODEL = "onnx/model.onnx"


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Models that are served alike: `examples` are repositories whose layout is tested, `decided` is for the README.

    `answer` gives the vector of one text; `asked` is what a request says beside its texts.
    """

    name: str
    examples: Sequence[str] = ()
    decided: str
    write: Callable[[Path], None]
    keys: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    answer: Callable[[str], Floats]


def ids_of(text: str) -> list[int]:
    return [tiny.CLS, *tiny.ids_of(text), tiny.SEP]


def segmented(text: str) -> Floats:
    """Compute the states of a text of one segment."""
    ids = ids_of(text)
    return numbers.encoder_states(ids, segments=[0] * len(ids))


def unit(vector: Floats) -> Floats:
    return reference.unit(vector)


def _encoder(folder: Path, *more: str, inputs: Sequence[str] = IDS_AND_MASK, output: str = "last_hidden_state") -> None:
    graphs.tokenizer(folder)
    graphs.write(folder / MODEL, nodes=graphs.encoder(output, *more), inputs=inputs, outputs={output: TOKENS})


def _sentence_transformers(folder: Path, pooling: str, *names: str) -> None:
    listed = modules("Transformer", "Pooling", *names)
    configs(folder, modules=listed, **{"1_Pooling__config": {f"pooling_mode_{pooling}": True}})


def _mean_with_segments(folder: Path) -> None:
    _encoder(folder, "segments:token_type_ids", inputs=WITH_SEGMENTS)
    _sentence_transformers(folder, "mean_tokens", "Normalize")


def _cls_with_segments(folder: Path) -> None:
    _encoder(folder, "segments:token_type_ids", inputs=WITH_SEGMENTS)
    _sentence_transformers(folder, "cls_token", "Normalize")


def _plain(folder: Path) -> None:
    _encoder(folder)
    configs(folder)


def _not_normalized(folder: Path) -> None:
    _encoder(folder, "segments:token_type_ids", inputs=WITH_SEGMENTS)
    _sentence_transformers(folder, "mean_tokens")


def _input_type(folder: Path) -> None:
    _encoder(folder, "segments:input_type", inputs=(*IDS_AND_MASK, "input_type"))
    configs(folder)


def _roberta_positions(folder: Path) -> None:
    _encoder(folder, "positions:position_ids", inputs=(*IDS_AND_MASK, "position_ids"))
    configs(folder, config={"model_type": "roberta", "max_position_embeddings": 64, "pad_token_id": 1})


def _pooled_in_the_graph(folder: Path) -> None:
    """Write a graph that takes the first token to unit length, and has weights outside of it in two places."""
    graphs.tokenizer(folder)
    configs(folder, **{"1_Pooling__config": {"pooling_mode_cls_token": True}})
    constant = node("Constant", [], ["half"], value=_scalar("Constant_7_attr__value"))
    cls = node("Gather", ["token_embeddings", "first"], ["cls"], axis=1)
    normalize = node("LpNormalization", ["cls"], ["sentence_embedding"], axis=-1, p=2)
    outputs = {"token_embeddings": TOKENS, "sentence_embedding": POOLED}
    nodes = [constant, *graphs.encoder("token_embeddings"), cls, normalize]
    graphs.write(folder / MODEL, nodes=nodes, outputs=outputs)
    model = onnx.load(folder / MODEL, load_external_data=False)
    del model.graph.initializer[next(n for n, each in enumerate(model.graph.initializer) if each.name == "half")]
    words = next(each for each in model.graph.initializer if each.name == "words")
    (folder / "onnx/model.onnx_data").write_bytes(words.raw_data)
    words.ClearField("raw_data")
    _move_out(words, "model.onnx_data")
    (folder / MODEL).write_bytes(model.SerializeToString())
    (folder / "onnx/Constant_7_attr__value").write_bytes(np.float32(0.5).tobytes())


def _scalar(location: str) -> TensorProto:
    tensor = TensorProto(name="value", data_type=TensorProto.FLOAT)
    _move_out(tensor, location)
    return tensor


def _move_out(tensor: TensorProto, location: str) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def _mean_in_the_graph(folder: Path, *, inputs: Sequence[onnx.ValueInfoProto] = (), nodes: graphs.Nodes) -> None:
    graphs.tokenizer(folder)
    mean = graphs.mean("last_hidden_state", weights="weights", output="sentence_embedding")
    every = [*nodes, *graphs.encoder("last_hidden_state"), *mean]
    outputs = {"last_hidden_state": TOKENS, "sentence_embedding": POOLED}
    graphs.write(folder / MODEL, nodes=every, more_inputs=inputs, outputs=outputs)
    configs(folder)


def _multimodal(folder: Path) -> None:
    """Write a graph that puts features of pictures, films and sound before nothing: there are none."""
    names = ("image_features", "video_features", "audio_features")
    features = [graphs.value(name, TensorProto.FLOAT, [f"num_{name}", 512]) for name in names]
    _mean_in_the_graph(folder, inputs=features, nodes=[node("Concat", list(names), ["features"], axis=0)])


def _decoder(folder: Path, *, kind: int = TensorProto.FLOAT, graph: str = MODEL) -> None:
    graphs.tokenizer(folder)
    configs(folder, tokenizer_config={"padding_side": "left"})
    graphs.write(
        folder / graph,
        nodes=graphs.decoder("last_hidden_state"),
        inputs=(*IDS_AND_MASK, "position_ids"),
        more_inputs=graphs.past(kind),
        outputs={"last_hidden_state": TOKENS},
    )


def _half_decoder(folder: Path) -> None:
    _decoder(folder, kind=TensorProto.FLOAT16, graph="onnx/model_fp16.onnx")


def _bare_decoder(folder: Path) -> None:
    graphs.tokenizer(folder)
    configs(folder, tokenizer_config={"padding_side": "left"})
    nodes = graphs.bare_decoder("last_hidden_state")
    graphs.write(folder / "model.onnx", nodes=nodes, outputs={"last_hidden_state": TOKENS})


def _fused_decoder(folder: Path) -> None:
    graphs.tokenizer(folder)
    configs(folder, tokenizer_config={"padding_side": "left"})
    graphs.write(
        folder / MODEL,
        nodes=graphs.attention("last_hidden_state"),
        more_inputs=graphs.attention_past(),
        outputs={"last_hidden_state": TOKENS},
    )


TASKS = ["retrieval.query", "retrieval.passage", "separation", "classification", "text-matching"]


def _adapters(folder: Path) -> None:
    """Write a graph with an adapter for each task, chosen for a whole run, and a second output that is not read."""
    graphs.tokenizer(folder)
    prompts = dict.fromkeys(TASKS, "") | {"retrieval.query": "search query: "}
    configs(
        folder,
        config={**CONFIG, "lora_adaptations": TASKS, "task_instructions": prompts},
        modules=modules("Transformer", "Pooling", "Normalize", package="custom_st"),
        **{"1_Pooling__config": {"pooling_mode_mean_tokens": True}},
    )
    pooled = graphs.mean("text_embeds", weights="weights", output="pooled")
    graphs.write(
        folder / MODEL,
        nodes=[*graphs.encoder("text_embeds", "adapters:task_id"), *pooled],
        more_inputs=[graphs.value("task_id", TensorProto.INT64, [])],
        outputs={"text_embeds": TOKENS, "pooled": POOLED},
    )


_random = np.random.default_rng(20261126)
WIDE = (_random.normal(size=(48, 2 * tiny.HIDDEN)) / 8).astype(np.float32)
SQUARE, SHIFT = (_random.normal(size=(48, 48)) / 8).astype(np.float32), _random.normal(size=48).astype(np.float32)
SCALE, BIAS = _random.normal(size=48).astype(np.float32), _random.normal(size=48).astype(np.float32)


def _layers(folder: Path, *, package: str, pooling: Mapping[str, Any]) -> None:
    """Write a pipeline of two poolings, a layer, a residual layer and a layer norm, none of it in the graph."""
    _encoder(folder)
    names = ("Transformer", "Pooling", "Dense", "Dense", "LayerNorm", "Normalize")
    activation = "torch.nn.modules.activation"
    configs(
        folder,
        modules=modules(*names, package=package),
        config_sentence_transformers={"prompts": {"query": "search query: "}, "default_prompt_name": "query"},
        **{
            "1_Pooling__config": pooling,
            "2_Dense__config": {"in_features": 64, "out_features": 48, "bias": False},
            "3_Dense__config": {
                "in_features": 48,
                "out_features": 48,
                "activation_function": f"{activation}.GELU",
                "use_residual": True,
            },
            "4_LayerNorm__config": {"dimension": 48},
        },
    )
    save_file({"linear.weight": WIDE}, folder / "2_Dense/model.safetensors")
    save_file({"linear.weight": SQUARE, "linear.bias": SHIFT}, folder / "3_Dense/model.safetensors")
    save_file({"norm.weight": SCALE, "norm.bias": BIAS}, folder / "4_LayerNorm/model.safetensors")


def _layered(text: str, *, skipped: int = 0) -> Floats:
    states = numbers.encoder_states(ids_of(f"search query: {text}"))
    wide = np.tanh(WIDE.astype(np.float64) @ reference.pooled(states, ["cls", "mean"], skipped=skipped))
    linear = SQUARE.astype(np.float64) @ wide + SHIFT
    residual = wide + np.array([value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in linear])
    normed = (residual - residual.mean()) / np.sqrt(residual.var() + 1e-5)
    return unit(normed * SCALE + BIAS)


def _old_layers(folder: Path) -> None:
    _layers(folder, package=OLD, pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True})


def _new_layers(folder: Path) -> None:
    _layers(folder, package=NEW, pooling={"pooling_mode": ["cls", "mean"], "include_prompt": False})


_MATRYOSHKA = {"dimensions": [32, 16, 8]}
_LAST_TOKEN = {"pooling": "lasttoken", "normalize": True, "prompts": {"query": "search query: "}}

EMBEDDERS = (
    Family(
        name="encoders that read segments, mean of their tokens",
        examples=("sentence-transformers/all-MiniLM-L6-v2", "intfloat/multilingual-e5-small"),
        decided="pooling, unit length and length from sentence-transformers' files",
        write=_mean_with_segments,
        answer=lambda text: unit(segmented(text).mean(axis=0)),
    ),
    Family(
        name="encoders that read segments, first token",
        examples=("BAAI/bge-small-en-v1.5", "Snowflake/snowflake-arctic-embed-m", "mixedbread-ai/mxbai-embed-large-v1"),
        decided="the same; prompts from the manifest",
        write=_cls_with_segments,
        keys={"prompts": {"query": "search query: "}, "default_prompt": "query"},
        answer=lambda text: unit(segmented(f"search query: {text}")[0]),
    ),
    Family(
        name="encoders without segments",
        examples=(
            "intfloat/multilingual-e5-base",
            "Alibaba-NLP/gte-modernbert-base",
            "nomic-ai/modernbert-embed-base",
        ),
        decided="pooling and unit length from the manifest where there are no such files",
        write=_plain,
        keys={"pooling": "cls", "normalize": True},
        answer=lambda text: unit(numbers.encoder_states(ids_of(text))[0]),
    ),
    Family(
        name="encoders whose segments are called `input_type`",
        decided="fed as `token_type_ids`",
        write=_input_type,
        keys={"pooling": "mean", "normalize": True},
        answer=lambda text: unit(segmented(text).mean(axis=0)),
    ),
    Family(
        name="RoBERTa's positions as an input",
        decided="positions start after the padding token's id",
        write=_roberta_positions,
        keys={"pooling": "mean", "normalize": True},
        answer=lambda text: unit(numbers.encoder_states(ids_of(text), first_position=2).mean(axis=0)),
    ),
    Family(
        name="Matryoshka vectors that are not of unit length",
        examples=("nomic-ai/nomic-embed-text-v1.5",),
        decided="no unit length, as its modules say; widths from the manifest",
        write=_not_normalized,
        keys=_MATRYOSHKA,
        asked={"dimensions": 8},
        answer=lambda text: segmented(text).mean(axis=0)[:8],
    ),
    Family(
        name="`sentence_embedding` that the graph finishes",
        examples=("BAAI/bge-m3", "jinaai/jina-embeddings-v5-text-nano-retrieval"),
        decided="served as it is; every file with weights that the graph names, attributes of nodes too",
        write=_pooled_in_the_graph,
        answer=lambda text: unit(numbers.encoder_states(ids_of(text))[0]),
    ),
    Family(
        name="`sentence_embedding` that is not of unit length",
        examples=("onnx-community/granite-embedding-small-english-r2-ONNX",),
        decided="unit length from the manifest",
        write=partial(_mean_in_the_graph, nodes=[]),
        keys={"normalize": True},
        answer=lambda text: unit(numbers.encoder_states(ids_of(text)).mean(axis=0)),
    ),
    Family(
        name="Matryoshka vectors that the graph finishes",
        examples=("onnx-community/embeddinggemma-300m-ONNX",),
        decided="cut, then of unit length again; prompts from the manifest",
        write=partial(_mean_in_the_graph, nodes=[]),
        keys={**_MATRYOSHKA, "prompts": {"query": "search query: "}},
        asked={"dimensions": 16, "prompt_name": "query"},
        answer=lambda text: unit(numbers.encoder_states(ids_of(f"search query: {text}")).mean(axis=0)[:16]),
    ),
    Family(
        name="graphs of text, pictures, films and sound",
        examples=("onnx-community/embeddinggemma-2-ONNX",),
        decided="empty features of the width that the graph says",
        write=_multimodal,
        keys=_MATRYOSHKA,
        answer=lambda text: unit(numbers.encoder_states(ids_of(text)).mean(axis=0)),
    ),
    Family(
        name="decoders with positions and a cache, last token",
        examples=("onnx-community/Qwen3-Embedding-0.6B-ONNX",),
        decided="an empty cache of the graph's heads, size and type; padding as the tokenizer says",
        write=_decoder,
        keys=_LAST_TOKEN,
        asked={"prompt_name": "query"},
        answer=lambda text: unit(numbers.causal_states(ids_of(f"search query: {text}"))[-1]),
    ),
    Family(
        name="the same with a cache of float16",
        examples=("onnx-community/Qwen3-Embedding-0.6B-ONNX (fp16)",),
        decided="the same",
        write=_half_decoder,
        keys={**_LAST_TOKEN, "dtype": "fp16"},
        answer=lambda text: unit(numbers.causal_states(ids_of(text))[-1]),
    ),
    Family(
        name="decoders that take ids and mask alone",
        examples=("Qdrant/Qwen3-Embedding-0.6B-onnx",),
        decided="the same without positions and cache",
        write=_bare_decoder,
        keys=_LAST_TOKEN,
        answer=lambda text: unit(numbers.causal_states(ids_of(text))[-1]),
    ),
    Family(
        name="decoders with fused attention (GroupQueryAttention)",
        decided="padding on the right whatever the tokenizer says: the operator counts a row's tokens from its start",
        write=_fused_decoder,
        keys=_LAST_TOKEN,
        answer=lambda text: unit(numbers.attention_states(ids_of(text))[-1]),
    ),
    Family(
        name="LoRA adapters chosen by `task_id`",
        examples=("jinaai/jina-embeddings-v3",),
        decided="adapters by name and their prompts from `config.json`; a run of the graph has one adapter",
        write=_adapters,
        keys={"default_prompt": "text-matching"},
        asked={"prompt_name": "retrieval.query"},
        answer=lambda text: unit(numbers.encoder_states(ids_of(f"search query: {text}"), adapter=0).mean(axis=0)),
    ),
    Family(
        name="modules after pooling, saved by sentence-transformers up to 5.3",
        decided="poolings to concatenate, Dense with Identity, Tanh, ReLU, GELU, SiLU or Sigmoid, LayerNorm, Normalize",
        write=_old_layers,
        answer=_layered,
    ),
    Family(
        name="modules after pooling, saved from 5.4 on",
        decided="the same; residual Dense; a prompt that is read and not pooled",
        write=_new_layers,
        answer=partial(_layered, skipped=4),
    ),
)
