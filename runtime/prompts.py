"""Own which prompt a request means, and the LoRA adapter that is chosen with it; it puts it before no text."""

from dataclasses import dataclass

from runtime.bundle import Model
from runtime.errors import InvalidError


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A text, and the number of the adapter of its name: zero where a model has none."""

    text: str
    adapter: int


def choose(model: Model, *, name: str | None) -> Prompt:
    """Find the prompt called `name`, the default one without, none for an empty name.

    Raises InvalidError for one that the model does not have.
    """
    chosen = model.default_prompt if name is None else name
    if not chosen:
        return Prompt(text="", adapter=0)
    if chosen not in model.prompts:
        known = ", ".join(model.prompts) or "it has none"
        raise InvalidError(f"`{chosen}` is not among this model's prompts: {known}", param="prompt_name")
    return Prompt(text=model.prompts[chosen], adapter=model.adapters.get(chosen, 0))
