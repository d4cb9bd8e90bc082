"""Own the names of licences: what a model card calls one, as SPDX writes it; which are allowed is not decided here."""

import re
from collections.abc import Iterable

_KNOWN = """
AFL-3.0 AGPL-3.0-only Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear BSL-1.0 CC-BY-2.0 CC-BY-2.5
CC-BY-3.0 CC-BY-4.0 CC-BY-NC-2.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-2.0
CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0
CDLA-Sharing-1.0 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 GFDL-1.3-only GPL-2.0-only GPL-3.0-only ISC LGPL-2.1-only
LGPL-3.0-only LPPL-1.3c MIT MPL-2.0 MS-PL MulanPSL-2.0 NCSA ODbL-1.0 OFL-1.1 OSL-3.0 PDDL-1.0 PostgreSQL Unlicense
WTFPL Zlib
"""
_IDS = {spelling: name for name in _KNOWN.split() for spelling in (name.lower(), name.lower().removesuffix("-only"))}
_UNNAMED = "LicenseRef-none-named"
_LINK = re.compile(r" \(\S+\)$")
_NOT_IN_REFERENCES = re.compile(r"[^A-Za-z0-9.-]+")


def names(text: str) -> tuple[str, ...]:
    """Return each licence of a model as its card calls it, without a link."""
    return tuple(_LINK.sub("", name) for name in text.split(", ") if name)


def spdx_id(name: str) -> str:
    """Return the identifier that SPDX has for a licence, empty where it has none.

    Source: the SPDX licence list, 3.27.
    """
    return _IDS.get(name.lower(), "")


def expression(texts: Iterable[str]) -> str:
    """Return the licences of several models as one SPDX expression, in which those that SPDX has not are references."""
    found: list[str] = []
    for text in texts:
        found += [spdx_id(name) or _reference(name) for name in names(text)] or [_UNNAMED]
    return " AND ".join(dict.fromkeys(found))


def _reference(name: str) -> str:
    return f"LicenseRef-{_NOT_IN_REFERENCES.sub('-', name).strip('-')}"
