"""Own `accuracy.json`: how near each derived graph came to its original when the image was built; it measures none."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from runtime.bundle import Model, Step
from runtime.errors import BundleError

Shape = TypeVar("Shape", bound=msgspec.Struct)


class Measure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure, and the least or the most that it may be, where it has a limit."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def passed(self) -> bool:
        """Say whether the figure keeps to its limit; NaN keeps to none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.at_most is None or self.value <= self.at_most


class GraphReport(msgspec.Struct, frozen=True, kw_only=True):
    """One derived graph.

    `is_judged` tells that the processor which measured it has every flag that it `requires`: another one may compute
    otherwise, and would not choose it. `golden` is how far it was from the golden answers.
    """

    graph: str
    requires: tuple[str, ...]
    is_judged: bool
    measures: tuple[Measure, ...]
    golden: float

    @property
    def passed(self) -> bool:
        """Say whether every figure keeps to its limit, where it is judged."""
        return not self.is_judged or all(measure.passed for measure in self.measures)


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One model that was to be optimised, with no graphs where its original had to stay."""

    original: str
    texts: int
    samples: int
    applied: tuple[Step, ...]
    skipped: tuple[Step, ...]
    versions: dict[str, str]
    graphs: tuple[GraphReport, ...]

    @property
    def passed(self) -> bool:
        """Say whether every graph may be served."""
        return all(graph.passed for graph in self.graphs)


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """Every model of an image that was to be optimised, by its name."""

    version: int = 1
    models: dict[str, ModelReport]


def read(file: Path) -> Mapping[str, ModelReport]:
    """Read the report, of no model where there is none, as in an image without optimised ones; raises BundleError."""
    accuracy = read_baked(file, Accuracy)
    return accuracy.models if accuracy else {}


def read_baked(file: Path, shape: type[Shape]) -> Shape | None:
    """Read what a build may have left beside the bundle, None where it has not; raises BundleError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=shape)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"`{file}`: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"`{file}`: {error}") from error


def of_graph(report: ModelReport | None, model: Model) -> GraphReport | None:
    """Find what was measured of the graph that `model` is served with, None where that is its original."""
    if report is None or model.derivation is None:
        return None
    name = Path(model.graph).name
    return next((graph for graph in report.graphs if graph.graph == name), None)
