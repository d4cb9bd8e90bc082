"""Complete an image's bill of materials with the packages of Debian and Python in it, and the graphs made in its build.

It runs in a stage of the image, without a network, on the standard library alone. What it prints is the same for the
same packages: it reads no clock and makes no serial number.
"""

import json
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageMetadata, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]

BUNDLE = Path("/opt/bundle/bundle.json")

_LICENCE_LENGTH = 100  # a longer text is the licence itself, not its name


def debian_packages(status: str, release: Mapping[str, str]) -> Iterator[Component]:
    """Yield the packages of dpkg's status file that are installed; `release` are the fields of os-release."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): ?(.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            yield _debian_package(fields, release)


def _debian_package(fields: Mapping[str, str], release: Mapping[str, str]) -> Component:
    name, version = fields["Package"], fields["Version"]
    source, _, source_version = fields.get("Source", name).partition(" ")
    qualifiers = {
        "arch": fields["Architecture"],
        "distro": f"{release['ID']}-{release.get('VERSION_ID', '')}".rstrip("-"),
        "upstream": f"{source}@{source_version.strip('()') or version}",
    }
    written = "&".join(f"{key}={quote(value, safe='')}" for key, value in qualifiers.items())
    return {
        "type": "library",
        "bom-ref": f"deb/{name}:{fields['Architecture']}",
        "name": name,
        "version": version,
        "purl": f"pkg:deb/{release['ID']}/{quote(name, safe='')}@{quote(version, safe='')}?{written}",
    }


def operating_system(release: Mapping[str, str]) -> Component:
    """Return the distribution that the packages are of."""
    version = {"version": release["VERSION_ID"]} if "VERSION_ID" in release else {}
    return {"type": "operating-system", "bom-ref": "os", "name": release["ID"], **version}


def read_release(text: str) -> dict[str, str]:
    """Read the fields of os-release(5)."""
    return {key: value.strip("\"'") for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)}


def python_packages(folder: str, wheels: Mapping[str, str]) -> Iterator[Component]:
    """Yield the distributions that are installed in `folder`; `wheels` are sha256 by name."""
    for distribution in distributions(path=[folder]):
        yield _python_package(distribution, wheels)


def _python_package(distribution: Distribution, wheels: Mapping[str, str]) -> Component:
    name, version = normalised(distribution.name), distribution.version
    digest = wheels.get(name)
    return {
        "type": "library",
        "bom-ref": f"pypi/{name}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{quote(version, safe='')}",
        "licenses": licences(distribution.metadata),
        **({"hashes": [{"alg": "SHA-256", "content": digest}]} if digest else {}),
    }


def licences(metadata: PackageMetadata) -> list[dict[str, Any]]:
    """Return what a package says of its licence: an SPDX expression, else a short text, else its classifiers."""
    fields = metadata.json
    if expression := fields.get("license_expression"):
        return [{"expression": expression}]
    text = str(fields.get("license") or "").strip()
    if text and len(text) <= _LICENCE_LENGTH and "\n" not in text:
        return [{"license": {"name": text}}]
    found = [line.rpartition(" :: ")[2] for line in fields.get("classifier", []) if line.startswith("License ::")]
    return [{"license": {"name": name}} for name in found]


def read_wheels(report: Mapping[str, Any]) -> dict[str, str]:
    """Read pip's report of an installation: the sha256 of each wheel by the name of its distribution."""
    archives = {
        normalised(item["metadata"]["name"]): item["download_info"]["archive_info"] for item in report["install"]
    }
    return {
        name: info.get("hashes", {}).get("sha256") or info["hash"].partition("=")[2] for name, info in archives.items()
    }


def normalised(name: str) -> str:
    """Write a distribution's name as the Python index does (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def completed(known: dict[str, Any], found: list[Component]) -> dict[str, Any]:
    """Add components to what is known; the image depends on each of them."""
    components = [*known["components"], *sorted(found, key=lambda component: str(component["bom-ref"]))]
    references = sorted(component["bom-ref"] for component in components)
    return {**known, "components": components, "dependencies": [{"ref": "image", "dependsOn": references}]}


def with_derived_graphs(known: dict[str, Any], models: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the derived graph of each of `models`, as the image's bundle has them, in place of what it replaces."""
    for model in models:
        if "overlay" in model:
            folder = Path(model["overlay"]["path"])
            derived = json.loads((folder / "derived.json").read_text(encoding="utf-8"))
            if derived["graph"] is not None:
                (component,) = [one for one in known["components"] if one["bom-ref"] == f"model/{model['name']}"]
                component["components"] = list(_laid_over(component, derived, model))
    return known


def _laid_over(component: Component, derived: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[Component]:
    """Yield the files of a model that was optimised; each derived one has those that it came from as its pedigree."""
    ref = component["bom-ref"]
    files, replaced = component["components"], model["overlay"]["replaces"]
    ancestors = [_without_ref(file) for file in files if file["name"] in {model["graph"], *replaced}]
    yield from (file for file in files if file["name"] not in replaced)
    steps = "; ".join(f"{step['step']}: {step['detail']}" for step in derived["applied"])
    tools = ", ".join(f"{name} {version}" for name, version in sorted(derived["versions"].items()))
    for name, file in sorted(derived["files"].items()):
        yield {
            "type": "file",
            "bom-ref": f"{ref}/optimized/{name}",
            "name": f"optimized/{name}",
            "hashes": [{"alg": "SHA-256", "content": file["sha256"]}],
            "properties": [{"name": "build-image:size", "value": str(file["size_bytes"])}],
            "pedigree": {"ancestors": ancestors, "notes": f"{steps} (by {tools})"},
        }


def _without_ref(component: Component) -> Component:
    """Return what is told of a file that is not in the image: nothing refers to it."""
    return {key: value for key, value in component.items() if key != "bom-ref"}


def main(known: Path, report: Path) -> None:
    """Print the whole document; `known` is what was known before the build, `report` is pip's."""
    release = read_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    status = Path("/var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    wheels = read_wheels(json.loads(report.read_text(encoding="utf-8")))
    found = [
        operating_system(release),
        *debian_packages(status, release),
        *python_packages(sysconfig.get_path("purelib"), wheels),
    ]
    models = json.loads(BUNDLE.read_text(encoding="utf-8"))["models"]
    document = completed(with_derived_graphs(json.loads(known.read_text(encoding="utf-8")), models), found)
    sys.stdout.write(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
