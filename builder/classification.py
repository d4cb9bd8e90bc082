"""Own the labels of a graph that gives one score for each, and how logits become scores; it reads nothing more."""

from builder.errors import InputError
from builder.evidence import Evidence
from builder.graph import GraphValue
from builder.manifest import Activation

OUTPUTS = ("logits",)

_ACTIVATIONS: dict[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "identity", "Softmax": "softmax"}
_IDENTITY = "torch.nn.modules.linear.Identity"
_BY_PROBLEM: dict[str, Activation] = {
    "regression": "identity",
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
}


def decide_labels(evidence: Evidence, output: GraphValue) -> tuple[str, ...]:
    """Name the scores of `[batch, labels]` in their order, as the config does, else as transformers does."""
    names = _names(evidence)
    count = count_labels(evidence, output)
    if count == len(names):
        return names
    if names and count > 1:
        message = f"`{evidence.graph_path}` of `{evidence.source}` gives {count} scores, and `config.json` names"
        raise InputError(f"{message} {len(names)}", hint="correct `id2label` in the repository's config.json")
    return tuple(f"LABEL_{number}" for number in range(count))


def count_labels(evidence: Evidence, output: GraphValue) -> int:
    """Count the scores of a text or pair; raises InputError when nobody says how many there are."""
    if output.dimensions is not None and len(output.dimensions) != 2:
        message = f"the output `{output.name}` of `{evidence.source}` is not one row of scores a text"
        raise InputError(f"{message}, but {list(output.dimensions)}")
    width = output.dimensions[-1] if output.dimensions else None
    for stated in (width, evidence.config.get("num_labels"), len(_names(evidence))):
        if isinstance(stated, int) and stated > 0:
            return stated
    raise InputError(f"neither the graph nor `config.json` of `{evidence.source}` says how many scores a text has")


def decide_activation(evidence: Evidence, *, count: int) -> Activation:
    """Decide the function from `count` logits to scores.

    The manifest's, else the one that sentence-transformers' CrossEncoder or the config's `problem_type` names, else
    sigmoid for one label and softmax for several.
    """
    decided = evidence.model.activation or _stated(evidence, count=count) or ("sigmoid" if count == 1 else "softmax")
    if count == 1 and decided == "softmax":
        hint = f"set `models.{evidence.model.name}.activation` to `sigmoid` or `identity`"
        raise InputError(f"`softmax` of the one score that `{evidence.source}` gives is always 1", hint=hint)
    return decided


def _names(evidence: Evidence) -> tuple[str, ...]:
    listed = evidence.config.get("id2label")
    if not isinstance(listed, dict):
        return ()
    numbers = [str(number) for number in range(len(listed))]
    if {*listed} != {*numbers}:
        raise InputError(f"`id2label` of `{evidence.source}`'s config.json does not number labels from 0")
    return tuple(str(listed[number]) for number in numbers)


def _stated(evidence: Evidence, *, count: int) -> Activation | None:
    """Return the activation in the order of CrossEncoder, which trusts classes of torch alone.

    For several labels Identity is what CrossEncoder saves with every model, so it says nothing.
    """
    config = evidence.config
    stated = (
        evidence.sentence.activation_class
        or (config.get("sentence_transformers") or {}).get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
    )
    if stated is None or (count > 1 and stated == _IDENTITY):
        return _BY_PROBLEM.get(str(config.get("problem_type"))) if count > 1 else None
    module, _, name = str(stated).rpartition(".")
    if not module.startswith("torch.") or name not in _ACTIVATIONS:
        known = [activation for activation in _ACTIVATIONS.values() if count > 1 or activation != "softmax"]
        hint = f"set `models.{evidence.model.name}.activation` to one of: {', '.join(known)}"
        raise InputError(f"`{evidence.source}` wants the activation `{stated}`, which is not supported yet", hint=hint)
    return _ACTIVATIONS[name]
