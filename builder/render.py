"""Own Jinja: the Dockerfile of an image, tags, and the page of a report; a name that is not there is an error."""

import functools
import json
import re
import threading
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING

import jinja2
from jinja2 import meta

from builder.context import SOURCE_DATE_EPOCH

if TYPE_CHECKING:
    from builder.plan import ImagePlan

# What the server and every client of the baked cache read; `tests/test_contract.py` holds both sides together.
ENVIRONMENT = {
    "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": "/app",
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/tmp",  # noqa: S108 - the only writable folder of a read-only container
    "HF_HOME": "/opt/hf-cache",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_ALLOW_REMOTE_MODELS": "false",
    "ORT_DISABLE_TELEMETRY": "1",
    "RUNTIME_BUNDLE": "/opt/bundle/bundle.json",
}

# The names under which a network stage may mount secrets; those that a build does not have are left out.
NETWORK_SECRETS = ("ca_bundle", "network", "pip_conf")

_NOT_IN_TAGS = re.compile(r"[^a-z0-9_.]+")
_one_at_a_time = threading.Lock()
_TEMPLATES = {"server": "Dockerfile.jinja", "models": "Models.Dockerfile.jinja"}


def dockerfile(image: "ImagePlan", *, version: str, files_are_shared: bool = False) -> str:
    """Return the Dockerfile of `image`; it builds with `docker build` as well.

    That is unless `files_are_shared`: then each local model's files are asked for by their `files_name`, as `sharing`
    has them, and not in the context. The layers are the same.
    """
    return _filled(
        _TEMPLATES[image.kind],
        is_supplied=image.supplied is not None,
        files_are_shared=files_are_shared,
        image=image,
        version=version,
    )


def supplies_dockerfile(base: str, *, version: str, optimizes: bool = False) -> str:
    """Return the Dockerfile of the stages `base` and `packages`: what a build without a network begins from.

    Where a model is to be optimised, the packages are also those that do it.
    """
    return _filled("Supplies.Dockerfile.jinja", is_supplied=False, base=base, version=version, optimizes=optimizes)


def _filled(name: str, *, is_supplied: bool, **values: object) -> str:
    with _one_at_a_time:  # images that begin together would each compile the same
        template = _templates().get_template(name)
        return template.render(
            environment=ENVIRONMENT,
            epoch=str(SOURCE_DATE_EPOCH),
            secrets=NETWORK_SECRETS,
            is_supplied=is_supplied,
            gate="supplies.sh" if is_supplied else "network.sh",
            **values,
        )


def report_page(**values: object) -> str:
    """Return the HTML page of a report; every value is escaped, but for the page's own `style`."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(values) + "\n"


def tag(template: str, *, names: Mapping[str, object]) -> str:
    """Fill in a tag template with `names`; raises ValueError that says what is wrong with it."""
    if "{" not in template:
        return template
    try:
        return _compiled(template).render(names)
    except jinja2.UndefinedError as error:
        msg = f"`{template}` can't be filled in: {error}"
        raise ValueError(msg) from error
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:  # of its expressions
        msg = f"`{template}` is not a template: {error}"
        raise ValueError(msg) from error


@functools.cache
def variables(template: str) -> frozenset[str]:
    """Return the names that a tag template asks for; a template that can't be parsed asks for none."""
    if "{" not in template:
        return frozenset()
    try:
        return frozenset(meta.find_undeclared_variables(_environment().parse(template)))
    except jinja2.TemplateError:
        return frozenset()


@functools.cache  # hundreds of images have the same few
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


@functools.cache  # with what it compiles: to fill it in takes a hundredth of that
def _templates() -> jinja2.Environment:
    """Return the environment of our own templates; a tag's template reads none of them."""
    return _environment().overlay(loader=jinja2.FunctionLoader(_template_text))


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 - no HTML is made here
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["exec_form"] = json.dumps
    environment.filters["quoted"] = _quoted
    environment.filters["slug"] = _slug
    return environment


def _template_text(name: str) -> str:
    return resources.files("builder.templates").joinpath(name).read_text(encoding="utf-8")


def _slug(value: str) -> str:
    """Make what a tag may hold of a branch's name: `feature/New Ä` becomes `feature-new`."""
    return _NOT_IN_TAGS.sub("-", value.lower()).strip("-.")


def _quoted(value: str) -> str:
    """Quote a value of ENV or LABEL: nothing in it is expanded, and it stays on its line."""
    if "\n" in value or "\r" in value:
        msg = f"a value of the Dockerfile has a line break: {value!r}"
        raise ValueError(msg)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
