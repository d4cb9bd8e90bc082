"""Own the families of rerankers: a tiny model of each, how a manifest asks for it and what it should answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from onnx import TensorProto

from tests.families import graphs, numbers
from tests.families.graphs import IDS_AND_MASK, WITH_SEGMENTS, Value, node
from tests.families.serving import CONFIG, NEW, configs, modules
from tests.runtime import tiny

MODEL = "onnx/model.onnx"
FLOAT = TensorProto.FLOAT


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Models that are served alike: `examples` are repositories whose layout is tested, `decided` is for the README.

    `answer` gives the logit of one query and document, to a `tolerance`, which `score` makes a score of.
    """

    name: str
    examples: Sequence[str] = ()
    decided: str
    write: Callable[[Path], None]
    keys: Mapping[str, Any] = field(default_factory=dict)
    answer: Callable[[str, str], float]
    score: Callable[[float], float] = numbers.sigmoid
    tolerance: float = 1e-5


def _write(
    folder: Path,
    *more: str,
    inputs: Sequence[str] = IDS_AND_MASK,
    pair: str = "[CLS] $A [SEP] $B:1 [SEP]:1",
    **files: Any,
) -> None:
    graphs.tokenizer(folder, pair=pair)
    nodes = [*graphs.scorer("every", *more), node("Gather", ["every", "axis_0"], ["logits"], axis=1)]
    graphs.write(folder / MODEL, nodes=nodes, inputs=inputs, outputs={"logits": ["batch", 1]})
    configs(folder, **{"config": {**CONFIG, "id2label": {"0": "LABEL_0"}}, **files})


def _cross_encoder(folder: Path) -> None:
    config = {**CONFIG, "id2label": {"0": "LABEL_0"}}
    config |= {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}
    _write(folder, "segments:token_type_ids", inputs=WITH_SEGMENTS, config=config)


def _prompted(folder: Path) -> None:
    settings = {
        "model_type": "CrossEncoder",
        "activation_fn": "torch.nn.modules.activation.Sigmoid",
        "prompts": {"web": "search query: "},
        "default_prompt_name": "web",
    }
    _write(folder, config_sentence_transformers=settings, modules=modules("Transformer", package=NEW))


def _pair(query: str, document: str) -> tuple[list[int], list[int]]:
    """Lay a pair out as BERT does, with segments."""
    first, second = [tiny.CLS, *tiny.ids_of(query), tiny.SEP], [*tiny.ids_of(document), tiny.SEP]
    return first + second, [0] * len(first) + [1] * len(second)


def _segmented(query: str, document: str) -> float:
    ids, segments = _pair(query, document)
    return float(numbers.scores(ids, segments=segments)[0])


_ROBERTA = "[CLS] $A [SEP] [SEP] $B [SEP]"


def _roberta_ids(query: list[int], document: list[int]) -> list[int]:
    return [tiny.CLS, *query, tiny.SEP, tiny.SEP, *document, tiny.SEP]


def _roberta(query: str, document: str) -> float:
    return float(numbers.scores(_roberta_ids(tiny.ids_of(query), tiny.ids_of(document)))[0])


LENGTH = 24


def _windows(query: str, document: str) -> float:
    """Read a document as jina-reranker-v2's `rerank` does, whose limits are 1024, 512 and 80.

    Here `max_length` is 24, so a query has at most 12 tokens, special ones included, and neighbours share a fourth.
    """
    query_ids = [tiny.CLS, *tiny.ids_of(query)[: LENGTH // 2 - 2], tiny.SEP]
    tokens = tiny.ids_of(document)
    most = LENGTH - len(query_ids) - 2
    overlap = min(80, most // 4)
    chunks = []
    start = 0
    while len(tokens) > most:
        if start + most >= len(tokens):
            chunks.append(tokens[-most:])
            break
        chunks.append(tokens[start : start + most])
        start += most - overlap
    every = chunks or [tokens]
    return max(float(numbers.scores([*query_ids, tiny.SEP, *chunk, tiny.SEP])[0]) for chunk in every)


TEMPLATE = "{prompt}. Where: {query}\nThe cat {document} ?\nIs: "
PROMPTS = {"web": "search query", "other": "rates"}


def _filled(query: str, document: str) -> list[int]:
    return tiny.ids_of(f"search query. Where: {query} The cat {document} ? Is: ")


YES, NO = tiny.VOCABULARY["sits"], tiny.VOCABULARY["rose"]


def _causal(folder: Path, nodes: graphs.Nodes, past: Sequence[Value], *, kind: int = FLOAT, **files: Any) -> None:
    """Write logits for every token, made of states, with a cache and positions, and a tokenizer without pairs."""
    graphs.tokenizer(folder, single="$A", pair="$A $B:1")
    configs(folder, tokenizer_config={"padding_side": "left"}, **files)
    head = [node("MatMul", ["states", "vocabulary_head"], ["wide"]), node("Cast", ["wide"], ["logits"], to=kind)]
    graphs.write(
        folder / MODEL,
        nodes=[*nodes, *head],
        inputs=(*IDS_AND_MASK, "position_ids"),
        more_inputs=past,
        outputs={"logits": ["batch_size", "sequence_length", len(tiny.VOCABULARY)]},
        kind=kind,
    )


def _fused_causal(folder: Path) -> None:
    _causal(folder, graphs.attention("states", "positions:position_ids"), graphs.attention_past())


def _half_causal(folder: Path) -> None:
    _causal(folder, graphs.decoder("states"), graphs.past(), kind=TensorProto.FLOAT16)


def _saved_causal(folder: Path) -> None:
    listed = modules("Transformer", "LogitScore", package=NEW)
    saved: dict[str, Any] = {"1_LogitScore__config": {"true_token_id": YES, "false_token_id": None}}
    _causal(folder, graphs.decoder("states"), graphs.past(), modules=listed, **saved)


def _cut_head(folder: Path) -> None:
    """Write a graph whose head was cut down to two answers."""
    graphs.tokenizer(folder, single="$A", pair="$A $B:1")
    configs(folder, config={**CONFIG, "id2label": {"0": "no", "1": "yes"}})
    columns = numbers.VOCABULARY_HEAD[:, [NO, YES]]
    nodes = graphs.scorer("logits", head="answers")
    graphs.write(folder / MODEL, nodes=nodes, outputs={"logits": ["batch", 2]}, constants={"answers": columns})


def _fused_yes_or_no(query: str, document: str) -> float:
    logits = numbers.token_logits(numbers.attention_states(_filled(query, document), has_positions=True))
    return float(logits[YES] - logits[NO])


def _yes_or_no(query: str, document: str) -> float:
    logits = numbers.token_logits(numbers.causal_states(_filled(query, document)))
    return float(logits[YES] - logits[NO])


def _yes(query: str, document: str) -> float:
    return float(numbers.token_logits(numbers.causal_states(_filled(query, document)))[YES])


def _cut(query: str, document: str) -> float:
    no, yes = numbers.scores(_filled(query, document), head=numbers.VOCABULARY_HEAD[:, [NO, YES]])
    return float(yes - no)


_ANSWERS = {"true_token": "sits", "false_token": "rose"}
_LAID_OUT = {"template": TEMPLATE, "prompts": PROMPTS, "default_prompt": "web"}

RERANKERS = (
    Family(
        name="cross-encoders that read segments",
        examples=("cross-encoder/ms-marco-MiniLM-L6-v2",),
        decided="segment ids as the tokenizer gives them; no sigmoid, as `config.json` says",
        write=_cross_encoder,
        answer=_segmented,
        score=float,
    ),
    Family(
        name="cross-encoders without segments",
        examples=(
            "BAAI/bge-reranker-base",
            "onnx-community/bge-reranker-v2-m3-ONNX",
            "mixedbread-ai/mxbai-rerank-base-v1",
            "Alibaba-NLP/gte-reranker-modernbert-base",
        ),
        decided="the pair as the tokenizer lays it out; sigmoid",
        write=partial(_write, pair=_ROBERTA),
        answer=_roberta,
    ),
    Family(
        name="cross-encoders saved by sentence-transformers from 5.4 on",
        decided="activation, prompts and default prompt, which stands before the query",
        write=_prompted,
        answer=lambda query, document: float(numbers.scores(_pair(f"search query: {query}", document)[0])[0]),
    ),
    Family(
        name="long documents in windows",
        examples=("jinaai/jina-reranker-v2-base-multilingual",),
        decided="`long_documents: windows`: 512 tokens of the query, 80 shared by neighbours, the best window counts",
        write=partial(_write, pair=_ROBERTA),
        keys={"long_documents": "windows", "max_length": LENGTH},
        answer=_windows,
    ),
    Family(
        name="causal models that answer yes or no",
        examples=("onnx-community/Qwen3-Reranker-0.6B-ONNX",),
        decided="`template`, `true_token` and `false_token` from the manifest; sigmoid of their logits' difference",
        write=_fused_causal,
        keys={**_ANSWERS, **_LAID_OUT},
        answer=_fused_yes_or_no,
    ),
    Family(
        name="the same, several to a run",
        decided="`batching: true`",
        write=_fused_causal,
        keys={**_ANSWERS, **_LAID_OUT, "batching": True},
        answer=_fused_yes_or_no,
    ),
    Family(
        name="causal models with logits of float16",
        decided="the same",
        write=_half_causal,
        keys={**_ANSWERS, **_LAID_OUT, "batching": True},
        answer=_yes_or_no,
        tolerance=2e-2,  # a half has 11 bits, and these logits are up to 8
    ),
    Family(
        name="causal models saved by sentence-transformers from 5.4 on",
        decided="the tokens of its module LogitScore, of which there may be one",
        write=_saved_causal,
        keys={**_LAID_OUT, "batching": True},
        answer=_yes,
    ),
    Family(
        name="causal models whose head was cut down to the answers",
        decided="`true_token` and `false_token` are labels of `config.json`",
        write=_cut_head,
        keys={"true_token": "yes", "false_token": "no", **_LAID_OUT},
        answer=_cut,
    ),
)
