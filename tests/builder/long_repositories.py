"""Own layouts of public repositories of encoders that read 8,192 tokens: modernbert, nomic, jina and their like."""

from builder.recipe import Recipe
from tests.builder.layouts import (
    DYNAMIC,
    IDS_AND_MASK,
    INT64,
    SAVED,
    WITH_DATA,
    WITH_SEGMENTS,
    Inputs,
    Layout,
    configs,
    embedding,
    fed,
    pipeline,
    states,
)
from tests.support.memory_repository import graph

JINA_TASKS = {
    "retrieval.query": "Represent the query for retrieving evidence documents: ",
    "retrieval.passage": "Represent the document for retrieval: ",
    "separation": "",
    "classification": "",
    "text-matching": "",
}
JINA_WIDTHS = [1024, 768, 512, 256, 128, 64, 32]
WITH_ADAPTER: Inputs = {**IDS_AND_MASK, "task_id": (INT64, ())}

LONG_ENCODERS: tuple[tuple[Layout, Recipe], ...] = (
    (
        Layout(
            name="nomic-ai/nomic-embed-text-v1.5",
            files={
                **configs("nomic_bert", positions=8192, pad=0, limit=8192),
                **pipeline("Transformer", "Pooling", pooling="mean_tokens", max_seq_length=8192),
                "onnx/model.onnx": states(768, inputs=WITH_SEGMENTS),
            },
            keys={"dimensions": [768, 512, 256, 128, 64]},
        ),
        embedding(
            "onnx/model.onnx",
            *SAVED,
            inputs=fed(WITH_SEGMENTS),
            pooling=("mean",),
            normalize=False,
            dimensions=(768, 512, 256, 128, 64),
            max_length=8192,
        ),
    ),
    (
        Layout(
            name="Snowflake/snowflake-arctic-embed-m-v2.0",
            files={
                **configs("gte", positions=8192, pad=1, limit=8192),
                **pipeline("Transformer", "Pooling", "Normalize", pooling="cls_token", max_seq_length=8192),
                "onnx/model_quantized.onnx": states(768, inputs=IDS_AND_MASK, operators=DYNAMIC),
            },
            others=["onnx/model.onnx", "onnx/model_q4.onnx"],
            keys={"dtype": "q8", "prompts": {"query": "query: "}},
        ),
        embedding(
            "onnx/model_quantized.onnx",
            *SAVED,
            graph="onnx/model_quantized.onnx",
            pooling=("cls",),
            dimensions=(768,),
            max_length=8192,
            pad_token_id=1,
            prompts={"query": "query: "},
            quantizes_dynamically=True,
            batching=False,
        ),
    ),
    (
        Layout(
            name="nomic-ai/modernbert-embed-base",
            files={
                **configs("modernbert", positions=8192, pad=50283, limit=8192),
                **pipeline("Transformer", "Pooling", "Normalize", pooling="mean_tokens", max_seq_length=8192),
                "onnx/model_quantized.onnx": states(768, inputs=IDS_AND_MASK),
            },
            others=["onnx/model.onnx"],
            keys={"dtype": "q8", "prompts": {"query": "search_query: ", "document": "search_document: "}},
        ),
        embedding(
            "onnx/model_quantized.onnx",
            *SAVED,
            graph="onnx/model_quantized.onnx",
            pooling=("mean",),
            dimensions=(768,),
            max_length=8192,
            pad_token_id=50283,
            prompts={"query": "search_query: ", "document": "search_document: "},
        ),
    ),
    (
        Layout(
            name="jinaai/jina-embeddings-v3",
            files={
                **configs(
                    "xlm-roberta",
                    positions=8194,
                    pad=1,
                    lora_adaptations=list(JINA_TASKS),
                    task_instructions=JINA_TASKS,
                ),
                "onnx/model.onnx": graph(
                    {"text_embeds": ["batch", "sequence", 1024], "pooled": ["batch", 1024]},
                    inputs=WITH_ADAPTER,
                    external_data=["model.onnx_data"],
                ),
            },
            others=["onnx/model.onnx_data", "onnx/model_fp16.onnx"],
            keys={"pooling": "mean", "normalize": True, "default_prompt": "text-matching", "dimensions": JINA_WIDTHS},
        ),
        embedding(
            *WITH_DATA,
            inputs=fed(WITH_ADAPTER),
            output="text_embeds",
            pooling=("mean",),
            dimensions=tuple(JINA_WIDTHS),
            adapters={name: number for number, name in enumerate(JINA_TASKS)},
            prompts=JINA_TASKS,
            default_prompt="text-matching",
            max_length=8192,
            pad_token_id=1,
        ),
    ),
    (
        Layout(
            name="Alibaba-NLP/gte-modernbert-base",
            files={
                **configs("modernbert", positions=8192, pad=50283, limit=8192),
                "onnx/model_q4f16.onnx": states(768, inputs=IDS_AND_MASK),
            },
            others=["onnx/model.onnx", "onnx/model_bnb4.onnx", "onnx/model_q4.onnx"],
            keys={"dtype": "q4f16", "pooling": "cls", "normalize": True},
        ),
        embedding(
            "onnx/model_q4f16.onnx",
            graph="onnx/model_q4f16.onnx",
            pooling=("cls",),
            dimensions=(768,),
            max_length=8192,
            pad_token_id=50283,
        ),
    ),
    (
        Layout(
            name="onnx-community/gte-multilingual-base",
            files={
                **configs("new", positions=8192, pad=1, limit=8192),
                "onnx/model_int8.onnx": states(768, inputs=IDS_AND_MASK),
            },
            others=["onnx/model_q4.onnx"],
            keys={"dtype": "int8", "pooling": "cls", "normalize": True},
        ),
        embedding(
            "onnx/model_int8.onnx",
            graph="onnx/model_int8.onnx",
            pooling=("cls",),
            dimensions=(768,),
            max_length=8192,
            pad_token_id=1,
        ),
    ),
    (
        Layout(
            name="jinaai/jina-embeddings-v5-text-nano-retrieval",
            files={
                **configs("eurobert", positions=8192, pad=1),
                "onnx/model_quantized.onnx": graph(
                    {"sentence_embedding": ["batch", 768]}, external_data=["model_quantized.onnx_data"]
                ),
            },
            others=["onnx/model_quantized.onnx_data"],
            keys={"dtype": "q8", "prompts": {"query": "Query: ", "document": "Document: "}},
        ),
        embedding(
            "onnx/model_quantized.onnx",
            "onnx/model_quantized.onnx_data",
            graph="onnx/model_quantized.onnx",
            output="sentence_embedding",
            pooling=(),
            normalize=False,
            dimensions=(768,),
            max_length=8192,
            pad_token_id=1,
            prompts={"query": "Query: ", "document": "Document: "},
        ),
    ),
    (
        Layout(
            name="onnx-community/granite-embedding-small-english-r2-ONNX",
            files={
                **configs("modernbert", positions=8192, pad=50283, limit=8192),
                "onnx/model.onnx": graph(
                    {"last_hidden_state": ["batch", "sequence", 384], "sentence_embedding": ["batch", 384]},
                    external_data=["model.onnx_data"],
                ),
            },
            others=["onnx/model.onnx_data"],
            keys={"normalize": True},
        ),
        embedding(
            *WITH_DATA,
            output="sentence_embedding",
            pooling=(),
            dimensions=(384,),
            max_length=8192,
            pad_token_id=50283,
        ),
    ),
)
