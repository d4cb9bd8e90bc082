"""Own how a graph's output becomes one score a pair, decided from what was read; it reads nothing more."""

from dataclasses import dataclass

from builder import causal
from builder.classification import count_labels, decide_activation, decide_labels
from builder.errors import InputError
from builder.evidence import Evidence
from builder.graph import GraphValue
from builder.manifest import Activation

# Of the `rerank` that jinaai/jina-reranker-v2-base-multilingual comes with: tokens of a query, special ones included,
# and tokens that neighbouring windows share.
_QUERY_LENGTH = 512
_OVERLAP = 80

_LABEL = "LABEL_0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """A long document is read in windows, each with the query, and its best one counts."""

    query_length: int
    overlap: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reranking:
    """What is left to do after the graph; `answer_tokens` is empty where the graph itself gives one score."""

    labels: tuple[str, ...]
    activation: Activation
    answer_tokens: tuple[int, ...]
    template: str | None
    windows: Windows | None


def decide_reranking(evidence: Evidence, output: GraphValue, *, default_prompt: str | None) -> Reranking:
    """Decide the way from `output` to the score; raises InputError for what neither side says."""
    is_causal = causal.is_causal(output)
    label, tokens = (_LABEL, causal.decide_tokens(evidence, output)) if is_causal else _score(evidence, output)
    return Reranking(
        labels=(label,),
        activation=decide_activation(evidence, count=1),
        answer_tokens=tokens,
        template=causal.decide_template(evidence, is_causal=is_causal, default_prompt=default_prompt),
        windows=_windows(evidence),
    )


def _score(evidence: Evidence, output: GraphValue) -> tuple[str, tuple[int, ...]]:
    """Name the score of `[batch, 1]`, or the columns of the answers of which a causal model's head was cut down to."""
    name, count = evidence.model.name, count_labels(evidence, output)
    if count > 1 and evidence.model.true_token is None:
        hint = f"set `models.{name}.task` to `classifier`, or `models.{name}.true_token` to the label of relevance"
        raise InputError(f"`{evidence.source}` gives {count} scores for a pair, and a reranker has one", hint=hint)
    if count > 1:
        return _LABEL, causal.decide_columns(evidence, decide_labels(evidence, output))
    if evidence.model.true_token is not None:
        message = f"`models.{name}.true_token` means nothing where `{evidence.source}` gives one score for a pair"
        raise InputError(message, hint="remove it")
    (label,) = decide_labels(evidence, output)
    return label, ()


def _windows(evidence: Evidence) -> Windows | None:
    if evidence.model.long_documents != "windows":
        return None
    return Windows(query_length=min(_QUERY_LENGTH, evidence.max_length // 2), overlap=_OVERLAP)
