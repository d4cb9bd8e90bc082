"""Own the texts that stand before an input, by name, and the LoRA adapters that are chosen with them; it puts none."""

from collections.abc import Mapping
from dataclasses import dataclass

from builder.errors import InputError
from builder.evidence import Evidence
from builder.inputs import ADAPTER


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompts:
    """Texts by name, the name that a request gets which gives none, and the adapter of each name, if there are any."""

    texts: Mapping[str, str]
    default: str | None
    adapters: Mapping[str, int]


def decide_prompts(evidence: Evidence) -> Prompts:
    """Decide the prompts; the manifest's replace the repository's with their default.

    Where the graph takes an adapter, there is one prompt for each, which may be empty: then a name chooses both.
    Raises InputError.
    """
    adapters = _adapters(evidence)
    texts, default = _texts(evidence)
    if adapters:
        texts = {**dict.fromkeys(adapters, ""), **texts}
        if strangers := [name for name in texts if name not in adapters]:
            hint = f"set `models.{evidence.model.name}.prompts` for some of: {', '.join(adapters)}"
            raise InputError(f"the prompt `{strangers[0]}` of `{evidence.model.name}` has no adapter", hint=hint)
        if default is None:
            raise evidence.undecided("default_prompt", "which adapter is the default", hint=_one_of(adapters))
    if default is not None and default not in texts:
        message = f"the default prompt `{default}` of `{evidence.model.name}` is none of its prompts"
        choice = f"set `models.{evidence.model.name}.default_prompt`{_one_of(texts)}" if texts else None
        raise InputError(message, hint=choice)
    return Prompts(texts=texts, default=default, adapters=adapters)


def _texts(evidence: Evidence) -> tuple[dict[str, str], str | None]:
    model, sentence = evidence.model, evidence.sentence
    if model.prompts is not None:
        return dict(model.prompts), model.default_prompt
    return dict(sentence.prompts or _instructions(evidence)), model.default_prompt or sentence.default_prompt


def _instructions(evidence: Evidence) -> dict[str, str]:
    """Return what jina-embeddings-v3's config says to put before the texts of each task."""
    stated = evidence.config.get("task_instructions") if evidence.takes_adapter else None
    return {name: text for name, text in stated.items() if isinstance(text, str)} if isinstance(stated, dict) else {}


def _adapters(evidence: Evidence) -> dict[str, int]:
    """Give each adapter its number: the manifest's, else its place in jina-embeddings-v3's config."""
    if not evidence.takes_adapter:
        if evidence.model.adapters is None:
            return {}
        message = f"`models.{evidence.model.name}.adapters` means nothing to `{evidence.graph_path}`"
        raise InputError(f"{message}, which takes no `{ADAPTER}`", hint="remove it")
    if evidence.model.task != "embedding":
        message = f"`{evidence.graph_path}` wants the input `{ADAPTER}`"
        raise InputError(f"{message}, which is not supported for the task `{evidence.model.task}`")
    if evidence.model.adapters:
        return dict(evidence.model.adapters)
    listed = evidence.config.get("lora_adaptations")
    if not isinstance(listed, list) or not listed:
        raise evidence.undecided("adapters", "which adapters its graph has", hint=" to their numbers by name")
    return {str(name): number for number, name in enumerate(listed)}


def _one_of(names: Mapping[str, object]) -> str:
    return f" to one of: {', '.join(names)}"
