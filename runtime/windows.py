"""Own how a document that is too long is read in windows, as jina-reranker-v2's own `rerank` does; pure."""

from runtime.tokenizer import Entry, Pair

_LARGEST_OVERLAP = 4  # parts of a window


def read_in_windows(pair: Pair, *, query_limit: int, overlap: int, document: int) -> list[Entry]:
    """Make an entry of the query, cut to `query_limit` tokens, with each window of the document.

    Neighbours share `overlap` tokens, or a fourth of a window where that is less. The last window is the document's
    last tokens, however many of them the one before it has too.
    """
    query = pair.query[: min(query_limit, pair.frame.room // 2)]
    width = pair.frame.room - len(query)
    length = len(pair.document)
    step = width - min(overlap, width // _LARGEST_OVERLAP)
    starts = [*range(0, length - width, step), max(0, length - width)]
    cut = len(pair.query) - len(query) + pair.dropped
    windows = [pair.document[start : start + width] for start in starts]
    return [pair.frame.lay(query, window, cut=cut, document=document) for window in windows]
