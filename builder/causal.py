"""Own how a causal model's logits become one score a pair, and how a pair is laid out for it; it reads no weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from builder.errors import InputError
from builder.evidence import Evidence
from builder.graph import GraphValue
from builder.repository import read_json_object
from builder.template import PROMPT

_MODULE = "LogitScore"
_TEMPLATE_HINT = " as the model's card says, with `{query}` and `{document}` where they belong"
_KNOWN = {
    "token": "name one whole token of its tokenizer.json, in quotes",
    "label": "name one of `id2label` in its config.json",
}


def is_causal(output: GraphValue) -> bool:
    """Tell whether an output has logits for every token: `[batch, sequence, vocabulary]`."""
    return output.dimensions is not None and len(output.dimensions) == 3


def decide_tokens(evidence: Evidence, output: GraphValue) -> tuple[int, ...]:
    """Decide which tokens' logits make the score: the first one's, less the second one's where there is one.

    The manifest's `true_token` and `false_token`, else those of sentence-transformers' module LogitScore. Raises
    InputError: which tokens a model was trained to answer with is never guessed.
    """
    named = _named(evidence)
    tokens = _lookup(evidence, named, _vocabulary(evidence), what="token") if named else _stated_tokens(evidence)
    width = output.dimensions[-1] if output.dimensions else None
    if isinstance(width, int) and max(tokens) >= width:
        raise InputError(f"the output `{output.name}` of `{evidence.source}` has no token {max(tokens)}")
    return tokens


def decide_columns(evidence: Evidence, labels: Sequence[str]) -> tuple[int, ...]:
    """Decide the same where the head was cut down to the answers, and the config's labels name them."""
    columns = {label: number for number, label in enumerate(labels)}
    return _lookup(evidence, _named(evidence), columns, what="label")


def decide_template(evidence: Evidence, *, is_causal: bool, default_prompt: str | None) -> str | None:
    """Decide how a pair is laid out: by the manifest's template, without one as the tokenizer lays out pairs.

    Raises InputError for a causal model without one, and where prompt and template do not fit.
    """
    name, template = evidence.model.name, evidence.model.template
    if template is None:
        if is_causal:
            raise evidence.undecided("template", "how a query and a document are put to it", hint=_TEMPLATE_HINT)
        return None
    if PROMPT in template and default_prompt is None:
        raise evidence.undecided("default_prompt", f"what to put in place of `{PROMPT}`", hint=" and `prompts`")
    if PROMPT not in template and default_prompt is not None:
        hint = f"put `{PROMPT}` into it, or remove the prompts"
        raise InputError(f"`models.{name}.template` has no place for the prompt `{default_prompt}`", hint=hint)
    return template


def _named(evidence: Evidence) -> dict[str, str]:
    """Return what the manifest names, by key."""
    keys = ("true_token", "false_token")
    named = {key: token for key in keys if (token := getattr(evidence.model, key)) is not None}
    if named and "true_token" not in named:
        raise evidence.undecided("true_token", "which token means that a document is relevant")
    return named


def _lookup(evidence: Evidence, named: Mapping[str, str], known: Mapping[str, int], *, what: str) -> tuple[int, ...]:
    for key, name in named.items():
        if name not in known:
            message = f"`models.{evidence.model.name}.{key}` is `{name}`, which is no {what} of `{evidence.source}`"
            raise InputError(message, hint=_KNOWN[what])
    return tuple(known[name] for name in named.values())


def _stated_tokens(evidence: Evidence) -> tuple[int, ...]:
    modules = [module for module in evidence.sentence.modules or () if module.class_name == _MODULE]
    if not modules:
        hint = " and `false_token` as the model's card says"
        raise evidence.undecided("true_token", "which token means that a document is relevant", hint=hint)
    match (modules[0].config.get("true_token_id"), modules[0].config.get("false_token_id")):
        case (int(true_token), int(false_token)):
            return true_token, false_token
        case (int(true_token), None):
            return (true_token,)
    raise InputError(f"`{modules[0].folder}/config.json` of `{evidence.source}` does not say `true_token_id`")


def _vocabulary(evidence: Evidence) -> dict[str, int]:
    """Read the tokens of `tokenizer.json`: BPE and WordPiece number them, Unigram lists them with their scores."""
    tokenizer = read_json_object(evidence.repository, "tokenizer.json")
    tokens: Any = (tokenizer.get("model") or {}).get("vocab") or {}
    listed = tokens if isinstance(tokens, dict) else {piece: number for number, (piece, _) in enumerate(tokens)}
    return {**listed, **{added["content"]: added["id"] for added in tokenizer.get("added_tokens") or ()}}
