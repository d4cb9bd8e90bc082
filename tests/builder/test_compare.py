from builder.compare import Growth, growths, signed
from tests.builder import reported

REPORT = reported.report(reported.RETRIEVAL, reported.STOPPED)


def test_an_image_and_its_layers_are_compared_by_name_the_largest_change_first() -> None:
    grown = growths(REPORT, reported.older())["retrieval"]
    assert grown.whole == Growth(name="retrieval", before_bytes=464_412_000, after_bytes=494_412_000)
    assert grown.layers == (
        Growth(name="python-deps", before_bytes=149_000_000, after_bytes=189_000_000),
        Growth(name="model-old", before_bytes=12_000_000, after_bytes=None),
        Growth(name="runtime-packages", before_bytes=47_300_000, after_bytes=45_300_000),
    )
    assert [layer.change_bytes for layer in grown.layers] == [40_000_000, -12_000_000, -2_000_000]


def test_images_without_a_size_on_either_side_are_not_compared() -> None:
    without_size = reported.report(reported.STOPPED)
    without_size["images"][0]["name"] = "retrieval"
    assert growths(REPORT, without_size) == {}
    assert growths(without_size, REPORT) == {}
    assert growths(REPORT, None) == {}


def test_a_report_without_sizes_of_layers_compares_the_images_alone() -> None:
    older = reported.older()
    for image in older["images"]:
        del image["history"]
    assert growths(REPORT, older)["retrieval"].layers == ()


def test_layers_of_one_name_are_added_up() -> None:
    older = reported.older()
    base = older["images"][0]["history"][0]
    older["images"][0]["history"] = [base, base, *older["images"][0]["history"][1:]]
    assert growths(REPORT, older)["retrieval"].layers[0] == Growth(
        name="base", before_bytes=156_200_000, after_bytes=78_100_000
    )


def test_a_change_has_a_sign() -> None:
    assert [signed(count, "1 B") for count in (1, -1, 0)] == ["+1 B", "\N{MINUS SIGN}1 B", "no change"]
