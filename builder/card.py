"""Own the licence that a model card names, in the front matter of `README.md` or as the Hub lists it."""

import re
from collections.abc import Mapping
from typing import Any

from builder import document
from builder.repository import Repository

_CARD = "README.md"
_FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)


def licence(repository: Repository) -> str:
    """Return the licence that the card names at this very revision, else what the repository's listing says of it.

    Empty where neither names one; a card that can't be read names none.
    """
    if _CARD not in repository.files:
        return repository.licence
    text = repository.read(_CARD).decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    front_matter = _FRONT_MATTER.match(text)
    return named(document.plain(front_matter[1]) if front_matter else {}) or repository.licence


def named(card: Mapping[str, Any]) -> str:
    """Return the licence that a card's data names, as one line; of the author's own its name, and where it is."""
    found = card.get("license")
    if found == "other":
        link = card.get("license_link")
        found = f"{card.get('license_name') or found}{f' ({link})' if link else ''}"
    names = found if isinstance(found, list) else [found or ""]
    return " ".join(", ".join(map(str, names)).split())
