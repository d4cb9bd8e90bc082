"""Own layouts of public repositories of encoders: file names, inputs, outputs and configs as they were seen.

What nobody saw of a repository is left out of its layout, and stands in `keys`, as a manifest would have to say it.
"""

from builder.recipe import Recipe
from tests.builder.layouts import (
    IDS_AND_MASK,
    SAVED,
    WITH_DATA,
    WITH_SEGMENTS,
    Layout,
    configs,
    embedding,
    fed,
    pipeline,
    states,
)
from tests.support.memory_repository import graph

RETRIEVAL_PROMPT = {"query": "Represent this sentence for searching relevant passages: "}
_MINILM = configs("bert", positions=512, pad=0, limit=512, hidden_size=384)

# Each layout with the whole recipe that follows from it.
ENCODERS: tuple[tuple[Layout, Recipe], ...] = (
    (
        Layout(
            name="Xenova/all-MiniLM-L6-v2",
            files={**_MINILM, "onnx/model_quantized.onnx": states(384, inputs=WITH_SEGMENTS)},
            others=["onnx/model.onnx", "onnx/model_fp16.onnx"],
            keys={"dtype": "q8", "pooling": "mean", "normalize": True, "max_length": 256},
        ),
        embedding(
            "onnx/model_quantized.onnx",
            graph="onnx/model_quantized.onnx",
            inputs=fed(WITH_SEGMENTS),
            pooling=("mean",),
            dimensions=(384,),
            max_length=256,
        ),
    ),
    (
        Layout(
            name="sentence-transformers/all-MiniLM-L6-v2",
            files={
                **_MINILM,
                **pipeline("Transformer", "Pooling", "Normalize", pooling="mean_tokens", max_seq_length=256),
                "onnx/model.onnx": states(384, inputs=WITH_SEGMENTS),
            },
            others=["onnx/model_O4.onnx", "onnx/model_qint8_avx512_vnni.onnx", "onnx/model_quint8_avx2.onnx"],
        ),
        embedding(
            "onnx/model.onnx",
            *SAVED,
            inputs=fed(WITH_SEGMENTS),
            pooling=("mean",),
            dimensions=(384,),
            max_length=256,
        ),
    ),
    (
        Layout(
            name="sentence-transformers/all-MiniLM-L6-v2 (a graph by its name)",
            files={
                **_MINILM,
                **pipeline("Transformer", "Pooling", "Normalize", pooling="mean_tokens", max_seq_length=256),
                "onnx/model_qint8_avx512_vnni.onnx": states(384, inputs=WITH_SEGMENTS),
            },
            others=["onnx/model.onnx"],
            keys={"graph": "onnx/model_qint8_avx512_vnni.onnx"},
        ),
        embedding(
            "onnx/model_qint8_avx512_vnni.onnx",
            *SAVED,
            graph="onnx/model_qint8_avx512_vnni.onnx",
            inputs=fed(WITH_SEGMENTS),
            pooling=("mean",),
            dimensions=(384,),
            max_length=256,
        ),
    ),
    (
        Layout(
            name="BAAI/bge-small-en-v1.5",
            files={
                **configs("bert", positions=512, pad=0, limit=512),
                **pipeline("Transformer", "Pooling", "Normalize", pooling="cls_token", max_seq_length=512),
                "onnx/model.onnx": states(384, inputs=WITH_SEGMENTS),
            },
            keys={"prompts": RETRIEVAL_PROMPT},
        ),
        embedding(
            "onnx/model.onnx",
            *SAVED,
            inputs=fed(WITH_SEGMENTS),
            pooling=("cls",),
            dimensions=(384,),
            max_length=512,
            prompts=RETRIEVAL_PROMPT,
        ),
    ),
    (
        Layout(
            name="BAAI/bge-m3",
            files={
                **configs("xlm-roberta", positions=8194, pad=1, limit=8192),
                **pipeline("Transformer", "Pooling", "Normalize", pooling="cls_token", max_seq_length=8192),
                "onnx/model.onnx": graph(
                    {"token_embeddings": ["batch", "sequence", 1024], "sentence_embedding": ["batch", 1024]},
                    external_data=["model.onnx_data", "Constant_7_attr__value"],
                ),
            },
            others=["onnx/model.onnx_data", "onnx/Constant_7_attr__value", "onnx/config.json", "onnx/tokenizer.json"],
        ),
        embedding(
            *WITH_DATA,
            "onnx/Constant_7_attr__value",
            *SAVED,
            output="sentence_embedding",
            pooling=(),
            dimensions=(1024,),
            max_length=8192,
            pad_token_id=1,
        ),
    ),
    (
        Layout(
            name="Xenova/bge-m3 (sentence_transformers.onnx)",
            files={
                **configs("xlm-roberta", positions=8194, pad=1, limit=8192),
                "onnx/sentence_transformers.onnx": graph(
                    {"token_embeddings": ["batch", "sequence", 1024], "sentence_embedding": ["batch", 1024]}
                ),
            },
            others=["onnx/model.onnx"],
            keys={"graph": "onnx/sentence_transformers.onnx"},
        ),
        embedding(
            "onnx/sentence_transformers.onnx",
            graph="onnx/sentence_transformers.onnx",
            output="sentence_embedding",
            pooling=(),
            normalize=False,
            dimensions=(1024,),
            max_length=8192,
            pad_token_id=1,
        ),
    ),
    (
        Layout(
            name="intfloat/multilingual-e5-small",
            files={
                **configs("bert", positions=512, pad=0, limit=512),
                **pipeline("Transformer", "Pooling", "Normalize", pooling="mean_tokens", max_seq_length=512),
                "onnx/model.onnx": states(384, inputs=WITH_SEGMENTS),
            },
            others=["onnx/model_O4.onnx", "onnx/model_qint8_avx512_vnni.onnx", "onnx/tokenizer.json"],
            keys={"prompts": {"query": "query: ", "passage": "passage: "}},
        ),
        embedding(
            "onnx/model.onnx",
            *SAVED,
            inputs=fed(WITH_SEGMENTS),
            pooling=("mean",),
            dimensions=(384,),
            max_length=512,
            prompts={"query": "query: ", "passage": "passage: "},
        ),
    ),
    (
        Layout(
            name="intfloat/multilingual-e5-base",
            files={
                **configs("xlm-roberta", positions=514, pad=1, limit=512),
                **pipeline("Transformer", "Pooling", "Normalize", pooling="mean_tokens", max_seq_length=512),
                "onnx/model.onnx": states(768, inputs=IDS_AND_MASK),
            },
            others=["onnx/model_O4.onnx", "onnx/model_qint8_avx512_vnni.onnx"],
            keys={"prompts": {"query": "query: ", "passage": "passage: "}},
        ),
        embedding(
            "onnx/model.onnx",
            *SAVED,
            pooling=("mean",),
            dimensions=(768,),
            max_length=512,
            pad_token_id=1,
            prompts={"query": "query: ", "passage": "passage: "},
        ),
    ),
    (
        Layout(
            name="intfloat/multilingual-e5-large",
            files={
                **configs("xlm-roberta", positions=514, pad=1, limit=512),
                **pipeline("Transformer", "Pooling", "Normalize", pooling="mean_tokens", max_seq_length=512),
                "onnx/model.onnx": states(1024, inputs=IDS_AND_MASK, external_data=["model.onnx_data"]),
            },
            others=["onnx/model.onnx_data", "onnx/model_O4.onnx"],
        ),
        embedding(*WITH_DATA, *SAVED, pooling=("mean",), dimensions=(1024,), max_length=512, pad_token_id=1),
    ),
    (
        Layout(
            name="Snowflake/snowflake-arctic-embed-m",
            files={
                **configs("bert", positions=512, pad=0, limit=512),
                **pipeline("Transformer", "Pooling", "Normalize", pooling="cls_token", max_seq_length=512),
                "onnx/model_int8.onnx": states(768, inputs=WITH_SEGMENTS),
            },
            others=["onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_quantized.onnx"],
            keys={"dtype": "int8", "prompts": RETRIEVAL_PROMPT},
        ),
        embedding(
            "onnx/model_int8.onnx",
            *SAVED,
            graph="onnx/model_int8.onnx",
            inputs=fed(WITH_SEGMENTS),
            pooling=("cls",),
            dimensions=(768,),
            max_length=512,
            prompts=RETRIEVAL_PROMPT,
        ),
    ),
    (
        Layout(
            name="mixedbread-ai/mxbai-embed-large-v1",
            files={
                **configs("bert", positions=512, pad=0, limit=512),
                **pipeline("Transformer", "Pooling", pooling="cls_token", max_seq_length=512),
                "onnx/model.onnx": states(1024, inputs=WITH_SEGMENTS),
            },
            others=["onnx/model_fp16.onnx", "onnx/model_quantized.onnx"],
            keys={"normalize": True, "dimensions": [1024, 512], "prompts": RETRIEVAL_PROMPT},
        ),
        embedding(
            "onnx/model.onnx",
            *SAVED,
            inputs=fed(WITH_SEGMENTS),
            pooling=("cls",),
            dimensions=(1024, 512),
            max_length=512,
            prompts=RETRIEVAL_PROMPT,
        ),
    ),
)
