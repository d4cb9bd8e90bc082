"""What the form offers and asks, on images with other models than one of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from examples import quickstart
from tests.runtime import tiny
from tests.runtime.conftest import Folders
from tests.runtime.page.browser import Visit, visit
from tests.runtime.server import Server, running_server

PROMPTS = {"query": "search query: ", "passage": "search: ", "title": "title: "}


@pytest.fixture(scope="module")
def several(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two embedders, one with prompts, and two rerankers; a request holds 3 texts and 8,000 bytes."""
    bundle = tiny.write_bundle(
        tmp_path_factory.mktemp("several") / "bundle.json",
        tiny.embedder_entry(folders.embedder, name="plain", prompts={}, dimensions=[32]),
        tiny.embedder_entry(folders.embedder, name="prompted", prompts=PROMPTS, default_prompt="title"),
        tiny.reranker_entry(folders.reranker, name="first"),
        tiny.reranker_entry(folders.reranker, name="second", activation="identity"),
    )
    with running_server(bundle, max_client_batch_size="3", payload_limit="8000") as server:
        yield server


@pytest.fixture
def chosen(context: BrowserContext, several: Server) -> Visit:
    return visit(context, f"http://127.0.0.1:{several.port}/")


def served(folders: Folders, tmp_path: Path, *, task: str) -> Path:
    entries = {
        "embedding": tiny.embedder_entry(folders.embedder),
        "reranker": tiny.reranker_entry(folders.reranker),
        "classifier": tiny.classifier_entry(folders.classifier),
    }
    return tiny.write_bundle(tmp_path / "bundle.json", entries[task])


def offered(visit: Visit, label: str) -> list[str]:
    return visit.page.get_by_label(label, exact=True).locator("option").all_inner_texts()


def test_the_quickstart_s_question_is_there_to_begin_with(shown: Visit) -> None:
    shown.rank()
    (reranked,) = shown.posted("rerank")
    assert (reranked["query"], reranked["documents"]) == (quickstart.QUESTION, quickstart.DOCUMENTS)


def test_what_is_asked_of_one_embedder_and_one_reranker(shown: Visit) -> None:
    shown.rank(query=" cat ", documents="rates\n\n  cat\n")
    embeddings = {"model": "tiny", "dimensions": None, "encoding_format": "base64"}
    assert shown.posted("v1/embeddings") == [
        {**embeddings, "input": ["cat"], "prompt_name": "query"},
        {**embeddings, "input": ["rates", "cat"], "prompt_name": ""},
    ]
    assert shown.posted("rerank") == [{"model": "ranker", "query": "cat", "documents": ["rates", "cat"]}]


def test_a_document_can_be_a_paragraph(shown: Visit) -> None:
    shown.page.get_by_label("a paragraph, up to a blank line").check()
    shown.rank(documents="one line\nand another\n \n\nsecond\r\n\r\nthird\n")
    assert shown.posted("rerank")[0]["documents"] == ["one line\nand another", "second", "third"]


def test_documents_are_counted_as_they_are_typed(shown: Visit) -> None:
    expect(shown.page.get_by_text("5 documents", exact=True)).to_be_visible()
    shown.page.get_by_label("Documents", exact=True).fill("one")
    expect(shown.page.get_by_text("1 document", exact=True)).to_be_visible()


def test_what_is_missing_is_said_beside_its_field(shown: Visit) -> None:
    shown.page.get_by_label("Query", exact=True).fill(" ")
    shown.page.get_by_label("Documents", exact=True).fill("\n")
    shown.page.get_by_role("button", name="Rank").click()
    query, documents = (shown.page.get_by_role("textbox", name=name) for name in ("Query", "Documents"))
    expect(query).to_have_accessible_description("Type a query.")
    expect(documents).to_have_accessible_description("0 documents Type at least one document.")
    expect(query).to_be_focused()
    assert (query.get_attribute("aria-invalid"), shown.posted("v1/embeddings")) == ("true", [])


def test_what_was_missing_is_forgotten_once_it_is_there(shown: Visit) -> None:
    shown.page.get_by_label("Query", exact=True).fill("")
    shown.page.get_by_role("button", name="Rank").click()
    shown.rank(query="cat")
    expect(shown.page.get_by_role("textbox", name="Query")).to_have_accessible_description("")


def test_every_model_can_be_chosen(chosen: Visit) -> None:
    assert (offered(chosen, "Embedder"), offered(chosen, "Reranker")) == (["plain", "prompted"], ["first", "second"])
    chosen.page.get_by_label("Embedder", exact=True).select_option("prompted")
    chosen.page.get_by_label("Reranker", exact=True).select_option("second")
    chosen.rank(query="cat", documents="cat")
    models = [body["model"] for path in ("v1/embeddings", "rerank") for body in chosen.posted(path)]
    assert models == ["prompted", "prompted", "second"]


def test_only_what_the_embedder_has_is_asked_about(chosen: Visit) -> None:
    labels = ["Prompt of the query", "Prompt of the documents", "Dimensions"]
    before = [chosen.page.get_by_label(label).is_visible() for label in labels]
    chosen.page.get_by_label("Embedder", exact=True).select_option("prompted")
    assert (before, [chosen.page.get_by_label(label).is_visible() for label in labels]) == ([False] * 3, [True] * 3)


def test_each_side_begins_with_the_prompt_that_is_called_after_it(chosen: Visit) -> None:
    chosen.page.get_by_label("Embedder", exact=True).select_option("prompted")
    assert offered(chosen, "Prompt of the query") == ["none", "query", "passage", "title"]
    chosen.rank(query="cat", documents="cat")
    assert [body["prompt_name"] for body in chosen.posted("v1/embeddings")] == ["query", "passage"]


def test_a_request_holds_what_the_server_allows(chosen: Visit) -> None:
    long = "cat " * 1000
    chosen.rank(query="cat", documents="\n".join(["cat"] * 7 + [long] * 3))
    assert [len(body["documents"]) for body in chosen.posted("rerank")] == [3, 3, 2, 1, 1]


def test_logits_are_shown_as_they_are(chosen: Visit) -> None:
    chosen.page.get_by_label("Reranker", exact=True).select_option("second")
    chosen.rank(query="cat", documents="cat")
    assert chosen.rows("Reranker") == [["1 same", "1 Document 1 cat", f"{tiny.logit('cat', 'cat'):.3f}"]]


def test_an_image_without_a_reranker_has_a_page_without_one(
    folders: Folders, context: BrowserContext, tmp_path: Path
) -> None:
    with running_server(served(folders, tmp_path, task="embedding")) as server:
        seen = visit(context, f"http://127.0.0.1:{server.port}/")
        seen.rank()
        expect(seen.page.get_by_label("Reranker", exact=True)).to_be_hidden()
        assert seen.page.get_by_role("table").count() == 2
        assert "rerank" not in seen.page.get_by_role("region", name="Program with curl").inner_text()


def test_an_image_without_an_embedder_has_a_page_without_one(
    folders: Folders, context: BrowserContext, tmp_path: Path
) -> None:
    with running_server(served(folders, tmp_path, task="reranker")) as server:
        seen = visit(context, f"http://127.0.0.1:{server.port}/")
        seen.rank()
        expect(seen.page.get_by_label("Embedder", exact=True)).to_be_hidden()
        assert [row[0] for row in seen.rows("Reranker")] == ["1", "2", "3", "4", "5"]
        assert seen.page.get_by_role("table").count() == 1
        assert seen.page.get_by_role("region", name="Program with openai").count() == 0


def test_an_image_of_classifiers_alone_says_that_it_ranks_nothing(
    folders: Folders, context: BrowserContext, tmp_path: Path
) -> None:
    with running_server(served(folders, tmp_path, task="classifier")) as server:
        seen = visit(context, f"http://127.0.0.1:{server.port}/")
        expect(seen.page.get_by_role("status")).to_have_text(
            "No model of this server ranks texts: it has neither an embedder nor a reranker."
        )
        expect(seen.page.get_by_role("button", name="Rank")).to_be_hidden()
        expect(seen.page.get_by_role("article", name="sorter")).to_contain_text(", ".join(tiny.LABELS))
