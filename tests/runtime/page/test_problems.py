"""What a visitor is told when something goes wrong, and how they go on."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.runtime.conftest import Folders
from tests.runtime.page.browser import Visit, open_page, visit
from tests.runtime.server import Server, running_server


def told(visit: Visit) -> str:
    """Rank, and read what is said to have gone wrong, a paragraph a line."""
    visit.page.get_by_role("button", name="Rank").click()
    problem = visit.page.get_by_role("alert")
    expect(problem).not_to_be_empty()
    return "\n".join(problem.locator("p").all_inner_texts())


def test_a_refusal_of_the_server_is_told_in_its_words(shown: Visit) -> None:
    shown.page.get_by_label("Documents", exact=True).fill("x" * 100_000)
    assert told(shown) == "the body is longer than 100000 bytes\nShorten the longest document."


@pytest.mark.parametrize(
    ("status", "body", "headers", "words"),
    [
        (400, {"error": {"message": "`7` is none", "param": "dimensions"}}, {}, "dimensions: 7 is none"),
        (422, {"error": "too long", "error_type": "Validation", "message": "too long"}, {}, "too long"),
        (
            429,
            {"error": "overloaded", "message": "overloaded"},
            {"retry-after": "3"},
            "overloaded\nThe server is busy. Rank again in 3 s.",
        ),
        (503, {"message": "loading", "hint": "wait for `/health`"}, {}, "loading\nwait for /health"),
        (500, {}, {}, "The server answered with status 500.\nThe server's log says why."),
    ],
)
def test_an_error_is_told_with_what_helps(
    shown: Visit, status: int, body: Any, headers: dict[str, str], words: str
) -> None:
    shown.refuse("v1/embeddings", status=status, body=body, headers=headers)
    assert told(shown) == words


def test_an_answer_of_something_else_is_told(shown: Visit) -> None:
    shown.page.route("**/v1/embeddings", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    assert told(shown) == (
        "The answer, with status 502, is not JSON.\nIs there a proxy before the server that answers in its place?"
    )


def test_what_was_answered_before_an_error_stays(shown: Visit) -> None:
    shown.refuse("rerank", status=500, body={"message": "broken"})
    assert told(shown).startswith("broken")
    assert len(shown.rows("Embedder")) == 5


def test_a_problem_is_forgotten_when_it_is_over(shown: Visit) -> None:
    shown.page.route("**/rerank", lambda route: route.abort(), times=1)
    assert told(shown) == "The server does not answer.\nIs it running, and its port still forwarded?"
    shown.rank()
    expect(shown.page.get_by_role("alert")).to_be_empty()


def test_a_server_that_is_gone_is_told(folders: Folders, context: BrowserContext) -> None:
    with running_server(folders.bundle) as server:
        seen = visit(context, f"http://127.0.0.1:{server.port}/")
        server.terminate()
        assert told(seen) == "The server does not answer.\nIs it running, and its port still forwarded?"


@pytest.fixture(scope="module")
def closed(folders: Folders) -> Iterator[Server]:
    """A server that wants a key."""
    with running_server(folders.bundle, api_key="secret") as server:
        yield server


@pytest.fixture
def guarded(context: BrowserContext, closed: Server) -> Visit:
    return open_page(context, f"http://127.0.0.1:{closed.port}/")


def test_a_server_that_wants_a_key_is_asked_nothing_without_one(guarded: Visit) -> None:
    expect(guarded.page.get_by_role("status")).to_have_text("This server wants an API key. Enter it, then rank.")
    expect(guarded.page.get_by_label("API key")).to_be_focused()
    expect(guarded.page.get_by_role("heading", name="Models")).to_be_hidden()
    expect(guarded.page.get_by_role("alert")).to_be_empty()


def test_a_key_that_is_entered_is_sent_with_every_question(guarded: Visit) -> None:
    expect(guarded.page.get_by_label("API key")).to_be_focused()
    guarded.page.keyboard.type("secret")
    guarded.page.keyboard.press("Enter")
    expect(guarded.page.get_by_text("5 documents ranked.")).to_be_visible()
    assert [len(guarded.rows(table)) for table in ("Embedder", "Reranker")] == [5, 5]


def test_a_wrong_key_is_told_and_asked_for_again(guarded: Visit) -> None:
    guarded.page.get_by_label("API key").fill("guess")
    assert told(guarded) == "the key is none of this server's\nEnter a key of this server, then rank again."
    expect(guarded.page.get_by_label("API key")).to_be_focused()


def test_a_key_that_is_no_longer_taken_is_asked_for_again(guarded: Visit) -> None:
    guarded.page.get_by_label("API key").fill("secret")
    guarded.rank()
    guarded.page.get_by_label("API key").fill("guess")
    assert told(guarded).startswith("the key is none of this server's")


def test_a_key_is_not_kept(guarded: Visit) -> None:
    guarded.page.get_by_label("API key").fill("secret")
    guarded.rank()
    kept = guarded.page.evaluate("[{...localStorage}, {...sessionStorage}, document.cookie]")
    guarded.page.reload()
    assert (kept, guarded.page.get_by_label("API key").input_value()) == ([{}, {}, ""], "")


def test_a_question_that_takes_long_can_be_stopped(shown: Visit) -> None:
    shown.page.route("**/rerank", lambda _: None, times=1)  # never answered
    shown.page.get_by_role("button", name="Rank").click()
    expect(shown.page.get_by_role("status")).to_have_text("Reranking.")
    shown.page.get_by_role("button", name="Stop").click()
    expect(shown.page.get_by_role("status")).to_have_text("Stopped.")
    expect(shown.page.get_by_role("button", name="Rank")).to_be_focused()
    shown.rank()
    assert len(shown.rows("Reranker")) == 5


def test_a_second_question_waits_for_the_first(shown: Visit) -> None:
    shown.page.route("**/rerank", lambda _: None)
    shown.page.get_by_role("button", name="Rank").click()
    expect(shown.page.get_by_role("status")).to_have_text("Reranking.")
    shown.page.keyboard.press("Enter")
    expect(shown.page.get_by_role("button", name="Rank")).to_have_attribute("aria-disabled", "true")
    assert len(shown.posted("rerank")) == 1
