"""Own what a field of texts may hold in the dialects: one text, its token ids, a pair, or lists of these; pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime.errors import EmptyError, InvalidError
from runtime.schemas import TextDocument

if TYPE_CHECKING:  # the tokenizers come with the models, after the server listens
    from runtime.tokenizer import Text


def texts_of(given: str | Sequence[str | int | list[int] | TextDocument], *, param: str) -> Sequence["Text"]:
    """Read one text, the token ids of one, or a list of texts and lists of token ids.

    Raises InvalidError for a list of texts and of single ids, for it says not whose they are.
    """
    if isinstance(given, str):
        return [given]
    ids = [item for item in given if isinstance(item, int)]
    if ids and len(ids) == len(given):
        return [ids]
    if ids:
        raise InvalidError("a list holds texts, lists of token ids, or the token ids of one text", param=param)
    return [item.text if isinstance(item, TextDocument) else item for item in given if not isinstance(item, int)]


def predicted_of(given: str | Sequence[str | list[str]], *, param: str) -> tuple[Sequence[str | tuple[str, str]], bool]:
    """Read what TEI predicts: texts and pairs, and whether they came as a batch of lists of one or two.

    A flat list is one input, so one of two texts is a pair. Raises EmptyError and InvalidError.
    """
    if isinstance(given, str):
        return [given], False
    if not given:
        raise EmptyError("there is nothing in it", param=param)
    flat = [item for item in given if isinstance(item, str)]
    nested = [item for item in given if not isinstance(item, str)]
    if not nested:
        return [_one_or_two(flat, param=param)], False
    if flat:
        raise InvalidError("a batch holds lists of one or two texts, and nothing else", param=param)
    return [_one_or_two(texts, param=f"{param}[{place}]") for place, texts in enumerate(nested)], True


def _one_or_two(texts: Sequence[str], *, param: str) -> str | tuple[str, str]:
    match texts:
        case [text]:
            return text
        case [first, second]:
            return first, second
        case _:
            message = f"`{len(texts)}` texts are neither one nor a pair; a batch is a list of lists"
            raise InvalidError(message, param=param)
