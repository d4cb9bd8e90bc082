"""Own the families of classifiers: a tiny model of each, how a manifest asks for it and what it should answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from runtime.classifier import Input
from tests.families import graphs, numbers
from tests.families.graphs import WITH_SEGMENTS
from tests.families.numbers import Floats
from tests.families.serving import CONFIG, configs
from tests.runtime import tiny

LABELS = ("contradiction", "entailment", "neutral")
NAMED: dict[str, Any] = {"id2label": {str(number): label for number, label in enumerate(LABELS)}}
IDENTITY = "torch.nn.modules.linear.Identity"


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Models that are served alike: `examples` are repositories whose layout is tested, `decided` is for the README.

    `score` makes scores of the logits of one text or pair.
    """

    name: str
    examples: Sequence[str] = ()
    decided: str
    write: Callable[[Path], None]
    keys: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = LABELS
    score: Callable[[Floats], Floats] = numbers.softmax


def logits(given: Input) -> Floats:
    """Compute the logits of a text, or of a pair in its segments."""
    texts = (given,) if isinstance(given, str) else given
    parts = [[*tiny.ids_of(text), tiny.SEP] for text in texts]
    ids = [tiny.CLS, *(token for part in parts for token in part)]
    segments = [0, *(number for number, part in enumerate(parts) for _ in part)]
    return numbers.scores(ids, segments=segments)


def _write(folder: Path, **config: Any) -> None:
    graphs.tokenizer(folder)
    configs(folder, config={**CONFIG, **config})
    nodes = graphs.scorer("logits", "segments:token_type_ids")
    graphs.write(folder / "onnx/model.onnx", nodes=nodes, inputs=WITH_SEGMENTS, outputs={"logits": ["batch", 3]})


def _sigmoids(values: Floats) -> Floats:
    return np.array([numbers.sigmoid(value) for value in values])


CLASSIFIERS = (
    Family(
        name="classifiers of several labels",
        decided="labels of `id2label`; softmax, also where sentence-transformers saved its default, Identity",
        write=partial(_write, **NAMED, sentence_transformers={"activation_fn": IDENTITY}),
    ),
    Family(
        name="classifiers whose labels do not exclude each other",
        decided="a sigmoid each, as `problem_type` says",
        write=partial(_write, **NAMED, problem_type="multi_label_classification"),
        score=_sigmoids,
    ),
    Family(
        name="classifiers without names for their labels",
        decided="`LABEL_0` and so on, as transformers calls them; the activation can be the manifest's",
        write=_write,
        keys={"activation": "identity"},
        labels=("LABEL_0", "LABEL_1", "LABEL_2"),
        score=lambda values: values,
    ),
)
