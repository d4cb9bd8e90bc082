"""Own the weights of a BERT of any size that has learnt nothing, by the names that `examples/bert_graph.py` reads."""

import numpy as np

from examples.bert_graph import Weights

_SPREAD = 0.02  # of the numbers around zero, as BERT's own before training
_SELF_ATTENTION = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")


def weights(*, hidden: int, layers: int, intermediate: int, words: int, positions: int, seed: int = 1) -> Weights:
    """Make weights at random, with biases of zero."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings": (words, hidden),
        "embeddings.position_embeddings": (positions, hidden),
        "embeddings.token_type_embeddings": (2, hidden),
        "embeddings.LayerNorm": (hidden,),
    }
    for layer in range(layers):
        prefix = f"encoder.layer.{layer}"
        shapes |= {f"{prefix}.{part}": (hidden, hidden) for part in _SELF_ATTENTION}
        shapes |= {f"{prefix}.{part}LayerNorm": (hidden,) for part in ("attention.output.", "output.")}
        shapes |= {
            f"{prefix}.intermediate.dense": (intermediate, hidden),
            f"{prefix}.output.dense": (hidden, intermediate),
        }
    random = np.random.default_rng(seed)
    made = {f"{name}.weight": random.normal(0, _SPREAD, shape).astype(np.float32) for name, shape in shapes.items()}
    return made | {f"{name}.bias": np.zeros(shape[0], np.float32) for name, shape in shapes.items()}
