"""Own how much memory the runs of a model may take, by the widths in its config; from above, and nothing is run.

Measured with ONNX Runtime 1.32 on encoders of 384 and 768 units, 6 and 12 layers, 16 to 512 tokens a text and 512 to
8,192 a run: they took between 45% and 85% of this.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What transformers' configs call the units of a layer, those of its feed-forward part, and the attention heads.
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_INTERMEDIATE = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "hidden_dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_NESTED = ("text_config", "encoder")

_FLOAT_BYTES = 4
_HIDDEN_COPIES = 4  # of a layer's states: what comes in, queries, keys and values
_INTERMEDIATE_COPIES = 3  # a gated unit has two, and their product
_PAIR_COPIES = 3  # of attention's scores: as they are, masked, and as weights
_LOGIT_COPIES = 2
_LOADING = 2  # a graph is parsed, and its weights are packed anew: 1.7 times the file of 1.1 GB at most
_EXPANDING = 4  # 16 bits and fewer become 32 in memory: 3.7 times a file of fp16


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """The most bytes that a model takes: loaded, and for each token of a run and each pair of tokens of a text."""

    load_bytes: int
    token_bytes: int
    pair_bytes: int


def estimate(
    config: Mapping[str, Any], *, size_bytes: int, has_full_weights: bool, has_logits: bool
) -> Footprint | None:
    """Estimate a model by its config and the size of its files; None where the config does not say how wide it is.

    `has_full_weights` tells that the weights are of 32 bits, `has_logits` that a run makes a row of the vocabulary for
    each token.
    """
    stated = next((config[key] for key in _NESTED if isinstance(config.get(key), dict)), config)
    hidden, heads = _first(stated, _HIDDEN), _first(stated, _HEADS)
    vocabulary = _first(stated, ["vocab_size"]) if has_logits else 0
    if hidden is None or heads is None or vocabulary is None:
        return None
    intermediate = _first(stated, _INTERMEDIATE) or 4 * hidden
    floats = _HIDDEN_COPIES * hidden + _INTERMEDIATE_COPIES * intermediate + _LOGIT_COPIES * vocabulary
    return Footprint(
        load_bytes=size_bytes * (_LOADING if has_full_weights else _EXPANDING),
        token_bytes=_FLOAT_BYTES * floats,
        pair_bytes=_FLOAT_BYTES * _PAIR_COPIES * heads,
    )


def _first(config: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    values = (config.get(key) for key in keys)
    return next((value for value in values if isinstance(value, int) and value > 0), None)


# Of the server, and held to it by a test of both: its process without models, and a lane beside its run.
PROCESS_BYTES = 128 * 2**20
LANE_BYTES = 8 * 2**20
BATCH_TOKENS = 512
SMALL_BYTES = 512 * 2**20  # loaded; such a model is there twice, and keeps the memory of three runs


def ceiling_bytes(models: Sequence[tuple[Footprint | None, int]]) -> int | None:
    """Return the most that a server with its default settings takes for models of these footprints and lengths.

    None where one of them is not known.
    """
    total = PROCESS_BYTES
    for footprint, length in models:
        if footprint is None:
            return None
        tokens = max(BATCH_TOKENS, length)
        run_bytes = LANE_BYTES + tokens * (footprint.token_bytes + length * footprint.pair_bytes)
        copies, runs = (2, 3) if footprint.load_bytes <= SMALL_BYTES else (1, 1)
        total += copies * footprint.load_bytes + runs * run_bytes
    return total
