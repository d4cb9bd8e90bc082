"""Own a template that lays a query and a document out: filled in, and which letters are whose; it has no tokens."""

import re
from dataclasses import dataclass

_PLACEHOLDERS = re.compile(r"(\{(?:prompt|query|document)\})")
_QUERY, _DOCUMENT = "{query}", "{document}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A text, and where in it the query and the document stand: start and end, in characters."""

    text: str
    query: tuple[int, int]
    document: tuple[int, int]

    def owner(self, start: int, end: int) -> int | None:
        """Tell whose the characters from `start` to `end` are: 0 the query's, 1 the document's, None the template's."""
        for number, (first, last) in enumerate((self.query, self.document)):
            if start < last and end > first:
                return number
        return None


def render(template: str, *, prompt: str, query: str, document: str) -> Rendered:
    """Fill a template in; what looks like a placeholder in a text stays as it is."""
    texts = {"{prompt}": prompt, _QUERY: query, _DOCUMENT: document}
    text = ""
    spans = {}
    for part in _PLACEHOLDERS.split(template):
        filled = texts.get(part, part)
        spans[part] = (len(text), len(text) + len(filled))
        text += filled
    return Rendered(text=text, query=spans[_QUERY], document=spans[_DOCUMENT])
