"""Own the protobuf wire format, reading and writing; it knows no message and no field's meaning."""

from collections.abc import Mapping, Sequence
from typing import BinaryIO, TypeAlias

Fields: TypeAlias = Mapping[int, Sequence[int | bytes]]

# Wire types of the protobuf encoding.
VARINT = 0
FIXED64 = 1
LENGTH_DELIMITED = 2
FIXED32 = 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


def read_varint(stream: BinaryIO) -> int | None:
    """Read one number, or None where `stream` has ended; a number cut short is a ValueError."""
    value, shift = 0, 0
    while byte := stream.read(1):
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    if shift:
        raise ValueError("a number ends in the middle")
    return None


def write_varint(value: int) -> bytes:
    """Encode one number; a negative one takes its 64-bit two's complement."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | bytes | str) -> bytes:
    """Encode one field: a number as varint, everything else with its length before it."""
    if isinstance(value, int):
        return write_varint(number << 3 | VARINT) + write_varint(value)
    content = value.encode() if isinstance(value, str) else value
    return write_varint(number << 3 | LENGTH_DELIMITED) + write_varint(len(content)) + content


def mapping(number: int, values: Mapping[str, str | bytes]) -> bytes:
    """Encode a map field: an entry for each key, in the order of the keys."""
    return b"".join(field(number, field(1, key) + field(2, value)) for key, value in sorted(values.items()))


def parse(data: bytes) -> dict[int, list[int | bytes]]:
    """Split a message into its fields by number, each with every value in order; raise ValueError if malformed."""
    fields: dict[int, list[int | bytes]] = {}
    position = 0
    while position < len(data):
        tag, position = _varint_at(data, position)
        value: int | bytes
        if tag & 7 == VARINT:
            value, position = _varint_at(data, position)
        else:
            size, position = _size_at(data, position, tag & 7)
            value, position = data[position : position + size], position + size
            if position > len(data):
                raise ValueError("a field ends in the middle")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def number(fields: Fields, key: int) -> int:
    """Read an integer field; zero where it is absent, as in proto3."""
    values = fields.get(key, (0,))
    return values[-1] if isinstance(values[-1], int) else 0


def text(fields: Fields, key: int) -> str:
    """Read a string field, empty where it is absent; bytes that are not UTF-8 are replaced."""
    return b"".join(contents(fields, key)[-1:]).decode(errors="replace")


def texts(fields: Fields, key: int) -> dict[str, str]:
    """Read a map field of strings."""
    entries = map(parse, contents(fields, key))
    return {text(entry, 1): text(entry, 2) for entry in entries}


def contents(fields: Fields, key: int) -> list[bytes]:
    """Read every value of a field of bytes, strings or messages."""
    return [value for value in fields.get(key, ()) if isinstance(value, bytes)]


def _varint_at(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number ends in the middle")


def _size_at(data: bytes, position: int, wire_type: int) -> tuple[int, int]:
    if wire_type == LENGTH_DELIMITED:
        return _varint_at(data, position)
    if wire_type in FIXED_SIZES:
        return FIXED_SIZES[wire_type], position
    raise ValueError(f"wire type {wire_type} is unknown")
