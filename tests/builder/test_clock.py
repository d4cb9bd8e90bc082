import http.client
from contextlib import closing
from pathlib import Path

import pytest

from builder import clock
from tests.support.hub_server import HubServer

DATE = "Sun, 29 Nov 2026 06:20:20 GMT"
MADE_S = 1_795_933_220.0


@pytest.mark.parametrize(
    ("headers", "now_s", "skew_s"),
    [
        ({"Date": DATE}, MADE_S, 0.0),
        ({"Date": DATE}, MADE_S + 90, 90.0),
        ({"Date": DATE}, MADE_S - 7200, -7200.0),
        ({"Date": DATE, "Age": "90"}, MADE_S + 90, 0.0),
        ({"Date": DATE, "Age": "long"}, MADE_S, 0.0),
        ({"Date": "yesterday"}, MADE_S, None),
        ({}, MADE_S, None),
    ],
)
def test_a_clock_is_compared_with_the_date_of_an_answer(
    headers: dict[str, str], now_s: float, skew_s: float | None
) -> None:
    assert clock.skew_s(headers, now_s=now_s) == skew_s


@pytest.mark.parametrize("ahead_s", [0, 3600, -86_400])
def test_the_date_of_a_real_server_says_how_far_its_clock_is_off(tmp_path: Path, ahead_s: int) -> None:
    with HubServer(tmp_path) as server, closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        server.ahead_s = ahead_s
        connection.request("GET", "/")
        found = clock.skew_s(dict(connection.getresponse().getheaders()))
    assert found == pytest.approx(-ahead_s, abs=5)
