"""Ask the quickstart's image: a semantic search and a rerank, answered by a container that has no network."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

import docker
from docker.models.containers import Container

IMAGE = "build-image/quickstart:latest"
START_TIMEOUT_S = 60

QUESTION = "How do I get back into my account?"
DOCUMENTS = [
    "To reset a forgotten password, open Settings and choose Security.",
    "Interest rates rose by a quarter point on Tuesday.",
    "The cat sits on the warm windowsill.",
    "If you cannot log in, ask an administrator to unlock your user.",
    "Bread dough should rest for an hour before it is baked.",
]


@contextlib.contextmanager
def serving(image: str) -> Iterator[Container]:
    """Run `image` without a network until the block ends."""
    client = docker.from_env()
    container = client.containers.run(image, detach=True, network_mode="none", read_only=True)
    try:
        wait_until_ready(container)
        yield container
    finally:
        container.remove(force=True)


def wait_until_ready(container: Container) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while container.exec_run(["python3", "-m", "runtime", "probe"]).exit_code != 0:
        if time.monotonic() > deadline:
            sys.exit(f"error: the server is not ready:\n{container.logs(tail=20).decode()}")
        time.sleep(0.1)


def ask(container: Container, path: str, body: dict[str, Any]) -> Any:
    """Post `body` to the server from inside: without a network there is no other way in."""
    command = ["python3", "-m", "runtime", "probe", path, "--json", json.dumps(body)]
    answer = container.exec_run(command)
    text = cast("bytes", answer.output).decode()  # it is neither streamed nor split
    if answer.exit_code != 0:
        sys.exit(f"error: {path}: {text}")
    return json.loads(text)


def search(container: Container) -> list[tuple[float, str]]:
    """Rank DOCUMENTS by the cosine of their vectors to the question's; the vectors have unit length."""
    answer = ask(container, "/v1/embeddings", {"input": [QUESTION, *DOCUMENTS]})
    question, *documents = (item["embedding"] for item in answer["data"])
    scores = [math.fsum(x * y for x, y in zip(question, vector, strict=True)) for vector in documents]
    return sorted(zip(scores, DOCUMENTS, strict=True), reverse=True)


def rerank(container: Container) -> list[tuple[float, str]]:
    answer = ask(container, "/rerank", {"query": QUESTION, "documents": DOCUMENTS})
    return [(result["relevance_score"], DOCUMENTS[result["index"]]) for result in answer["results"]]


def main() -> None:
    with serving(IMAGE) as container:
        for title, ranking in (("semantic search", search(container)), ("rerank", rerank(container))):
            print(f"\n{title}: {QUESTION}")
            for score, document in ranking:
                print(f"  {score:6.3f}  {document}")


if __name__ == "__main__":
    main()
