"""What is in the page of a report; what a browser makes of it is in tests/builder/page."""

import base64
import hashlib
import itertools
import re
from dataclasses import replace

import pytest

from builder import compare, page
from builder.errors import BuildFailedError
from builder.report import Report
from tests.builder import reported
from tests.builder.optimized import ACCURACY

EVERYTHING = reported.report(*reported.ALL, error=KeyboardInterrupt())
EVIL = "<script>alert(1)</script>\" onload='x' {{ 7 * 7 }}"


def document(report: Report, previous: Report | None = None) -> str:
    return page.document(report, compare.growths(report, previous))


def test_the_policy_allows_this_style_and_nothing_else() -> None:
    text = document(EVERYTHING)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    text = document(EVERYTHING)
    assert re.findall(r"<(?:script|iframe|img|object|embed|base)\b|\s(?:src|style|on\w+)=", text) == []
    assert set(re.findall(r'href="([^"]*)"', text)) == {
        "data:,",
        *(f"#image-{image['name']}" for image in EVERYTHING["images"]),
    }


def test_no_text_of_a_report_is_markup() -> None:
    error = BuildFailedError(EVIL, step=EVIL, output=(EVIL, "\x1b]0;title\x07"), hint=EVIL)
    report = reported.report(replace(reported.BROKEN, error=error), error=BuildFailedError(EVIL))
    report["manifest"] = report["images"][0]["references"] = EVIL
    report["images"][0]["checks"][0]["detail"] = report["images"][0]["history"][0]["created_by"] = EVIL
    text = document(report)
    assert "<script" not in text
    assert "alert(1)" in text
    assert "{{ 7 * 7 }}" in text
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f]", text) == []


@pytest.mark.parametrize(
    "report", [reported.report(), reported.report(error=BuildFailedError("x")), reported.report(reported.WAITING)]
)
def test_a_run_of_which_there_is_little_to_tell_has_a_page(report: Report) -> None:
    assert document(report).endswith("</html>\n")


def test_layers_lie_beside_each_other_and_fill_the_bar() -> None:
    bars = page.layer_bars(EVERYTHING["images"][0], colours=page.layer_colours(EVERYTHING))
    assert [(bar.name, bar.size, bar.share) for bar in bars][:2] == [
        ("base", "78.1 MB", "15.8 %"),
        ("runtime-packages", "45.3 MB", "9.2 %"),
    ]
    for left, right in itertools.pairwise(bars):
        assert left.left + left.width == pytest.approx(right.left, abs=0.01)
    assert bars[-1].left + bars[-1].width == pytest.approx(100, abs=0.01)


def test_a_layer_has_the_same_colour_in_every_image_and_the_base_one_of_its_own() -> None:
    colours = page.layer_colours(EVERYTHING)
    assert colours["base"] == 0
    assert len(set(colours.values())) == len(colours) == 7


def test_layers_of_unknown_size_are_shown_without_one() -> None:
    report = reported.report(reported.WEIGHTS)
    for layer in report["images"][0]["history"]:
        layer |= {"size_bytes": None, "created_by": None}
    bars = page.layer_bars(report["images"][0], colours=page.layer_colours(report))
    assert [(bar.size, bar.share, bar.width) for bar in bars] == [("", "", 50.0), ("", "", 50.0)]


def test_what_grew_is_told() -> None:
    text = document(EVERYTHING, reported.older())
    assert "464 MB then, 494 MB now: +30 MB" in text
    assert "gone, 12 MB" in text


def test_what_was_pushed_is_shown() -> None:
    report = reported.report(reported.RETRIEVAL)
    report["images"][0]["pushed"] = [reported.PUSHED]
    assert f"Pushed: <code>{reported.PUSHED['reference']}@{reported.DIGEST}</code>" in document(report)


def test_what_was_measured_of_optimised_graphs_is_a_table_and_why_an_original_stays() -> None:
    text = document(reported.report(replace(reported.RETRIEVAL, accuracy=ACCURACY)))
    rows = re.findall(r"<tr><th scope=\"row\">(\w+)</th><td[^>]*>(.*?)</tr>", text[text.index("Optimised graphs") :])
    cells = [(name, *re.sub(r"<[^>]+>", "|", rest).strip("|").split("||")) for name, rest in rows[:4]]
    assert cells == [
        ("embedder", "model.onnx", "mean cosine", "0.9935", "at least 0.99"),
        ("embedder", "model.onnx", "least cosine", "0.9856"),
        ("embedder", "model.onnx", "batch difference", "0.0002", "at most 0.001"),
        ("reranker", "The original stays: load: ONNX Runtime can&#39;t load it"),
    ]
