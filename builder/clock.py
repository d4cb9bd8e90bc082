"""Own the comparison of this machine's clock with those that answers carry; it asks nobody."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime


def skew_s(headers: Mapping[str, str], *, now_s: float | None = None) -> float | None:
    """Return by how many seconds this machine is ahead of whoever sent `headers`, None where they do not say.

    `Date` is when the answer was made, and `Age` how long a cache kept it since (RFC 9110 and 9111). Both count whole
    seconds, and the way here takes time: what is found is right to about two of them.
    """
    try:
        made_s = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except ValueError:
        return None
    age = headers.get("Age", "").strip()
    age_s = int(age) if age.isdecimal() else 0
    return (time.time() if now_s is None else now_s) - made_s - age_s
