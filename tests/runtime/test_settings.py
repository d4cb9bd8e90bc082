from pathlib import Path

import pytest

from runtime.errors import SettingsError
from runtime.settings import Settings, read_settings, variable


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()


def test_every_field_has_a_variable() -> None:
    values = {
        "api_key": "one, two",
        "api_key_file": "/keys",
        "body_timeout_s": "4",
        "bundle": "/b.json",
        "cors_allow_origin": "https://a.example,http://localhost:3000",
        "hostname": "::1",
        "http_port": "9",
        "intra_op_threads": "3",
        "log_level": "DEBUG",
        "max_batch_tokens": "7",
        "max_client_batch_size": "6",
        "max_concurrent_requests": "8",
        "max_queue_tokens": "10",
        "payload_limit": "5",
        "shutdown_delay_s": "1",
        "shutdown_timeout_s": "0",
    }
    assert set(values) == set(Settings._fields)
    assert read_settings({variable(field): text for field, text in values.items()}) == Settings(
        api_key=("one", "two"),
        api_key_file=Path("/keys"),
        body_timeout_s=4,
        bundle=Path("/b.json"),
        cors_allow_origin=("https://a.example", "http://localhost:3000"),
        hostname="::1",
        http_port=9,
        intra_op_threads=3,
        log_level="debug",
        max_batch_tokens=7,
        max_client_batch_size=6,
        max_concurrent_requests=8,
        max_queue_tokens=10,
        payload_limit=5,
        shutdown_delay_s=1,
        shutdown_timeout_s=0,
    )


def test_an_empty_variable_is_an_absent_one() -> None:
    assert read_settings({"RUNTIME_HTTP_PORT": ""}) == Settings()


def test_what_kubernetes_injects_for_a_service_of_this_name_is_left_alone() -> None:
    assert read_settings({"RUNTIME_PORT": "tcp://10.0.0.1:80", "RUNTIME_SERVICE_HOST": "10.0.0.1"}) == Settings()


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"RUNTIME_HTTP_PORT": "70000", "RUNTIME_LOG_LEVEL": "loud", "RUNTIME_BUNDLE": "bundle.json"})
    assert str(caught.value).splitlines() == [
        "`RUNTIME_BUNDLE`: `bundle.json` is not an absolute path",
        "`RUNTIME_HTTP_PORT`: `70000` is not an integer from 1 to 65535",
        "`RUNTIME_LOG_LEVEL`: `loud` is not one of critical, error, warning, info, debug",
    ]


@pytest.mark.parametrize("text", ["1_000", " 1", "+1", "-1", "1.0", "0", "٣", "9" * 5000])
def test_only_plain_integers_in_range_are_taken(text: str) -> None:
    with pytest.raises(SettingsError):
        read_settings({"RUNTIME_MAX_BATCH_TOKENS": text})


@pytest.mark.parametrize("text", [",", "two words", "schlüssel", "line\nbreak"])
def test_a_key_that_no_header_carries_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"RUNTIME_API_KEY": text})
    assert str(caught.value) == (
        "`RUNTIME_API_KEY`: its value has a key that is not printable ASCII without spaces and commas"
    )


@pytest.mark.parametrize("text", [",", "a.example", "https://", "https://a.example/", "https://*.example", "://a"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        read_settings({"RUNTIME_CORS_ALLOW_ORIGIN": text})
