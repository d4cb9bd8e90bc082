"""Own the placeholders of the text that lays a query and a document out for a model; it fills none of them in."""

QUERY, DOCUMENT, PROMPT = "{query}", "{document}", "{prompt}"


def check_template(text: str) -> str:
    """Return the template; raises ValueError unless it holds the query and the document once, the prompt at most."""
    for placeholder, most in ((QUERY, "once"), (DOCUMENT, "once"), (PROMPT, "at most once")):
        count = text.count(placeholder)
        if count > 1 or (count == 0 and most == "once"):
            msg = f"has to hold `{placeholder}` {most}, not {count} times"
            raise ValueError(msg)
    return text
