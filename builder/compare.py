"""Own what grew between two reports: images and their layers by name; pure, and it reads no file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """A size before and after; what was not there before, or is not there any more, is None."""

    name: str
    before_bytes: int | None
    after_bytes: int | None

    @property
    def change_bytes(self) -> int:
        """How many bytes it grew by, negative where it shrank."""
        return (self.after_bytes or 0) - (self.before_bytes or 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageGrowth:
    """How an image grew, and each layer of it that did; the largest change is first."""

    whole: Growth
    layers: tuple[Growth, ...]


def growths(report: Mapping[str, Any], previous: Mapping[str, Any] | None) -> dict[str, ImageGrowth]:
    """Compare the images of `report` that have a size with those of the same name in `previous`."""
    before = {image["name"]: image for image in (previous or {}).get("images", ()) if image.get("size_bytes")}
    return {
        image["name"]: _growth(image, before[image["name"]])
        for image in report["images"]
        if image["name"] in before and image["size_bytes"]
    }


def _growth(image: Mapping[str, Any], before: Mapping[str, Any]) -> ImageGrowth:
    whole = Growth(name=image["name"], before_bytes=before["size_bytes"], after_bytes=image["size_bytes"])
    old, new = _sizes(before.get("history", ())), _sizes(image["history"])
    names = dict.fromkeys([*new, *old]) if old and new else ()
    layers = [Growth(name=name, before_bytes=old.get(name), after_bytes=new.get(name)) for name in names]
    moved = [layer for layer in layers if layer.before_bytes != layer.after_bytes]
    return ImageGrowth(whole=whole, layers=tuple(sorted(moved, key=lambda layer: -abs(layer.change_bytes))))


def _sizes(layers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Add up the layers of each name; a base has several of one."""
    sizes: dict[str, int] = {}
    for layer in layers:
        sizes[layer["name"]] = sizes.get(layer["name"], 0) + (layer["size_bytes"] or 0)
    return sizes


def signed(count: int, text: str) -> str:
    """Write a change of `count` bytes, whose amount is `text`, with its sign."""
    sign = "+" if count > 0 else "\N{MINUS SIGN}"
    return f"{sign}{text}" if count else "no change"
