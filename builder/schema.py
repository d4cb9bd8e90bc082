"""Own the JSON Schema of the manifest as editors read it: what each key means, and variables wherever a value stands.

What is allowed is not decided here: that is pydantic's schema of `Manifest`.
"""

import json
from typing import Any

from builder.manifest import Manifest

FILE = "models.schema.json"  # in templates/, for editors; the same as `text()`
_HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:build-image:models:1",
    "title": "Manifest of build-image",
    "description": "The models that are baked into Docker images. Paths are relative to this file.",
}
_VARIABLE = {
    "description": "A value with variables of the environment in it: `${NAME}` or `${NAME:-default}`.",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
}
_SECTIONS = {
    "models.NAME": "Model",
    "images.NAME": "Image",
    "defaults": "Defaults",
    "gates": "Gates",
    "optimize": "Optimize",
}
_LIMITS = ("pattern", "enum", "const")

# By the names of the keys in README.md, which has the same texts.
DESCRIPTIONS = {
    "version": "`1`",
    "vars": "texts by name, for tags",
    "defaults": "what every image shares unless it says otherwise",
    "defaults.base": "the image to build on; glibc and apt (Debian, Ubuntu). Default `debian:bookworm-slim`",
    "defaults.platform": "`linux/amd64` or `linux/arm64`. Default: the engine's",
    "defaults.immutable": (
        "patterns of tags that are never overwritten on a registry; `*` and `?` stand for any letters. Default: none"
    ),
    "gates": "what an image has to keep to before it gets a name",
    "gates.licences": "the licences that models may have, as their cards write them. Default: any",
    "gates.max_size": "bytes that an image may have, as `2 GB` or `1.5 GiB`",
    "gates.max_duplicates": "bytes that may lie in an image more than once",
    "gates.min_golden_cosine": "how near each embedding model has to come to its golden answers",
    "gates.min_tokens_per_second": "how many tokens each model has to read in a second",
    "gates.secrets": "`false`: do not look for secrets in the image. Default `true`",
    "models": "the models by name: where each comes from, and what its repository does not say about serving it",
    "models.NAME.task": "`embedding`, `reranker` or `classifier`",
    "models.NAME.repo": "a repository on the Hub, `organisation/name`; or `path`",
    "models.NAME.path": "a local folder with the files of such a repository, in place of `repo`",
    "models.NAME.revision": "commit, branch or tag. Default `main`",
    "models.NAME.dtype": "which graph: `fp32` `fp16` `q8` `int8` `uint8` `q4` `q4f16` `bnb4`. Default `fp32`",
    "models.NAME.graph": "the graph's path, where `dtype` does not find it",
    "models.NAME.output": "which output of the graph to read",
    "models.NAME.pooling": (
        "how token vectors become one: `cls` `max` `mean` `mean_sqrt_len_tokens` `weightedmean` `lasttoken`, or a"
        " list of these to concatenate"
    ),
    "models.NAME.normalize": "whether vectors get unit length",
    "models.NAME.prompts": "texts by name, put before the input: a text, or the query of a reranker",
    "models.NAME.default_prompt": "the prompt of a request that names none",
    "models.NAME.dimensions": "the width of the vectors, and the shorter widths that the model was trained for",
    "models.NAME.max_length": "tokens of one input; longer ones are cut",
    "models.NAME.adapters": (
        "numbers of LoRA adapters by the name of their prompt, where `config.json` does not list them"
    ),
    "models.NAME.activation": "`sigmoid`, `identity` or `softmax`, from logits to scores",
    "models.NAME.template": (
        "how a reranker's query and document are laid out: a text with `{query}`, `{document}` and, where there"
        " are prompts, `{prompt}`"
    ),
    "models.NAME.true_token": "the token with which a causal reranker says that a document is relevant",
    "models.NAME.false_token": "the token with which it says that it is not",
    "models.NAME.long_documents": (
        "`truncate` or `windows`: what a reranker does with a document that is too long. Default `truncate`"
    ),
    "models.NAME.batching": (
        "whether texts may share a run of the graph. Default: yes, unless they change each other's numbers, or a"
        " run has logits for every token"
    ),
    "models.NAME.optimize": (
        "what is done in the build so that the graph is faster and smaller, see [Optimisation](#optimisation)."
        " Default: nothing"
    ),
    "optimize.graph": (
        "whether operators are fused and the graph is saved as it runs, so that nothing is optimised at a start."
        " Default `true`"
    ),
    "optimize.quantize": (
        "`int8`: products of bytes, each token with a scale of its own; `q4`: weights of 4 bits; or `none`."
        " Default `none`"
    ),
    "optimize.variants": (
        "more graphs, `int8` `int8-vnni` `q4`, for processors that are better at those; the server takes the"
        " first that its processor's flags allow. Default: none"
    ),
    "optimize.fuse_pooling": "whether pooling and Dense become part of the graph. Default `true`",
    "optimize.keep_original": "whether the original's files stay in the image too, for other programs. Default `false`",
    "optimize.insist": (
        "whether the build fails where something of this can't be done, in place of a warning. Default `false`"
    ),
    "optimize.exclude": "patterns of layers that are left alone, by the names of operators and weights. Default: none",
    "optimize.samples": "a file of texts, one a line in UTF-8 and at most 1,000, that both graphs are compared on too",
    "optimize.min_mean_cosine": "how near the answers have to be on average. Default `0.99`",
    "optimize.min_top10_overlap": (
        "the share of the ten best documents of a query that have to be the same. Default `0.95`"
    ),
    "images": "the images by name: the models in each, and the names it gets once it is tested",
    "images.NAME.models": (
        "names of models, no two of them of one repository: a cache has one `main` and one listing of it"
    ),
    "images.NAME.kind": "`server`, or `models` for an image of weights alone. Default `server`",
    "images.NAME.repository": (
        "the name that the image gets. Default: `NAME`. No two images may have one name, also in two spellings:"
        " `x/y` is `docker.io/x/y`"
    ),
    "images.NAME.tags": "tags, with names such as `lock.digest` between `{{` and `}}`. Default `latest`",
    "images.NAME.immutable": "patterns of its tags that are never overwritten, in place of `defaults.immutable`",
}


def text() -> str:
    """Return the schema as JSON."""
    return json.dumps(_schema(), indent=2, ensure_ascii=False)


def _schema() -> dict[str, Any]:
    made = Manifest.model_json_schema()
    sections = {"": made, **{f"{prefix}.": made["$defs"][name] for prefix, name in _SECTIONS.items()}}
    for prefix, section in sections.items():
        for key, value in section["properties"].items():
            value["description"] = DESCRIPTIONS[f"{prefix}{key}"]
    made["$defs"]["Model"]["oneOf"] = [{"required": ["repo"]}, {"required": ["path"]}]
    for key in ("models", "images"):
        made["properties"][key]["additionalProperties"] = False  # names that fit no pattern
    opened: dict[str, Any] = {key: _opened(value) for key, value in made.items() if key != "title"}
    opened["$defs"]["variable"] = _VARIABLE
    return {**_HEAD, **{key: value for key, value in opened.items() if key not in _HEAD}}


def _opened(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Let a variable stand wherever a text would not fit, and drop the titles, which only repeat the keys."""
    if isinstance(schema, list):
        return [_opened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if _is_narrow(schema):
        told = {key: schema[key] for key in ("description", "default") if key in schema}
        limits = {key: value for key, value in schema.items() if key not in {*told, "title"}}
        return {**told, "anyOf": [limits, {"$ref": "#/$defs/variable"}]}
    return {
        key: {name: _opened(each) for name, each in value.items()} if key == "properties" else _opened(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _is_narrow(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind in {"integer", "number", "boolean"} or any(
        isinstance(schema.get(key), str | list | int) for key in _LIMITS
    )
