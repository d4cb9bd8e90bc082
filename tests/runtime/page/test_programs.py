"""The programs that the page shows run as they stand, and answer what the page shows."""

import json
import shutil
import subprocess
import sys

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.runtime.page.browser import Visit, visit
from tests.runtime.server import Server

QUERY = """Where's the "cat" \\ on the $windowsill?"""
DOCUMENTS = "it's `the` 'warm' windowsill\nrates\\n rose 🐈 \"Tuesday\""


def program(visit: Visit, name: str) -> str:
    return visit.page.get_by_role("region", name=f"Program with {name}").inner_text()


def run(*command: str, key: str = "") -> str:
    environment = {"PATH": "/usr/bin:/bin", "NO_PROXY": "*", "API_KEY": key, "PYTHONUTF8": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no `curl` here")
def test_the_curl_program_gets_the_answers_that_the_page_gets(shown: Visit, server: Server) -> None:
    shown.rank(query=QUERY, documents=DOCUMENTS)
    answers = [
        json.loads(line)
        for line in run("sh", "-c", program(shown, "curl").replace("curl ", "echo; curl -s ")).splitlines()
        if line
    ]
    bodies = [("/v1/embeddings", {**body, "encoding_format": None}) for body in shown.posted("v1/embeddings")]
    bodies += [("/rerank", body) for body in shown.posted("rerank")]
    expected = [server.post(path, body).body for path, body in bodies]
    for answer in (*answers, *expected):
        answer.pop("id", None)  # each answer's own
    assert answers == expected


def test_the_openai_program_prints_the_page_s_ranking(shown: Visit) -> None:
    shown.page.get_by_label("Dimensions").select_option("16")
    shown.rank(query=QUERY, documents=DOCUMENTS)
    printed = [line.split(maxsplit=1) for line in run(sys.executable, "-c", program(shown, "openai")).splitlines()]
    assert [[score.replace("-", "\N{MINUS SIGN}"), text] for score, text in printed] == [
        [score, text.split(maxsplit=3)[3]] for _, text, score in shown.rows("Embedder")
    ]


def test_a_server_that_wants_a_key_gets_it_from_the_environment(shown: Visit) -> None:
    shown.refuse("v1/embeddings", status=401, body={"message": "no key"})
    shown.page.get_by_role("button", name="Rank").click()
    expect(shown.page.get_by_label("API key")).to_be_visible()
    shown.page.get_by_label("API key").fill("secret")
    assert program(shown, "curl").count('-H "Authorization: Bearer $API_KEY"') == 3
    assert 'api_key=os.environ["API_KEY"]' in program(shown, "openai")
    assert "secret" not in shown.page.locator("#snippets").inner_text()


def test_of_many_documents_a_program_has_the_first(shown: Visit) -> None:
    shown.page.get_by_label("Documents", exact=True).fill("\n".join(f"cat {number}" for number in range(22)))
    expect(shown.page.get_by_text("Without the last 2 documents, to stay readable.")).to_be_visible()
    assert '"cat 19",\n]' in program(shown, "openai")


def test_a_program_can_be_copied(context: BrowserContext, server: Server) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen = visit(context, f"http://127.0.0.1:{server.port}/")
    seen.page.get_by_role("button", name="Copy the curl program").click()
    expect(seen.page.get_by_role("status")).to_have_text("Copied.")
    assert seen.page.evaluate("navigator.clipboard.readText()") == program(seen, "curl")


def test_where_a_page_may_not_copy_the_program_is_selected(shown: Visit) -> None:
    shown.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    shown.page.get_by_role("button", name="Copy the openai program").click()
    expect(shown.page.get_by_role("status")).to_have_text("Selected. Press Ctrl+C to copy.")
    assert shown.page.evaluate("getSelection().toString()").strip() == program(shown, "openai").strip()
