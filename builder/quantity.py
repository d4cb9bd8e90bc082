"""Own how a person writes a number of bytes: `500 MB`, `1.5 GiB`; how one is shown is `console`'s."""

import re

_UNITS = {"B": 1} | {
    f"{letter}{mark}": base ** (power + 1)
    for mark, base in (("B", 1000), ("iB", 1024))
    for power, letter in enumerate("kMGT")
}
_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kKMGT]?i?B)")


def parse(value: object) -> int:
    """Return the bytes that a whole number or a text stands for; raises ValueError that says how to write it."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    read = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    unit = _UNITS.get(read["unit"].replace("K", "k")) if read else None
    count = round(float(read["number"]) * unit) if read and unit else 0
    if count < 1:
        msg = f"`{value}` is not a number of bytes: write it as `500 MB` or `1.5 GiB`"
        raise ValueError(msg)
    return count
