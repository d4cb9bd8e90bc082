import pytest

from builder.api import check_supported
from builder.errors import InputError


@pytest.mark.parametrize("version", ["1.42", "1.51", "2.0"])
def test_an_engine_from_23_on_is_supported(version: str) -> None:
    check_supported({"Version": "23.0", "Os": "linux", "ApiVersion": version})


@pytest.mark.parametrize(
    ("about", "message", "hint"),
    [
        (
            {"Version": "20.10.24", "Os": "linux", "ApiVersion": "1.41"},
            "Docker Engine 20.10.24 is too old: its BuildKit has no `COPY --link`",
            "install Docker Engine 23.0 or newer",
        ),
        (
            {},
            "Docker Engine of unknown version is too old: its BuildKit has no `COPY --link`",
            "install Docker Engine 23.0 or newer",
        ),
        (
            {"Version": "28.0", "Os": "windows", "ApiVersion": "1.48"},
            "the Docker Engine runs Windows containers",
            "switch Docker to Linux containers",
        ),
    ],
)
def test_an_engine_that_can_t_build_is_refused(about: dict[str, str], message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        check_supported(about)
    assert (caught.value.message, caught.value.hint) == (message, hint)
