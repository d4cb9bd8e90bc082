"""Own what tests expect on the wire: errors in each dialect, and the tolerance of numbers."""

import numpy as np

from tests.runtime import tiny
from tests.runtime.server import Answer

TOLERANCE = 1e-6


def score(query: str, document: str) -> float:
    """Compute the tiny reranker's score of one pair: the sigmoid of its logit."""
    return float(1 / (1 + np.exp(-tiny.logit(query, document))))


def openai_error(
    message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def native_error(message: str, *, error_type: str = "Validation") -> dict[str, str]:
    return {"error": message, "error_type": error_type, "message": message}


def cohere_error(message: str) -> dict[str, str]:
    return {"message": message}


def status_and_body(answer: Answer) -> tuple[int, object]:
    return answer.status, answer.body
