from io import BytesIO

import pytest

from builder import wire


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, 2**64 - 1])
def test_a_number_survives_writing_and_reading(value: int) -> None:
    assert wire.read_varint(BytesIO(wire.write_varint(value))) == value


def test_a_number_is_encoded_as_in_the_specification() -> None:
    assert wire.write_varint(300) == b"\xac\x02"


def test_a_negative_number_takes_ten_bytes() -> None:
    assert wire.write_varint(-1) == b"\xff" * 9 + b"\x01"


def test_the_end_of_a_stream_reads_as_none() -> None:
    assert wire.read_varint(BytesIO(b"")) is None


def test_reading_leaves_the_stream_after_the_number() -> None:
    stream = BytesIO(b"\xac\x02rest")
    wire.read_varint(stream)
    assert stream.read() == b"rest"


def test_a_number_cut_short_is_refused() -> None:
    with pytest.raises(ValueError, match="ends in the middle"):
        wire.read_varint(BytesIO(b"\xac"))


def test_a_map_is_an_entry_for_each_key() -> None:
    message = wire.mapping(7, {"target": "runtime", "a": ""})
    assert message == wire.field(7, b"\x0a\x01a\x12\x00") + wire.field(7, b"\x0a\x06target\x12\x07runtime")
    assert wire.texts(wire.parse(message), 7) == {"a": "", "target": "runtime"}


def test_fields_are_grouped_by_number_in_their_order() -> None:
    message = wire.field(1, 150) + wire.field(2, "testing") + wire.field(1, 7) + wire.field(20, b"\x00")
    assert wire.parse(message) == {1: [150, 7], 2: [b"testing"], 20: [b"\x00"]}


def test_fields_of_fixed_size_are_kept_as_bytes() -> None:
    message = b"\x09" + bytes(range(8)) + b"\x15" + bytes(range(4))
    assert wire.parse(message) == {1: [bytes(range(8))], 2: [bytes(range(4))]}


@pytest.mark.parametrize("message", [b"\x08", b"\x0a\x05abc", b"\x80", b"\x09\x00"])
def test_a_message_cut_short_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="ends in the middle"):
        wire.parse(message)


def test_a_wire_type_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="wire type 7 is unknown"):
        wire.parse(b"\x0f")


def test_absent_fields_read_as_proto3_defaults() -> None:
    assert (wire.number({}, 1), wire.text({}, 1), wire.contents({}, 1)) == (0, "", [])


def test_the_last_of_repeated_scalars_wins() -> None:
    fields = wire.parse(wire.field(1, "a") + wire.field(1, "b") + wire.field(2, 1) + wire.field(2, 2))
    assert (wire.text(fields, 1), wire.number(fields, 2), wire.contents(fields, 1)) == ("b", 2, [b"a", b"b"])
