"""Own how a cross-encoder's output becomes one score a pair, decided from what was read; it reads nothing more."""

from builder.errors import InputError
from builder.evidence import Evidence
from builder.graph import GraphValue
from builder.manifest import Activation

OUTPUTS = ("logits",)

_ACTIVATIONS: dict[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "identity"}


def decide_activation(evidence: Evidence, output: GraphValue) -> Activation:
    """Decide the function from logit to score; raises InputError unless there is one logit a pair."""
    labels = _label_count(evidence, output)
    if labels != 1:
        message = f"`{evidence.source}` gives {labels} scores for a pair; rerankers with one score are supported so far"
        raise InputError(message)
    if evidence.sentence.default_prompt is not None:
        named = f"the prompt `{evidence.sentence.default_prompt}`"
        raise InputError(f"`{evidence.source}` puts {named} before every pair, which is not supported yet")
    return evidence.model.activation or _stated_activation(evidence)


def _label_count(evidence: Evidence, output: GraphValue) -> int:
    """Count the scores of a pair, `[batch, labels]`."""
    if output.dimensions is not None and len(output.dimensions) != 2:
        message = f"the output `{output.name}` of `{evidence.source}` is not one row of scores a pair"
        raise InputError(f"{message}, which is not supported yet")
    width = output.dimensions[-1] if output.dimensions else None
    for stated in (width, evidence.config.get("num_labels"), len(evidence.config.get("id2label") or ())):
        if isinstance(stated, int) and stated > 0:
            return stated
    raise InputError(f"neither the graph nor `config.json` of `{evidence.source}` says how many scores a pair has")


def _stated_activation(evidence: Evidence) -> Activation:
    """Return the activation in the order of sentence-transformers' CrossEncoder; one label alone means sigmoid."""
    config = evidence.config
    stated = (
        evidence.sentence.activation_class
        or (config.get("sentence_transformers") or {}).get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
    )
    if stated is None:
        return "sigmoid"
    module, _, name = str(stated).rpartition(".")
    if not module.startswith("torch.") or name not in _ACTIVATIONS:
        hint = f"set `models.{evidence.model.name}.activation` to one of: {', '.join(_ACTIVATIONS.values())}"
        raise InputError(f"`{evidence.source}` wants the activation `{stated}`, which is not supported yet", hint=hint)
    return _ACTIVATIONS[name]
