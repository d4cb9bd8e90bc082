"""Own what a secret looks like: the values that a build was given, and the forms of tokens and keys; it reads no image.

A form is searched for by the few bytes that it begins with, all of them in one pass: that takes 8 s for a gigabyte,
and values alone 1 s.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from builder.saved import Readable

GIVEN = "a secret that was given to the build"
LEAST_LENGTH = 8  # of a value that is looked for: shorter ones stand in any library by chance

_READ_BYTES = 1 << 20
_OVERLAP_BYTES = 1 << 10  # what of a form may lie on both sides of two reads

_KEY = rb"(?:[\w-]+: [^\n]{0,80}\s+){0,3}[A-Za-z0-9+/]{40}"  # its first line, after the headers of old formats

# What it is, how it begins, and the whole of it. Sources: the vendors' pages on the formats of their tokens.
_FORMS = (
    ("a Hugging Face token", (b"hf_",), rb"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{30,}(?![A-Za-z0-9_])"),
    ("a GitHub token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"(?<![A-Za-z0-9_])gh[opusr]_[A-Za-z0-9]{36}"),
    ("a GitHub token", (b"github_pat_",), rb"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    ("a GitLab token", (b"glpat-",), rb"glpat-[A-Za-z0-9_-]{20}"),
    ("a Docker Hub token", (b"dckr_pat_", b"dckr_oat_"), rb"dckr_[po]at_[A-Za-z0-9_-]{27}"),
    ("a PyPI token", (b"pypi-Ag",), rb"pypi-Ag[A-Za-z0-9_-]{80,}"),
    ("an npm token", (b"npm_",), rb"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9_])"),
    ("an AWS access key", (b"AKIA", b"ASIA"), rb"(?<![A-Za-z0-9])A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    ("a Google API key", (b"AIza",), rb"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ("an Azure storage key", (b"AccountKey=",), rb"AccountKey=[A-Za-z0-9+/]{86}=="),
    ("a Slack token", (b"xoxb-", b"xoxp-", b"xoxa-", b"xoxr-"), rb"xox[abpr]-[0-9]{10,}-[A-Za-z0-9-]{20,}"),
    ("a private key", (b"-----BEGIN ",), rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:\s|\\n)+" + _KEY),
)
_BY_START = {start: (re.compile(form), kind) for kind, starts, form in _FORMS for start in starts}
_START = re.compile(b"|".join(map(re.escape, _BY_START)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Finder:
    """Looks for secrets; `values` are those that the build was given."""

    values: Collection[bytes]

    @classmethod
    def of(cls, secrets: Iterable[str]) -> "Finder":
        """Make one that looks for `secrets`, but for those that are too short to tell."""
        return cls(values=tuple(sorted({text.encode() for text in secrets if len(text) >= LEAST_LENGTH})))

    def in_text(self, text: str) -> tuple[str, ...]:
        """Name the kinds of secrets in a text."""
        return tuple(dict.fromkeys(self._kinds(text.encode(errors="surrogatepass"), with_forms=True)))

    def in_file(self, content: Readable, *, with_forms: bool) -> tuple[str, ...]:
        """Name the kinds of secrets in a file; with no value to look for, one without forms is not read."""
        if not self.values and not with_forms:
            return ()
        overlap = max([_OVERLAP_BYTES, *map(len, self.values)])
        found: dict[str, None] = {}
        last = b""
        while part := content.read(_READ_BYTES):
            window = last + part
            found |= dict.fromkeys(self._kinds(window, with_forms=with_forms))
            last = window[-overlap:]
        return tuple(found)

    def _kinds(self, data: bytes, *, with_forms: bool) -> Iterator[str]:
        if any(value in data for value in self.values):
            yield GIVEN
        if with_forms:
            for start in _START.finditer(data):
                form, kind = _BY_START[start[0]]
                if form.match(data, start.start()):
                    yield kind
