"""Own tiny look-alikes of the two default models: real names, inputs, outputs and configs, weights of our own.

They behave well enough for a smoke test. The embedding is a mean of word vectors, so shared words mean similarity;
the reranker's logit is the share of the query's words that the document repeats.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

EMBEDDING_REPOSITORY = "onnx-community/embeddinggemma-300m-ONNX"
RERANKER_REPOSITORY = "jinaai/jina-reranker-v2-base-multilingual"
WIDTH = 768

_WORD_WIDTH = 64  # word vectors are this narrow and projected to WIDTH, which keeps the files small
_OPSET = 18
_IR_VERSION = 10
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_PUNCTUATION = ".,;:!?'\"()[]{}<>|/\\+-*=&%$#@_~^`"
_COMMON = """
the a an and or but if of to in on at by for from with without into over under up down out off as is are was were be
been being am do does did done have has had i you he she it we they me him her us them my your his its our their this
that these those there here who what which when where why how not no yes so than then too very can could will would
shall should may might must just only also all any some each every other another more most many much few less least
one two three four five six seven eight nine ten first second next last new old own same such both between about after
before again once never always often while until because during through against task search result query title none
text sentence similarity code retrieval classification clustering question answering fact checking
"""
_ORDINARY = """
cat cats dog dogs sit sits sitting warm sunny window windowsill rest rests sleep sleeps animal animals pet bird fish
horse house home garden tree trees flower green red blue white black yellow bright dark cold hot sun moon star stars
sky rain snow wind weather summer winter spring autumn day days night morning evening week month year today tomorrow
interest rate rates rose rise fall fell quarter point points tuesday monday wednesday thursday friday saturday sunday
bank money price prices market stock stocks trade economy inflation percent cost pay paid buy sell company business
reset password account settings security open choose click sign log login user users name email address change forgot
set help support page website internet computer phone network server machine software program data file files model
models language word words book books read write written letter story news paper school student teacher learn study
science planet planets mars earth water fire air food eat drink bread milk coffee tea cook kitchen dinner restaurant
city cities country countries capital france paris germany berlin england london river mountain sea road car cars train
bus bike plane travel trip walk run runs running play plays playing game team ball music song sing film art picture
man men woman women child children boy girl friend family mother father brother sister people person doctor hospital
health work works working job office meeting time times place world life love hand head eye heart good bad big small
great little long short high low fast slow easy hard early late right left true false known called make makes made
take takes took get gets got give gives gave go goes went come comes came see sees saw know knows think thinks say says
said tell ask asks answer answers find finds found use uses used want wants need needs like likes look looks show
shows start stop begin end keep let put turn move live believe bring happen provide hold
"""


def write_lookalikes(directory: Path) -> None:
    """Write both repositories below `directory`, as a stand-in Hub serves them."""
    write_embedding_model(directory / EMBEDDING_REPOSITORY)
    write_reranker(directory / RERANKER_REPOSITORY)


def write_embedding_model(folder: Path) -> None:
    """Write the look-alike of embeddinggemma: two outputs, external data, normalised inside the graph."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    vocabulary = _vocabulary(special)
    graph = _embedding_graph(vocabulary, special)
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    (folder / "onnx/model.onnx_data").unlink(missing_ok=True)  # onnx would append to it
    onnx.save(graph, folder / "onnx/model.onnx", save_as_external_data=True, location="model.onnx_data")
    tokenizer = _tokenizer(vocabulary, unknown="<unk>", special=special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>",
        pair="<bos> $A <eos> <bos> $B <eos>",
        special_tokens=[("<bos>", vocabulary["<bos>"]), ("<eos>", vocabulary["<eos>"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_configs(folder, _embedding_configs(len(vocabulary)))
    (folder / "README.md").write_text("---\nlicense: gemma\n---\nA tiny look-alike for tests.\n", encoding="utf-8")


def write_reranker(folder: Path) -> None:
    """Write the look-alike of jina-reranker-v2: one file of weights, code beside it that must never be baked."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = _vocabulary(special)
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    onnx.save(_reranker_graph(vocabulary, special), folder / "onnx/model.onnx")
    tokenizer = _tokenizer(vocabulary, unknown="<unk>", special=special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_configs(folder, _reranker_configs(len(vocabulary)))
    (folder / "README.md").write_text(
        "---\nlicense: cc-by-nc-4.0\n---\nA tiny look-alike for tests.\n", encoding="utf-8"
    )
    (folder / "modeling_xlm_roberta.py").write_text('raise RuntimeError("never run this")\n', encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle in the real repository")
    (folder / "model.safetensors").write_bytes(b"a second copy of the weights in the real repository")


def _vocabulary(special: Sequence[str]) -> dict[str, int]:
    """Number special tokens, words, and single characters, of which any other word is made."""
    words = dict.fromkeys([*_COMMON.split(), *_ORDINARY.split()])
    characters = [*_LETTERS, *_PUNCTUATION, *(f"##{letter}" for letter in _LETTERS)]
    return {token: number for number, token in enumerate(dict.fromkeys([*special, *characters, *words]))}


def _weights(vocabulary: Mapping[str, int], special: Sequence[str]) -> NDArray[np.float32]:
    """Weigh tokens by what they say: ordinary words most, common ones and pieces little, special ones nothing."""
    common = set(_COMMON.split())
    ordinary = set(_ORDINARY.split()) - common

    def weight(token: str) -> float:
        if token in special:
            return 0.0
        return 1.0 if token in ordinary else 0.1

    return np.array([weight(token) for token in vocabulary], dtype=np.float32)


def _tokenizer(vocabulary: Mapping[str, int], *, unknown: str, special: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocab=dict(vocabulary), unk_token=unknown, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def _embedding_graph(vocabulary: Mapping[str, int], special: Sequence[str]) -> onnx.ModelProto:
    generator = np.random.default_rng(300)
    words = generator.standard_normal((len(vocabulary), _WORD_WIDTH)) / np.sqrt(_WORD_WIDTH)
    weighted = words * _weights(vocabulary, special)[:, None]
    # The signs stand for the dense layers of the real graph: without them a vector is not the embedding.
    weights = {
        "words": weighted.astype(np.float32),
        "projection": generator.standard_normal((_WORD_WIDTH, WIDTH)).astype(np.float32),
        "dense": generator.choice([-1.0, 1.0], size=WIDTH).astype(np.float32),
        "axis": np.array([1], dtype=np.int64),
        "last_axis": np.array([-1], dtype=np.int64),
        "smallest": np.array(1e-12, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word_vectors"]),
        helper.make_node("MatMul", ["word_vectors", "projection"], ["last_hidden_state"]),
        helper.make_node("Cast", ["attention_mask"], ["attended"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["attended", "last_axis"], ["mask"]),
        helper.make_node("Mul", ["last_hidden_state", "mask"], ["attended_states"]),
        helper.make_node("ReduceSum", ["attended_states", "axis"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["attended", "axis"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Mul", ["mean", "dense"], ["pooled"]),
        helper.make_node("ReduceL2", ["pooled", "last_axis"], ["norm"], keepdims=1),
        helper.make_node("Max", ["norm", "smallest"], ["safe_norm"]),
        helper.make_node("Div", ["pooled", "safe_norm"], ["sentence_embedding"]),
    ]
    outputs: dict[str, list[str | int]] = {
        "last_hidden_state": ["batch_size", "sequence_length", WIDTH],
        "sentence_embedding": ["batch_size", WIDTH],
    }
    return _model(nodes, weights, outputs=outputs)


def _reranker_graph(vocabulary: Mapping[str, int], special: Sequence[str]) -> onnx.ModelProto:
    """Compare every token of the query, which ends at the first `</s>`, with every token after it."""
    weights: dict[str, NDArray[Any]] = {
        "token_weights": _weights(vocabulary, special),
        "separator": np.array(vocabulary["</s>"], dtype=np.int64),
        "sequence_axis": np.array(1, dtype=np.int64),
        "axis_1": np.array([1], dtype=np.int64),
        "axis_2": np.array([2], dtype=np.int64),
        "zero": np.array(0.0, dtype=np.float32),
        "smallest": np.array(1e-6, dtype=np.float32),
        "scale": np.array(8.0, dtype=np.float32),
        "shift": np.array(4.0, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["attended"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["token_weights", "input_ids"], ["all_weights"]),
        helper.make_node("Mul", ["all_weights", "attended"], ["content"]),
        helper.make_node("Equal", ["input_ids", "separator"], ["is_separator"]),
        helper.make_node("Cast", ["is_separator"], ["separators"], to=TensorProto.FLOAT),
        helper.make_node("CumSum", ["separators", "sequence_axis"], ["segment"]),
        helper.make_node("Equal", ["segment", "zero"], ["is_query"]),
        helper.make_node("Cast", ["is_query"], ["query"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["content", "query"], ["query_weights"]),
        helper.make_node("Not", ["is_query"], ["is_document"]),
        helper.make_node("Cast", ["is_document"], ["document"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["document", "attended"], ["document_mask"]),
        helper.make_node("Unsqueeze", ["input_ids", "axis_2"], ["rows"]),
        helper.make_node("Unsqueeze", ["input_ids", "axis_1"], ["columns"]),
        helper.make_node("Equal", ["rows", "columns"], ["is_same"]),
        helper.make_node("Cast", ["is_same"], ["same"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["document_mask", "axis_1"], ["document_columns"]),
        helper.make_node("Mul", ["same", "document_columns"], ["matches"]),
        helper.make_node("ReduceMax", ["matches", "axis_2"], ["is_repeated"], keepdims=0),
        helper.make_node("Mul", ["query_weights", "is_repeated"], ["repeated_weights"]),
        helper.make_node("ReduceSum", ["repeated_weights", "axis_1"], ["repeated"], keepdims=1),
        helper.make_node("ReduceSum", ["query_weights", "axis_1"], ["total"], keepdims=1),
        helper.make_node("Max", ["total", "smallest"], ["safe_total"]),
        helper.make_node("Div", ["repeated", "safe_total"], ["share"]),
        helper.make_node("Mul", ["share", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "shift"], ["logits"]),
    ]
    return _model(nodes, weights, outputs={"logits": ["batch_size", 1]})


def _model(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
    *,
    outputs: Mapping[str, Sequence[str | int]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "lookalike",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch_size", "sequence_length"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        initializer=[numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _embedding_configs(vocabulary_size: int) -> dict[str, Any]:
    tokens = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return {
        "config.json": {
            "architectures": ["Gemma3TextModel"],
            "bos_token_id": 2,
            "eos_token_id": 1,
            "hidden_size": WIDTH,
            "max_position_embeddings": 2048,
            "model_type": "gemma3_text",
            "pad_token_id": 0,
            "transformers.js_config": {"use_external_data_format": {"model.onnx": 1}},
            "vocab_size": vocabulary_size,
        },
        "generation_config.json": {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0},
        "special_tokens_map.json": tokens,
        "tokenizer_config.json": {
            **tokens,
            "model_max_length": 1000000000000000019884624838656,
            "padding_side": "right",
            "tokenizer_class": "GemmaTokenizer",
        },
    }


def _reranker_configs(vocabulary_size: int) -> dict[str, Any]:
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return {
        "config.json": {
            "architectures": ["XLMRobertaForSequenceClassification"],
            "auto_map": {
                "AutoModelForSequenceClassification": "modeling_xlm_roberta.XLMRobertaForSequenceClassification"
            },
            "bos_token_id": 0,
            "eos_token_id": 2,
            "hidden_size": WIDTH,
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
            "max_position_embeddings": 1026,
            "num_labels": 1,
            "pad_token_id": 1,
            "type_vocab_size": 1,
            "use_flash_attn": True,
            "vocab_size": vocabulary_size,
        },
        "special_tokens_map.json": tokens,
        "tokenizer_config.json": {**tokens, "model_max_length": 1026, "tokenizer_class": "XLMRobertaTokenizer"},
    }


def _write_configs(folder: Path, configs: Mapping[str, Any]) -> None:
    for name, config in configs.items():
        (folder / name).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_lookalikes(Path(sys.argv[1]))
