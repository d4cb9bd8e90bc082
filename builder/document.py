"""Own YAML text: to plain data and the line of every key, with `${VAR:-default}` filled in, and back from plain data.

It knows no schema.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from builder.errors import Problem

Path = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")
_MERGE_TAG = "tag:yaml.org,2002:merge"
_COLLECTION_TAGS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_STRING_TAG = "tag:yaml.org,2002:str"
_SHOWN_CHARACTERS = 40
_WIDTH = 120
_MAX_NODES = 100_000  # a few lines of aliases to aliases stand for billions of values


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """What a YAML file says: `data`, where each path of it stands, and what is wrong with the text itself."""

    file: str
    data: Any
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...]

    def problem(self, path: Path, message: str, *, hint: str | None = None) -> Problem:
        """Make a problem at `path`, placed on the line of its nearest key that exists."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return Problem(file=self.file, line=self.lines.get(known, 1), path=dotted(path), message=message, hint=hint)


def dotted(path: Path) -> str:
    """Write a path as people do: `images.retrieval.tags[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def variables(text: str) -> set[str]:
    """Return the names of the variables in `text`."""
    return {name for _, name, _ in _VARIABLE.findall(text) if name}


def plain(text: str) -> Mapping[str, Any]:
    """Read the mapping that a stranger's YAML holds, without variables; empty where it holds none."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError):  # PyYAML's constructors check little
        return {}
    return data if isinstance(data, dict) else {}


def dump(documents: Iterable[Any], *, heading: str) -> str:
    """Write plain data as YAML, with each line of `heading` as a comment before it; whatever needs quotes has them."""
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    texts = [yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH) for data in documents]
    return comment + "---\n".join(texts)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - as PyYAML's own
        """Write what stands in two places twice: people read it."""
        return True


def parse(text: str, *, file: str, environment: Mapping[str, str]) -> Document:
    """Read YAML 1.1 as PyYAML's safe loader does, but refuse duplicate keys and fill in variables."""
    reader = _Reader(file=file, environment=environment)
    data = None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = None if node is None else reader.value(node, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reader.problems.append(Problem(file=file, line=line, message=f"not valid YAML: {error.problem}"))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"not valid YAML: the character U+{error.character:04X} is not allowed"
        reader.problems.append(Problem(file=file, line=line, message=message))
    except RecursionError:
        reader.problems.append(Problem(file=file, line=1, message="not valid YAML: nested too deeply"))
    return Document(file=file, data=data, lines=reader.lines, problems=tuple(reader.problems))


@dataclass(kw_only=True)
class _Reader:
    file: str
    environment: Mapping[str, str]
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    constructor: Any = field(default_factory=lambda: yaml.SafeLoader(""))
    nodes: int = 0

    def value(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - YAML holds anything
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise _refusal(node, "it stands for too many values")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTION_TAGS:
            raise _refusal(node, f"the tag `{node.tag}` is not known")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            node = self._filled(node, path)
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:  # noqa: ANN401 - YAML holds anything
        try:
            value = self.constructor.construct_object(node)
            # JSON writes a character beyond U+FFFF as two halves, which PyYAML leaves apart.
            return value.encode("utf-16", "surrogatepass").decode("utf-16") if isinstance(value, str) else value
        except UnicodeDecodeError as error:
            raise _refusal(node, "half a character stands alone") from error
        except (ValueError, KeyError, AttributeError) as error:  # PyYAML's constructors check little
            kind, shown = node.tag.rpartition(":")[2], str(node.value)[:_SHOWN_CHARACTERS]
            raise _refusal(node, f"`{shown}` is no {kind}; quote it to make it text") from error

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _refusal(key_node, "a key has to be a plain word")
        self._refuse_duplicates(node, path)
        self.constructor.flatten_mapping(node)  # `<<: *anchor`
        result = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, (*path, key))
        return result

    def _refuse_duplicates(self, node: yaml.MappingNode, path: Path) -> None:
        first: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != _MERGE_TAG and key_node.value in first:
                message = f"the name is given twice, first on line {first[key_node.value]}"
                name = dotted((*path, key_node.value))
                self.problems.append(Problem(file=self.file, line=line, path=name, message=message))
            first.setdefault(key_node.value, line)

    def _filled(self, node: yaml.ScalarNode, path: Path) -> yaml.ScalarNode:
        """Fill in variables; an unquoted scalar that changed is typed by its new text."""
        if "$" not in node.value or node.tag != _STRING_TAG:
            return node
        text = _VARIABLE.sub(lambda match: self._variable(match, node, path), node.value)
        plain = node.style is None
        tag = self.constructor.resolve(yaml.ScalarNode, text, (True, False)) if plain else node.tag
        return yaml.ScalarNode(tag, text, node.start_mark, node.end_mark, style=node.style)

    def _variable(self, match: re.Match[str], node: yaml.Node, path: Path) -> str:
        escaped, name, default = match.groups()
        if escaped:
            return "$"
        value = self.environment.get(name) or default  # as in a shell: an empty variable takes the default
        if value is None:
            line = node.start_mark.line + 1
            message = f"the environment has no `{name}`"
            hint = f"set {name}, or give a default: ${{{name}:-value}}"
            self.problems.append(Problem(file=self.file, line=line, path=dotted(path), message=message, hint=hint))
            return ""
        return value


def _refusal(node: yaml.Node, message: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)
