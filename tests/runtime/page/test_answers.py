"""What a visitor sees of the models' answers, against the references."""

from collections.abc import Sequence

import numpy as np
import pytest
from playwright.sync_api import Locator, Route, expect

from tests.runtime import tiny
from tests.runtime.page.browser import Table, Visit, steady

QUERY = "Where does the cat sit on the windowsill?"
DOCUMENTS = [
    "Interest rates rose by a quarter point on Tuesday.",
    "A cat is sitting on a sunny windowsill.",
    "The cat sits on the warm windowsill.",
    "A warm point on the windowsill.",
]
CUT = "cat " * 99


def cosines(*, prompt: str = "search query: ", dimensions: int = tiny.HIDDEN) -> list[float]:
    query = tiny.embedding(prompt + QUERY, dimensions=dimensions)
    return [float(query @ tiny.embedding(text, dimensions=dimensions)) for text in DOCUMENTS]


def scores() -> list[float]:
    return [float(1 / (1 + np.exp(-tiny.logit(QUERY, text)))) for text in DOCUMENTS]


def ranked(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda position: -values[position])


def fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def embedder_rows(values: Sequence[float]) -> Table:
    return [
        [str(rank), f"{position + 1} Document {position + 1} {DOCUMENTS[position]}", fixed(values[position], 3)]
        for rank, position in enumerate(ranked(values), 1)
    ]


def times(visit: Visit, panel: str) -> str:
    """Read what an answer took, with its figures of time as 0."""
    text = visit.page.get_by_role("article", name=panel).locator(".times").inner_text()
    return steady(" ".join(text.split()))


def test_the_embedder_s_ranking_is_by_cosine_with_the_prompt_of_queries(shown: Visit) -> None:
    shown.rank(query=QUERY, documents="\n".join(DOCUMENTS))
    assert shown.rows("Embedder") == embedder_rows(cosines())


def test_the_reranker_s_ranking_says_how_far_each_document_moved(shown: Visit) -> None:
    shown.rank(query=QUERY, documents="\n".join(DOCUMENTS))
    assert (ranked(cosines()), ranked(scores())) == ([2, 3, 1, 0], [2, 1, 3, 0])
    moves = ["1 same", "2 ▲1 up 1", "3 ▼1 down 1", "4 same"]
    assert shown.rows("Reranker") == [
        [move, f"{position + 1} Document {position + 1} {DOCUMENTS[position]}", fixed(scores()[position], 3)]
        for move, position in zip(moves, ranked(scores()), strict=True)
    ]


def test_a_prompt_is_said_with_its_text(shown: Visit) -> None:
    shown.rank()
    expect(shown.page.get_by_role("article", name="Embedder tiny")).to_contain_text(
        "Before the query: search query: (prompt query)"
    )


def test_no_prompt_can_be_chosen(shown: Visit) -> None:
    shown.page.get_by_label("Prompt of the query").select_option("none")
    shown.rank(query=QUERY, documents="\n".join(DOCUMENTS))
    assert shown.rows("Embedder") == embedder_rows(cosines(prompt=""))


def test_fewer_dimensions_can_be_chosen(shown: Visit) -> None:
    shown.page.get_by_label("Dimensions").select_option("16")
    shown.rank(query=QUERY, documents="\n".join(DOCUMENTS))
    assert shown.rows("Embedder") == embedder_rows(cosines(dimensions=16))


def test_the_heat_map_has_the_cosine_of_each_with_each_in_the_embedder_s_order(shown: Visit) -> None:
    shown.rank(query=QUERY, documents="\n".join(DOCUMENTS))
    order = ranked(cosines())
    vectors = [tiny.embedding(f"search query: {QUERY}"), *(tiny.embedding(DOCUMENTS[position]) for position in order)]
    names = ["Query", *(f"{position + 1} Document {position + 1} {DOCUMENTS[position]}" for position in order)]
    assert shown.rows("Cosine similarity") == [
        [name, *(fixed(float(vector @ other), 2) for other in vectors)]
        for name, vector in zip(names, vectors, strict=True)
    ]


def test_times_and_tokens_are_said(shown: Visit) -> None:
    shown.rank(query="cat", documents="cat\nrates")
    assert times(shown, "Embedder tiny") == "Query 0 ms 2 documents 0 ms 12 tokens"
    assert times(shown, "Reranker ranker") == "2 pairs 0 ms 10 tokens"


def test_times_that_the_server_reports_are_added_up_and_said(shown: Visit) -> None:
    def with_times(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "x-total-time": "12", "x-inference-time": "7"})

    shown.page.route("**/rerank", with_times)
    shown.rank(query="cat", documents="\n".join(["cat"] * 65))
    text = shown.page.get_by_role("article", name="Reranker").locator(".times").inner_text()
    assert "in 2 requests (server 24 ms, inference 14 ms)" in text


def test_texts_that_were_cut_are_counted(shown: Visit) -> None:
    shown.rank(query="cat", documents=f"{CUT}\nrates")
    expect(shown.page.get_by_role("article", name="Embedder tiny")).to_contain_text("Cut to 24 tokens: 1 text")
    expect(shown.page.get_by_role("article", name="Reranker ranker")).to_contain_text("Cut to 32 tokens: 1 text")


def test_a_document_of_markup_is_a_text(shown: Visit) -> None:
    markup = "<img src=x onerror=alert(1)> `code` & <b>bold</b>"
    shown.rank(documents=markup)
    assert [row[1] for row in shown.rows("Embedder")] == [f"1 Document 1 {markup}"]


def test_a_long_document_is_folded_to_its_beginning(shown: Visit) -> None:
    text = "cat " * 99 + "windowsill"
    shown.rank(documents=text)
    folded = shown.page.get_by_role("article", name="Embedder tiny").locator("details")
    assert folded.locator("summary").inner_text() == f"{'cat ' * 59}cat…"
    folded.locator("summary").click()
    assert folded.locator("p").inner_text() == text


@pytest.fixture
def many(shown: Visit) -> Visit:
    shown.rank(query="cat", documents="\n".join(f"cat {number}" for number in range(240)))
    return shown


def rows_of(visit: Visit) -> Locator:
    return visit.page.get_by_role("table", name="Embedder").locator("tbody").get_by_role("row")


def test_many_documents_are_asked_about_in_several_requests(many: Visit) -> None:
    assert [len(body["documents"]) for body in many.posted("rerank")] == [64, 64, 64, 48]
    assert [len(body["input"]) for body in many.posted("v1/embeddings")] == [1, 64, 64, 64, 48]


def test_of_many_documents_the_first_are_shown_and_the_others_on_request(many: Visit) -> None:
    before = rows_of(many).count()
    many.page.get_by_role("article", name="Embedder tiny").get_by_role("button", name="Show 220 more documents").click()
    assert (before, rows_of(many).count()) == (20, 240)
    expect(rows_of(many).nth(20)).to_be_focused()


def test_of_many_documents_the_heat_map_has_the_best(many: Visit) -> None:
    assert [len(row) for row in many.rows("Cosine similarity")] == [14] * 13
    expect(many.page.get_by_role("region", name="Similarity", exact=True)).to_contain_text(
        "the 12 documents of 240 that the embedder ranks highest"
    )
