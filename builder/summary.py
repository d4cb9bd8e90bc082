"""Own the Markdown of a report, for the page that a CI system shows of a run; pure, and no text in it is Markdown."""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from builder.compare import ImageGrowth, signed
from builder.console import size

Report = Mapping[str, Any]

_LIMIT_BYTES = 900_000  # GitHub drops a summary of over 1 MiB, without a word
_SHORT_DIGEST = 19
_MARKS = {
    "tagged": "\N{WHITE HEAVY CHECK MARK}",
    "pushed": "\N{WHITE HEAVY CHECK MARK}",
    "built": "\N{WHITE HEAVY CHECK MARK}",
    "unchanged": "\N{WHITE HEAVY CHECK MARK}",
    "failed": "\N{CROSS MARK}",
    "interrupted": "\N{WARNING SIGN}",
    "not started": "\N{WARNING SIGN}",
}
_SPECIAL = re.compile(r"([\\`*_{}\[\]#!|~$])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FENCE = re.compile(r"^\s*(`{3,})", re.MULTILINE)
_COLUMNS = "| image | result | size | change | time | names |\n|---|---|---:|---:|---:|---|\n"


def document(report: Report, growths: Mapping[str, ImageGrowth]) -> str:
    """Return the report as Markdown, cut to what GitHub takes."""
    text = "\n".join(part.rstrip("\n") + "\n" for part in _parts(report, growths))
    if len(text.encode()) <= _LIMIT_BYTES:
        return text
    return text.encode()[:_LIMIT_BYTES].decode(errors="ignore").rpartition("\n\n")[0] + "\n\nThe rest is too long.\n"


def _parts(report: Report, growths: Mapping[str, ImageGrowth]) -> Iterator[str]:
    images = report["images"]
    yield f"## build-image: {report['result']}"
    if report["error"] is not None:
        yield from _error(report["error"])
    if images:
        yield _COLUMNS + "".join(_row(image, growths.get(image["name"])) for image in images)
    for image in images:
        if image["error"] is not None:
            yield f"### {_plain(image['name'])}"
            yield from _error(image["error"])
    for image in images:
        if image["checks"]:
            yield _checks(image)
    for image in images:
        if image["history"]:
            yield _layers(image, growths.get(image["name"]))


def _row(image: Report, growth: ImageGrowth | None) -> str:
    size_text = size(image["size_bytes"]) if image["size_bytes"] else ""
    change = signed(growth.whole.change_bytes, size(abs(growth.whole.change_bytes))) if growth else ""
    names = [f"`{push['reference']}@{push['digest']}` (pushed)" for push in image.get("pushed", ())]
    names += [f"`{reference}`" for reference in image["references"]]
    if not names and image["id"]:
        names = [f"`{image['id'][:_SHORT_DIGEST]}`"]
    cells = [
        f"**{_plain(image['name'])}**",
        f"{_MARKS.get(image['result'], '')} {image['result']}",
        size_text,
        change,
        f"{image['duration_s']:.1f} s",
        "<br>".join(names),
    ]
    return f"| {' | '.join(cells)} |\n"


def _error(error: Report) -> Iterator[str]:
    said = [] if error["problems"] else [f"**error:** {_plain(error['message'])}"]
    for problem in error["problems"]:
        line = "" if problem["line"] is None else f":{problem['line']}"
        place = " ".join(map(_code, filter(None, [f"{problem['file']}{line}", problem["path"]])))
        said.append(f"**error:** {place}: {_plain(problem['message'])}")
        said += [f"**hint:** {_plain(problem['hint'])}"] if problem["hint"] else []
    said += [f"**hint:** {_plain(error['hint'])}"] if error["hint"] else []
    yield "\n>\n".join(f"> {line}" for line in said)
    if error["output"]:
        yield _fenced("\n".join(error["output"]))


def _checks(image: Report) -> str:
    rows = [
        f"| {_plain(check['name'])} | {'passed' if check['passed'] else '**failed**'} "
        f"| {check['duration_s']:.1f} s | {_plain(check['detail'])} |"
        for check in image["checks"]
    ]
    head = ["| check | result | time | seen |", "|---|---|---:|---|"]
    return _folded(f"Checks of {image['name']}", "\n".join([*head, *rows]))


def _layers(image: Report, growth: ImageGrowth | None) -> str:
    changes = {layer.name: layer.change_bytes for layer in growth.layers} if growth else {}
    rows = []
    for layer in reversed(image["history"]):
        change = changes.pop(layer["name"], 0)
        change_text = signed(change, size(abs(change))) if change else ""
        size_text = "" if layer["size_bytes"] is None else size(layer["size_bytes"])
        rows.append(f"| {_plain(layer['name'])} | {size_text} | {change_text} |")
    rows += [f"| {_plain(name)} | gone | {signed(change, size(abs(change)))} |" for name, change in changes.items()]
    head = ["| layer, newest first | size | change |", "|---|---:|---:|"]
    return _folded(f"Layers of {image['name']}", "\n".join([*head, *rows]))


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{html.escape(title)}</summary>\n\n{content}\n\n</details>"


def _fenced(text: str) -> str:
    """Put a log in a fence that is longer than any in it."""
    text = _CONTROL.sub("", text)
    longest = max((len(fence) for fence in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _code(text: str) -> str:
    """Return a name as code, which nothing but a backtick can end."""
    return _plain(text) if "`" in text or "\n" in text else f"`{text}`"


def _plain(text: str) -> str:
    """Return `text` as it is to be read: no character of it means anything in Markdown, HTML or a table."""
    escaped = _CONTROL.sub("", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(_SPECIAL.sub(r"\\\1", escaped).replace("@", "&#64;").split())
