import pytest

from builder import quantity


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (1, 1),
        ("1 B", 1),
        ("500 MB", 500_000_000),
        ("500MB", 500_000_000),
        (" 1.5 GiB ", 1_610_612_736),
        ("64 kB", 64_000),
        ("64 KB", 64_000),
        ("2 KiB", 2048),
    ],
)
def test_a_number_of_bytes_is_read_with_its_unit(written: object, count: int) -> None:
    assert quantity.parse(written) == count


@pytest.mark.parametrize("written", ["", "500", "500 megabytes", "-1 MB", "0 MB", 0, -1, True, 1.5, None, "1,5 GB"])
def test_what_is_no_number_of_bytes_is_refused_with_how_to_write_one(written: object) -> None:
    with pytest.raises(ValueError, match=r"is not a number of bytes: write it as `500 MB` or `1\.5 GiB`"):
        quantity.parse(written)
