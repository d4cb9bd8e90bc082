"""Own layouts of public repositories of rerankers, and of repositories that have to be refused, as they were seen."""

from collections.abc import Sequence
from typing import Any

from builder.recipe import Recipe
from builder.reranking import Windows
from tests.builder.layouts import (
    DYNAMIC,
    FLOAT,
    IDS_AND_MASK,
    TOKENIZER,
    WITH_DATA,
    WITH_POSITIONS,
    WITH_SEGMENTS,
    Inputs,
    Layout,
    cache,
    configs,
    fed,
    logits,
    reranker,
    states,
)
from tests.support.memory_repository import graph

_IDENTITY = "torch.nn.modules.linear.Identity"
_JINA = {"architectures": ["XLMRobertaForSequenceClassification"], "num_labels": 1, "id2label": {"0": "LABEL_0"}}
_JINA_POSITIONS = {"max_position_embeddings": 1026, "pad_token_id": 1}

_QWEN_PAD = 151643
_QWEN_INPUTS: Inputs = {**WITH_POSITIONS, **cache(FLOAT)}
_QWEN_LOGITS: dict[str, Sequence[int | str]] = {"logits": ["batch", "sequence", 151669]}
_QWEN = {
    **configs("qwen3", positions=40960, pad=_QWEN_PAD),
    "tokenizer_config.json": {"model_max_length": 131072, "padding_side": "left"},
    TOKENIZER: {"padding": None, "model": {"vocab": {"no": 2152, "yes": 9693}}},
    "onnx/model_q4.onnx": graph(_QWEN_LOGITS, inputs=_QWEN_INPUTS, operators=["MatMulNBits", "GroupQueryAttention"]),
    "onnx/model_quantized.onnx": graph(_QWEN_LOGITS, inputs=_QWEN_INPUTS, operators=[*DYNAMIC, "GroupQueryAttention"]),
}
_QWEN_PROMPT = {"web": "Given a web search query, retrieve relevant passages that answer the query"}
_QWEN_TEMPLATE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: {prompt}\n<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n"
)
QWEN_KEYS = {
    "true_token": "yes",
    "false_token": "no",
    "template": _QWEN_TEMPLATE,
    "prompts": _QWEN_PROMPT,
    "default_prompt": "web",
    "max_length": 8192,
}


def _qwen(graph_file: str, **changes: Any) -> Recipe:
    """Say what should be decided of either graph: the tokenizer's side is left, and fused attention wants right."""
    return reranker(
        graph_file,
        graph=graph_file,
        inputs=fed(_QWEN_INPUTS, cache_dtype="float32"),
        answer_tokens=(9693, 2152),
        template=_QWEN_TEMPLATE,
        prompts=_QWEN_PROMPT,
        default_prompt="web",
        max_length=8192,
        pad_token_id=_QWEN_PAD,
        padding_side="right",
        batching=False,
        **changes,
    )


RERANKERS: tuple[tuple[Layout, Recipe], ...] = (
    (
        Layout(
            name="jinaai/jina-reranker-v2-base-multilingual",
            files={
                **configs("", positions=1026, pad=1, limit=1026),
                "config.json": {**_JINA, **_JINA_POSITIONS},
                "onnx/model.onnx": logits(inputs=IDS_AND_MASK),
            },
            others=["model.safetensors", "modeling_xlm_roberta.py", "onnx/model_fp16.onnx"],
        ),
        reranker("onnx/model.onnx", max_length=1024, pad_token_id=1),
    ),
    (
        Layout(
            name="jinaai/jina-reranker-v2-base-multilingual (q8, long documents in windows)",
            files={
                **configs("", positions=1026, pad=1, limit=1026),
                "config.json": {**_JINA, **_JINA_POSITIONS},
                "onnx/model_quantized.onnx": logits(inputs=IDS_AND_MASK, operators=DYNAMIC),
            },
            others=["onnx/model.onnx"],
            keys={"dtype": "q8", "long_documents": "windows"},
        ),
        reranker(
            "onnx/model_quantized.onnx",
            graph="onnx/model_quantized.onnx",
            windows=Windows(query_length=512, overlap=80),
            max_length=1024,
            pad_token_id=1,
            quantizes_dynamically=True,
            batching=False,
        ),
    ),
    (
        Layout(
            name="mixedbread-ai/mxbai-rerank-base-v1",
            files={
                **configs("deberta-v2", positions=512, pad=0, limit=512),
                "onnx/model_quantized.onnx": logits(inputs=IDS_AND_MASK),
            },
            others=["onnx/model.onnx", "spm.model"],
            keys={"dtype": "q8"},
        ),
        reranker("onnx/model_quantized.onnx", graph="onnx/model_quantized.onnx", max_length=512, pad_token_id=0),
    ),
    (
        Layout(
            name="BAAI/bge-reranker-base",
            files={
                **configs("xlm-roberta", positions=514, pad=1, limit=512),
                "onnx/model.onnx": logits(inputs=IDS_AND_MASK),
            },
            others=["onnx/tokenizer.json", "onnx/config.json"],
        ),
        reranker("onnx/model.onnx", max_length=512, pad_token_id=1),
    ),
    (
        Layout(
            name="onnx-community/bge-reranker-v2-m3-ONNX",
            files={
                **configs("xlm-roberta", positions=8194, pad=1, limit=8192),
                "onnx/model.onnx": logits(inputs=IDS_AND_MASK, external_data=["model.onnx_data"]),
            },
            others=["onnx/model.onnx_data", "onnx/model_int8.onnx", "onnx/model_fp16.onnx", "onnx/model_q4f16.onnx"],
            keys={"max_length": 1024},
        ),
        reranker(*WITH_DATA, max_length=1024, pad_token_id=1),
    ),
    (
        Layout(
            name="cross-encoder/ms-marco-MiniLM-L6-v2",
            files={
                **configs(
                    "bert",
                    positions=512,
                    pad=0,
                    limit=512,
                    sbert_ce_default_activation_function=_IDENTITY,
                    sentence_transformers={"activation_fn": _IDENTITY},
                ),
                "onnx/model.onnx": logits(inputs=WITH_SEGMENTS),
            },
            others=["onnx/model_O4.onnx", "onnx/model_qint8_arm64.onnx", "onnx/model_quint8_avx2.onnx"],
        ),
        reranker("onnx/model.onnx", inputs=fed(WITH_SEGMENTS), max_length=512, pad_token_id=0, activation="identity"),
    ),
    (
        Layout(
            name="Alibaba-NLP/gte-reranker-modernbert-base",
            files={
                **configs("modernbert", positions=8192, pad=50283, limit=8192),
                "onnx/model_uint8.onnx": logits(inputs=IDS_AND_MASK),
            },
            others=["onnx/model.onnx", "onnx/model_int8.onnx"],
            keys={"dtype": "uint8"},
        ),
        reranker("onnx/model_uint8.onnx", graph="onnx/model_uint8.onnx", max_length=8192, pad_token_id=50283),
    ),
    (
        Layout(
            name="onnx-community/gte-multilingual-reranker-base",
            files={
                **configs("new", positions=8192, pad=1, limit=8192),
                "onnx/model.onnx": logits(inputs=IDS_AND_MASK),
            },
            others=["onnx/model_fp16.onnx", "onnx/model_q4.onnx"],
        ),
        reranker("onnx/model.onnx", max_length=8192, pad_token_id=1),
    ),
    (
        Layout(
            name="jinaai/jina-reranker-v1-turbo-en",
            files={
                **configs("bert", positions=8192, pad=0, limit=8192),
                "onnx/model_bnb4.onnx": logits(inputs=IDS_AND_MASK),
            },
            others=["onnx/model.onnx", "onnx/model_q4.onnx"],
            keys={"dtype": "bnb4"},
        ),
        reranker("onnx/model_bnb4.onnx", graph="onnx/model_bnb4.onnx", max_length=8192, pad_token_id=0),
    ),
    (
        Layout(
            name="onnx-community/Qwen3-Reranker-0.6B-ONNX",
            files=_QWEN,
            keys={**QWEN_KEYS, "dtype": "q4"},
        ),
        _qwen("onnx/model_q4.onnx"),
    ),
    (
        Layout(
            name="onnx-community/Qwen3-Reranker-0.6B-ONNX (q8)",
            files=_QWEN,
            keys={**QWEN_KEYS, "dtype": "q8"},
        ),
        _qwen("onnx/model_quantized.onnx", quantizes_dynamically=True),
    ),
)

_MINILM = configs("bert", positions=512, pad=0, limit=512)

# Each layout with its task and the message of the refusal.
REFUSED: tuple[tuple[Layout, str, str], ...] = (
    (
        Layout(name="Xenova/all-MiniLM-L6-v2", files={**_MINILM, "onnx/model.onnx": states(384, inputs=WITH_SEGMENTS)}),
        "embedding",
        "neither the manifest nor `Xenova/all-MiniLM-L6-v2` says how token vectors are pooled",
    ),
    (
        Layout(
            name="intfloat/multilingual-e5-large",
            files={
                **configs("xlm-roberta", positions=514, pad=1, limit=512),
                "onnx/model_O4.onnx": states(1024, inputs=IDS_AND_MASK, external_data=["model_O4.onnx_data"]),
            },
            others=["onnx/model.onnx", "onnx/model.onnx_data"],
            keys={"graph": "onnx/model_O4.onnx"},
        ),
        "embedding",
        "`onnx/model_O4.onnx` of `intfloat/multilingual-e5-large` needs `onnx/model_O4.onnx_data`, which is missing",
    ),
    (
        Layout(name="BAAI/bge-reranker-v2-m3", files=_MINILM, others=["model.safetensors"]),
        "reranker",
        "`BAAI/bge-reranker-v2-m3` has no ONNX file",
    ),
    (
        Layout(name="onnx-community/Qwen3-Reranker-0.6B-ONNX", files=_QWEN, others=["onnx/model_quantized.onnx"]),
        "reranker",
        "`onnx-community/Qwen3-Reranker-0.6B-ONNX` has no graph of dtype `fp32`",
    ),
    (
        Layout(name="onnx-community/Qwen3-Reranker-0.6B-ONNX", files=_QWEN, keys={"dtype": "q4"}),
        "reranker",
        "neither the manifest nor `onnx-community/Qwen3-Reranker-0.6B-ONNX` says which token means that a document is "
        "relevant",
    ),
)
