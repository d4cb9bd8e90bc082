"""Own what the HTML page of a report shows, as values for its template; it writes no markup and reads no report."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from builder import render, timeline
from builder.compare import Growth, ImageGrowth, signed
from builder.console import size
from builder.history import BASE

Report = Mapping[str, Any]

_STYLE = "report.css"
_SHORT_DIGEST = 19
_COLOURS = 8
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LEAST_SHARE = 0.25  # per cent of the bar, so that a layer of no size is seen


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBar:
    """A layer as a part of its image's bar, in per cent, and as a line of the table; `colour` is a class of its own."""

    name: str
    digest: str
    created_by: str
    size: str
    share: str
    colour: int
    left: float
    width: float


def document(report: Report, growths: Mapping[str, ImageGrowth]) -> str:
    """Return the report as one HTML page that asks no other file for anything and runs no script."""
    laid_out = timeline.make(report)
    style = resources.files("builder.templates").joinpath(_STYLE).read_text(encoding="utf-8") + _places(laid_out)
    colours = layer_colours(report)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return render.report_page(
        style=style,
        style_digest=f"sha256-{digest}",
        report=report,
        title=_title(report),
        timeline=laid_out,
        layers={image["name"]: layer_bars(image, colours=colours) for image in report["images"]},
        growths=growths,
        size=size,
        duration=timeline.duration,
        change=change,
        short=lambda digest: digest[:_SHORT_DIGEST],
        plain=lambda text: _CONTROL.sub("", text),
        pushed=lambda image: image.get("pushed", []),
    )


def _places(laid_out: timeline.Timeline | None) -> str:
    """Return the rules that put the labels of the axis in their places: the policy allows no style of an element."""
    ticks = laid_out.ticks if laid_out else ()
    return "".join(f".tick-{index} {{ left: {tick.left}%; }}\n" for index, tick in enumerate(ticks))


def _title(report: Report) -> str:
    names = [image["name"] for image in report["images"]]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown or report['manifest']}: {report['result']}"


def change(growth: Growth | None) -> str:
    """Write how something grew."""
    if growth is None:
        return ""
    if growth.before_bytes is None:
        return f"new, {size(growth.after_bytes or 0)}"
    if growth.after_bytes is None:
        return f"gone, {size(growth.before_bytes)}"
    return signed(growth.change_bytes, size(abs(growth.change_bytes)))


def layer_colours(report: Report) -> dict[str, int]:
    """Give each name of a layer a colour, the same in every image; the first one is that of the base alone."""
    names = dict.fromkeys(layer["name"] for image in report["images"] for layer in image["history"])
    others = [name for name in names if name != BASE]
    return {BASE: 0, **{name: 1 + index % (_COLOURS - 1) for index, name in enumerate(others)}}


def layer_bars(image: Report, *, colours: Mapping[str, int]) -> list[LayerBar]:
    """Lay the layers of an image out along its bar, lowest first."""
    held = image["history"]
    total = sum(layer["size_bytes"] or 0 for layer in held) or 1
    shares = [(layer["size_bytes"] or 0) / total * 100 for layer in held]
    widths = [max(share, _LEAST_SHARE) for share in shares]
    bars, left = [], 0.0
    for layer, share, width in zip(held, shares, widths, strict=True):
        drawn = width / sum(widths) * 100
        bars.append(
            LayerBar(
                name=layer["name"],
                digest=layer["digest"],
                created_by=layer["created_by"] or "",
                size="" if layer["size_bytes"] is None else size(layer["size_bytes"]),
                share="" if layer["size_bytes"] is None else f"{share:.1f} %",
                colour=colours[layer["name"]],
                left=round(left, 3),
                width=round(drawn, 3),
            )
        )
        left += drawn
    return bars
