"""Own what this processor can do, by the flags that Linux tells; which graph that is good for is the bundle's."""

import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

# x86 has `flags`, ARM has `Features`.
_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)


def flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Return the flags of the first processor, none where the system does not tell (proc_cpuinfo(5))."""
    try:
        found = _FLAGS.search(cpuinfo.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return frozenset()
    return frozenset(found[1].split()) if found else frozenset()
