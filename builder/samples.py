"""Own a user's samples: the file of texts that an optimised model is compared on, and what is wrong with one."""

import hashlib
from pathlib import Path

MOST_TEXTS = 1000  # each is run by both graphs, alone and with others


def read(file: Path) -> tuple[str, ...]:
    """Return the texts of a file, a line each without the blank ones; raises ValueError that says what is wrong."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        msg = f"there is no file `{file}`"
        raise ValueError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"`{file}` is not UTF-8 text"
        raise ValueError(msg) from error
    except OSError as error:
        msg = f"`{file}` can't be read: {error.strerror}"
        raise ValueError(msg) from error
    texts = tuple(line.strip() for line in lines if line.strip())
    if not texts:
        msg = f"`{file}` holds no text: write one a line"
        raise ValueError(msg)
    if len(texts) > MOST_TEXTS:
        msg = f"`{file}` holds {len(texts)} texts, and at most {MOST_TEXTS} are compared"
        raise ValueError(msg)
    return texts


def digest(file: Path) -> str:
    """Return the sha256 of a file that `read` has taken."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
