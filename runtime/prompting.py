"""Own which of a model's prompts a request means: by its name, or by another dialect's word for a purpose.

A purpose is a rule of names, nothing is guessed: it means the first of its names that the model has a prompt for, in
upper or lower case. A model that has none of them was trained to read such a text bare, so it gets no prompt, not even
the default one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from runtime.bundle import Model
from runtime.errors import InvalidError

Purpose = Literal["search_query", "search_document", "classification", "clustering", "similarity"]

NO_PROMPT = ""

NAMES: Mapping[Purpose, tuple[str, ...]] = {
    "search_query": ("query", "search_query", "retrieval.query", "retrieval-query"),
    "search_document": ("document", "passage", "search_document", "retrieval.passage", "retrieval-document"),
    "classification": ("classification",),
    "clustering": ("clustering", "separation"),
    "similarity": ("sts", "text-matching", "similarity"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A text, and the number of the adapter of its name: zero where a model has none."""

    text: str
    adapter: int


def choose(model: Model, *, name: str | None) -> Prompt:
    """Find the prompt called `name`, the default one without; an empty name is no prompt, with the default's adapter.

    Raises InvalidError for one that the model does not have.
    """
    default = model.default_prompt or NO_PROMPT
    chosen = default if name is None else name
    if chosen and chosen not in model.prompts:
        known = ", ".join(model.prompts) or "it has none"
        raise InvalidError(f"`{chosen}` is not among this model's prompts: {known}", param="prompt_name")
    return Prompt(text=model.prompts.get(chosen, ""), adapter=model.adapters.get(chosen or default, 0))


def prompt_for(model: Model, purpose: Purpose) -> str:
    """Name the prompt of a model that a purpose means, or none."""
    by_name = {name.lower(): name for name in model.prompts}
    return next((by_name[name] for name in NAMES[purpose] if name in by_name), NO_PROMPT)
