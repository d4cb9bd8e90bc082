"""Own which of a model's prompts another dialect's word for a purpose means; it is a rule of names, nothing is guessed.

A purpose means the first of its names that the model has a prompt for, in upper or lower case. A model that has none
of them was trained to read such a text bare, so it gets no prompt, not even the default one.
"""

from collections.abc import Mapping
from typing import Literal

from runtime.bundle import Model

Purpose = Literal["search_query", "search_document", "classification", "clustering", "similarity"]

NO_PROMPT = ""

NAMES: Mapping[Purpose, tuple[str, ...]] = {
    "search_query": ("query", "search_query", "retrieval.query", "retrieval-query"),
    "search_document": ("document", "passage", "search_document", "retrieval.passage", "retrieval-document"),
    "classification": ("classification",),
    "clustering": ("clustering", "separation"),
    "similarity": ("sts", "text-matching", "similarity"),
}


def prompt_for(model: Model, purpose: Purpose) -> str:
    """Name the prompt of a model that a purpose means, or none."""
    by_name = {name.lower(): name for name in model.prompts}
    return next((by_name[name] for name in NAMES[purpose] if name in by_name), NO_PROMPT)
