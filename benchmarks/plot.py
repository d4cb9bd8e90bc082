"""Own the picture of the serving benchmark: a bar chart as SVG, legible in light and dark, drawn with nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABEL_WIDTH, ROW, GAP, TITLE = 860, 300, 22, 6, 34
BAR_WIDTH = WIDTH - LABEL_WIDTH - 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One figure; `text` is what is written beside it."""

    label: str
    value: float
    text: str
    is_ours: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Figures of one unit, drawn to the same scale."""

    title: str
    bars: Sequence[Bar]


STYLE = """
text { font: 13px sans-serif; fill: #24292f } .title { font-weight: bold }
rect { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #6e7681 } .ours { fill: #4493f8 } }
"""


def svg(charts: Sequence[Chart]) -> str:
    """Draw charts below each other."""
    parts: list[str] = []
    top = 0
    for chart in charts:
        parts.append(f'<text class="title" x="0" y="{top + 20}">{escape(chart.title)}</text>')
        top += TITLE
        largest = max(bar.value for bar in chart.bars)
        for bar in chart.bars:
            parts += _bar(bar, top=top, largest=largest)
            top += ROW + GAP
        top += ROW
    view = f'viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {view}>\n<style>{STYLE}</style>\n{body}\n</svg>\n'


def _bar(bar: Bar, *, top: int, largest: float) -> list[str]:
    width = max(1, round(bar.value / largest * BAR_WIDTH))
    middle = top + 16
    ours = ' class="ours"' if bar.is_ours else ""
    return [
        f'<text x="{LABEL_WIDTH - 10}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{LABEL_WIDTH}" y="{top}" width="{width}" height="{ROW}"{ours}/>',
        f'<text x="{LABEL_WIDTH + width + 8}" y="{middle}">{escape(bar.text)}</text>',
    ]
