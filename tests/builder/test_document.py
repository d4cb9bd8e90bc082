from typing import Any

import pytest
import yaml

from builder import document
from builder.document import Document


def parse(text: str, **environment: str) -> Document:
    return document.parse(text, file="m.yaml", environment=environment)


def problems(text: str, **environment: str) -> list[str]:
    return [str(problem) for problem in parse(text, **environment).problems]


def test_the_line_of_every_key_is_known() -> None:
    read = parse("a: 1\nb:\n  - x\n  - c: 2\n")
    assert read.data == {"a": 1, "b": ["x", {"c": 2}]}
    assert {document.dotted(path): line for path, line in read.lines.items() if path} == {
        "a": 1,
        "b": 2,
        "b[0]": 3,
        "b[1]": 4,
        "b[1].c": 4,
    }


def test_a_problem_of_a_missing_key_stands_on_the_line_of_its_parent() -> None:
    assert str(parse("a: 1\nb:\n  c: 2\n").problem(("b", "d"), "is required")) == "m.yaml:2: `b.d`: is required"


def test_a_key_given_twice_is_a_problem() -> None:
    assert problems("a:\n  x: 1\n  x: 2\n") == ["m.yaml:3: `a.x`: the name is given twice, first on line 2"]


def test_a_merged_mapping_may_be_overridden() -> None:
    read = parse("base: &base {x: 1, y: 2}\nnext:\n  <<: *base\n  x: 3\n")
    assert (read.data["next"], read.problems) == ({"x": 3, "y": 2}, ())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: ${NAME}", "value"),
        ("a: x-${NAME}-y", "x-value-y"),
        ("a: ${MISSING:-other}", "other"),
        ("a: ${EMPTY:-other}", "other"),
        ("a: ${NAME:-other}", "value"),
        ("a: ${MISSING:-}", None),
        ("a: '${MISSING:-}'", ""),
        ("a: $${NAME}", "${NAME}"),
        ("a: $NAME", "$NAME"),
        ("a: ${NUMBER}", 12),
        ("a: '${NUMBER}'", "12"),
        ("a: ${TEXT}", "x: y"),
    ],
)
def test_variables_are_filled_in(text: str, value: Any) -> None:
    read = parse(text, NAME="value", EMPTY="", NUMBER="12", TEXT="x: y")
    assert (read.data, read.problems) == ({"a": value}, ())


def test_the_variables_of_a_text_are_known() -> None:
    assert document.variables("a: ${A}\nb: $${B}${C:-x} $D ${A:-y}\n") == {"A", "C"}


def test_a_variable_that_is_not_set_is_a_problem_with_a_hint() -> None:
    (problem,) = parse("a:\n  b: ${NAME}\n").problems
    assert str(problem) == "m.yaml:2: `a.b`: the environment has no `NAME`"
    assert problem.hint == "set NAME, or give a default: ${NAME:-value}"


def test_broken_yaml_is_one_problem_with_its_line() -> None:
    assert problems("a: 1\nb: [1, 2\n") == ["m.yaml:3: not valid YAML: expected ',' or ']', but got '<stream end>'"]


def test_a_tag_of_a_python_object_is_refused() -> None:
    (problem,) = problems("a: !!python/object/apply:os.getcwd []\n")
    assert problem == "m.yaml:1: not valid YAML: the tag `tag:yaml.org,2002:python/object/apply:os.getcwd` is not known"


def test_an_empty_file_is_no_data() -> None:
    assert parse("# nothing\n").data is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2024-99-99\n", "m.yaml:2: not valid YAML: `2024-99-99` is no timestamp; quote it to make it text"),
        ("a: !!int x\n", "m.yaml:1: not valid YAML: `x` is no int; quote it to make it text"),
        ("a: !!bool x\n", "m.yaml:1: not valid YAML: `x` is no bool; quote it to make it text"),
        (f"a: {'9' * 5000}\n", f"m.yaml:1: not valid YAML: `{'9' * 40}` is no int; quote it to make it text"),
        ("a: 1\n? [b, c]\n: 2\n", "m.yaml:2: not valid YAML: a key has to be a plain word"),
        ("a: 1\nb: \x07\n", "m.yaml:2: not valid YAML: the character U+0007 is not allowed"),
        ('a: "\\uD83D"\n', "m.yaml:1: not valid YAML: half a character stands alone"),
        ("a: &a [*a]\n", "m.yaml:1: not valid YAML: nested too deeply"),
        ("[" * 2000, "m.yaml:1: not valid YAML: nested too deeply"),
    ],
    ids=["timestamp", "int", "bool", "huge", "key", "control", "surrogate", "recursive", "deep"],
)
def test_what_only_the_yaml_library_chokes_on_is_a_problem_too(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_aliases_that_stand_for_billions_of_values_are_refused_at_once() -> None:
    levels = [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]\n" for level in range(1, 10)]
    (problem,) = problems("l0: &l0 [x]\n" + "".join(levels))
    assert problem.endswith("not valid YAML: it stands for too many values")


def test_a_character_that_json_writes_in_two_halves_is_one() -> None:
    assert parse('a: "\\uD83D\\uDE00"\n').data == {"a": "\U0001f600"}


def test_what_is_dumped_reads_as_it_was_whatever_yaml_takes_it_for() -> None:
    data = {"on": ["no", "1:30", "0x1", "", "a: b", "# c", "'", '"', "${d}", "é\n"], "empty": [], "none": None}
    text = document.dump([data], heading="one\ntwo")
    assert text.startswith("# one\n# two\n")
    assert yaml.safe_load(text) == data


def test_what_stands_in_two_places_is_written_twice() -> None:
    shared = {"a": 1}
    assert (
        document.dump([{"x": shared, "y": shared}, shared], heading="h") == "# h\nx:\n  a: 1\ny:\n  a: 1\n---\na: 1\n"
    )
