"""Own the one table from errors to what is answered: status, type and code in each dialect; it raises nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from runtime import errors
from runtime.schemas import CohereError, NativeError, OpenAIError, OpenAIErrorDetail

Dialect = Literal["openai", "cohere", "native"]
ErrorBody = OpenAIError | CohereError | NativeError


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """How one class of errors is answered: OpenAI's status, type and code, and TEI's status and error type.

    Cohere's statuses are OpenAI's.
    """

    openai_status: int
    openai_type: str = "invalid_request_error"
    openai_code: str | None = None
    native_status: int
    native_type: str = "Validation"
    headers: Mapping[str, str] = field(default_factory=dict)

    def status(self, dialect: Dialect) -> int:
        """Give the status in a dialect."""
        return self.native_status if dialect == "native" else self.openai_status


ANSWERS: Mapping[type[errors.RequestError], Answer] = {
    errors.MalformedError: Answer(openai_status=400, native_status=400),
    errors.InvalidError: Answer(openai_status=400, native_status=422),
    errors.EmptyError: Answer(openai_status=400, native_status=400, native_type="Empty"),
    errors.UnauthorizedError: Answer(
        openai_status=401,
        openai_type="authentication_error",  # LiteLLM takes any `invalid_request_error` for a 400
        openai_code="invalid_api_key",
        native_status=401,
        headers={"www-authenticate": "Bearer"},
    ),
    errors.UnknownModelError: Answer(openai_status=404, openai_code="model_not_found", native_status=404),
    errors.UnknownRouteError: Answer(openai_status=404, openai_code="unknown_url", native_status=404),
    errors.MethodError: Answer(openai_status=405, openai_code="method_not_allowed", native_status=405),
    errors.SlowBodyError: Answer(
        openai_status=408, openai_code="request_timeout", native_status=408, headers={"connection": "close"}
    ),
    errors.PayloadError: Answer(openai_status=413, openai_code="payload_too_large", native_status=413),
    errors.MediaTypeError: Answer(openai_status=415, openai_code="unsupported_media_type", native_status=415),
    errors.OverloadedError: Answer(
        openai_status=429,
        openai_type="requests",
        openai_code="rate_limit_exceeded",
        native_status=429,
        native_type="Overloaded",
    ),
    errors.LoadingError: Answer(
        openai_status=503,
        openai_type="server_error",
        openai_code="loading",
        native_status=503,
        native_type="Unhealthy",
    ),
}

INTERNAL = Answer(
    openai_status=500,
    openai_type="server_error",
    openai_code="internal_error",
    native_status=500,
    native_type="Backend",
)


def answer(error: Exception, *, dialect: Dialect) -> tuple[int, ErrorBody, Mapping[str, str]]:
    """Give the status, body and headers for an error; of one that is not the caller's, the body tells nothing."""
    if isinstance(error, errors.RequestError):
        row, message, param = ANSWERS[type(error)], error.message, error.param
        if isinstance(error, errors.OverloadedError):
            row = replace(row, headers={"retry-after": str(error.retry_after_s)})
    else:
        row, message, param = INTERNAL, "the server failed to answer; its log says why", None
    return row.status(dialect), _body(row, message, param, dialect=dialect), row.headers


def _body(row: Answer, message: str, param: str | None, *, dialect: Dialect) -> ErrorBody:
    if dialect == "openai":
        detail = OpenAIErrorDetail(message=message, type=row.openai_type, param=param, code=row.openai_code)
        return OpenAIError(error=detail)
    if param is not None:
        message = f"`{param}`: {message}"
    if dialect == "cohere":
        return CohereError(message=message)
    return NativeError(error=message, error_type=row.native_type, message=message)
