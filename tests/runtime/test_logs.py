import json
import logging
import sys

from runtime.logs import JsonFormatter


def record(message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    error = sys.exc_info() if failed else None
    made = logging.LogRecord("runtime.x", logging.WARNING, "x.py", 1, message, arguments, error)
    made.created, made.msecs = 1_800_000_000.25, 250
    return made


def test_a_record_is_one_line_of_json_in_utc() -> None:
    assert JsonFormatter().format(record("loaded %s\nin %d s", "é", 2)) == (
        '{"time": "2027-01-15T08:00:00.250Z", "level": "warning", "logger": "runtime.x", '
        '"message": "loaded é\\nin 2 s"}'
    )


def test_an_exception_stays_on_the_same_line() -> None:
    try:
        int("broken")
    except ValueError:
        line = JsonFormatter().format(record("failed", failed=True))
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("'broken'")


def test_the_id_of_a_request_is_named_where_there_is_one() -> None:
    made = record("failed")
    made.__dict__["request_id"] = "id-1"
    assert json.loads(JsonFormatter().format(made))["request_id"] == "id-1"
