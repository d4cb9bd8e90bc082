from typing import get_args

import pytest

from runtime import errors
from runtime.answers import ANSWERS, Dialect, answer
from runtime.schemas import CohereError, NativeError, OpenAIError, OpenAIErrorDetail


def test_every_error_of_a_request_has_a_row() -> None:
    assert set(ANSWERS) == set(errors.RequestError.__subclasses__())


@pytest.mark.parametrize(
    ("error", "openai", "native"),
    [
        (errors.MalformedError, 400, 400),
        (errors.InvalidError, 400, 422),
        (errors.EmptyError, 400, 400),
        (errors.UnauthorizedError, 401, 401),
        (errors.UnknownModelError, 404, 404),
        (errors.UnknownRouteError, 404, 404),
        (errors.MethodError, 405, 405),
        (errors.SlowBodyError, 408, 408),
        (errors.PayloadError, 413, 413),
        (errors.MediaTypeError, 415, 415),
        (errors.LoadingError, 503, 503),
    ],
)
def test_each_dialect_has_its_status(error: type[errors.RequestError], openai: int, native: int) -> None:
    statuses = [answer(error("no"), dialect=dialect)[0] for dialect in get_args(Dialect)]
    assert statuses == [openai, openai, native]


def test_openai_is_answered_with_its_four_fields() -> None:
    error = errors.UnknownModelError("no such model", param="model")
    detail = OpenAIErrorDetail(
        message="no such model", type="invalid_request_error", param="model", code="model_not_found"
    )
    assert answer(error, dialect="openai")[:2] == (404, OpenAIError(error=detail))


def test_cohere_is_answered_with_a_message() -> None:
    error = errors.InvalidError("is too small", param="top_n")
    assert answer(error, dialect="cohere")[:2] == (400, CohereError(message="`top_n`: is too small"))


def test_who_has_no_key_is_told_how_to_send_one() -> None:
    assert answer(errors.UnauthorizedError("no key"), dialect="openai")[2] == {"www-authenticate": "Bearer"}


def test_tei_and_cohere_find_their_fields_in_one_body() -> None:
    error = errors.InvalidError("is too small", param="top_n")
    message = "`top_n`: is too small"
    assert answer(error, dialect="native")[:2] == (
        422,
        NativeError(error=message, error_type="Validation", message=message),
    )


@pytest.mark.parametrize("error", [ValueError("secret"), errors.InferenceError("secret"), errors.ModelError("secret")])
def test_what_is_not_the_callers_tells_nothing(error: Exception) -> None:
    message = "the server failed to answer; its log says why"
    assert answer(error, dialect="native")[:2] == (
        500,
        NativeError(error=message, error_type="Backend", message=message),
    )
