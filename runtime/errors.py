"""Own the error tree: what can go wrong and whose it is; how an error is written on the wire is `answers`'s concern.

ServingError
|-- StartError             this process cannot serve: it says so in one line and ends
|   |-- SettingsError      2  the environment
|   |-- BundleError        1  `bundle.json`, or a file that it names
|   |-- ModelError         1  a graph or tokenizer that is not what the bundle says
|   `-- WorkerError        1  a thread that runs the models has died
|-- RequestError           the caller's: answered with what to change, never logged
|   |-- MalformedError         not JSON
|   |-- InvalidError           JSON that does not fit; `param` names the field
|   |-- EmptyError             nothing to work on
|   |-- UnauthorizedError      no key, or none that is known
|   |-- UnknownModelError
|   |-- UnknownRouteError
|   |-- MethodError
|   |-- PayloadError           more bytes than are read
|   |-- MediaTypeError         a body that does not claim to be JSON
|   |-- SlowBodyError          a body that does not come to its end
|   |-- OverloadedError        more work than is taken at a time; it says when to come again
|   `-- LoadingError           too early: the models are not loaded yet
`-- InferenceError         ours: answered without details, logged
"""


class ServingError(Exception):
    """The root of everything that this package raises on purpose."""


class StartError(ServingError):
    """The process cannot serve."""

    exit_code = 1


class SettingsError(StartError):
    """Every problem of the environment, one a line."""

    exit_code = 2


class BundleError(StartError):
    """The bundle, or a file that it names, is missing or wrong."""


class ModelError(StartError):
    """A graph or tokenizer is not what the bundle says."""


class WorkerError(StartError):
    """A thread that runs the models has died, which no error of theirs should bring about."""


class RequestError(ServingError):
    """What the caller has to change; `param` is the field of the request, where it is one."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class MalformedError(RequestError):
    """The body is not JSON."""


class InvalidError(RequestError):
    """The body is JSON, and a field of it does not fit."""


class EmptyError(RequestError):
    """There is nothing to embed or to rank."""


class UnauthorizedError(RequestError):
    """The caller did not send one of the keys."""


class UnknownModelError(RequestError):
    """No such model for this task is in the bundle."""


class UnknownRouteError(RequestError):
    """No such path is served."""


class MethodError(RequestError):
    """The path is served, and not with this method."""


class PayloadError(RequestError):
    """The body is longer than the limit."""


class MediaTypeError(RequestError):
    """The body does not claim to be JSON."""


class SlowBodyError(RequestError):
    """The body did not arrive in the time that it has."""


class OverloadedError(RequestError):
    """There is more to do than is taken at a time."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LoadingError(RequestError):
    """The models are not loaded yet."""


class InferenceError(ServingError):
    """A model answered what must not be passed on."""
