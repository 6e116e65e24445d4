"""The verbs of the command line as functions, for notebooks and scripts; options have the names that they have there.

from snnconvert import api, load_bundle

bundle = api.convert("net.onnx", calib="calib.npz", eval="test.npz", out="net_snn", steps=[8, 16, 32])
bundle.metrics["steps"][-1]["accuracy"]
bundle = load_bundle("net_snn")
for readout in bundle.simulate(x, steps=[8, 16]):  # x (N, ...), preprocessed
    print(readout.estimate.argmax(1), readout.counts["relu1"].mean())
bundle.evaluate("more.npz", steps=[8, 16])["steps"]
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnconvert.config import build_job
from snnconvert.conversion import Silent
from snnconvert.errors import DataError, UsageError
from snnconvert.exporting import Opened, Wish, open_bundle
from snnconvert.exporting import export as export_bundle
from snnconvert.network import SpikingNetwork
from snnconvert.pipeline import run
from snnconvert.report.evaluator import Evaluator
from snnconvert.simulate import Readout, Simulator


@dataclass(frozen=True)
class Bundle:
    """A bundle that is whole: see :func:`load_bundle`."""

    opened: Opened

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.opened.path

    @property
    def network(self) -> SpikingNetwork:
        """The spiking network that it deploys."""
        return self.opened.deployed.network

    @property
    def about(self) -> Mapping[str, Any]:
        """The metadata of its step model: preprocessing, classes, schedule, scales."""
        return self.opened.deployed.about

    @property
    def metrics(self) -> dict[str, Any]:
        """Its metrics.json.

        Raises:
            OutputError: it is missing, changed, or no JSON object (E403).
        """
        return self.opened.metrics

    def simulate(self, x: "NDArray[np.float32] | torch.Tensor", steps: Sequence[int]) -> Iterator[Readout]:
        """Run the engine on preprocessed samples ``(N, ...)``; yield a readout at each of the steps, ascending.

        A network of ``encoding="events"`` takes ``(N, T, ...)``, what arrives in each of its T steps.

        ``readout.estimate (N, ...)`` is the estimate of the ANN's output, ``readout.counts`` the spikes of each layer.
        All samples run to the end, also those that :meth:`evaluate` stops early in a network with a ``--stop`` margin.

        Raises:
            DataError: the samples have another shape (E204).
            UsageError: no steps, or not ascending ones from 1 on (E003).
        """
        shape = self.network.graph.input_shape
        if self.network.bins is not None:
            shape = (self.network.bins, *shape)
        given = torch.as_tensor(x, dtype=torch.float32)
        if tuple(given.shape[1:]) != shape or not len(given):
            raise DataError(
                "E204", f"simulate: expected samples (N, {', '.join(map(str, shape))}), got {tuple(x.shape)}"
            )
        asked = [int(step) for step in steps]
        if not asked or asked[0] < 1 or asked != sorted(set(asked)):
            raise UsageError("E003", f"simulate: expected ascending numbers of steps, got {asked[:8]}")
        return Simulator(self.network).run(given, asked)

    def evaluate(self, data: str | Path | None = None, steps: Sequence[int] | None = None) -> dict[str, Any]:
        """Run the step model in ONNX Runtime on a set of samples, as ``snnconvert evaluate``; return its metrics.

        Raises:
            SnnError: the samples cannot be read, or do not fit.
        """
        chosen = None if data is None else str(data)
        return Evaluator(self.path).evaluate(chosen, steps)[0]

    def export(self, to: str, out: str | Path, **options: Any) -> dict[str, Any]:
        """Write it in another format, as ``snnconvert export``; ``options`` are those of :class:`Wish`."""
        return export_bundle(self.path, Wish(to, Path(out), **options), Silent())


def load_bundle(path: str | Path) -> Bundle:
    """Verify a bundle against its manifest and read back what it deploys; nothing in it is run.

    Raises:
        UsageError: it is no bundle (E001).
        OutputError: a file is missing, changed or extra (E403).
        ModelError: its step model is broken or hostile (E101 to E125).
    """
    return Bundle(open_bundle(Path(path)))


def convert(
    model: str | Path,
    *,
    calib: str | Path,
    out: str | Path,
    eval: str | Path | None = None,  # noqa: A002 - the option's name
    preprocess: str | None = None,
    force: bool = False,
    **options: Any,
) -> Bundle:
    """Convert a network and write its bundle, as ``snnconvert convert``; return it.

    ``options`` are those under ``convert`` in a batch file: steps, method, percentile, neuron, max_pool, ...

    Raises:
        SnnError: anything that the command line would refuse.
    """
    document: dict[str, Any] = {"model": str(model), "calib": {"path": str(calib)}, "convert": options}
    if eval is not None:
        document["eval"] = {"path": str(eval)}
    if preprocess is not None:
        document["preprocess"] = preprocess
    run(build_job(document, "snnconvert.convert"), Path(out), force, "snnconvert.convert", Silent())
    return load_bundle(out)


def simulate(bundle: str | Path, x: "NDArray[np.float32] | torch.Tensor", steps: Sequence[int]) -> Iterator[Readout]:
    """Return :meth:`Bundle.simulate` of the bundle in a folder."""
    return load_bundle(bundle).simulate(x, steps)


def evaluate(bundle: str | Path, data: str | Path | None = None, steps: Sequence[int] | None = None) -> dict[str, Any]:
    """Return :meth:`Bundle.evaluate` of the bundle in a folder."""
    return load_bundle(bundle).evaluate(data, steps)
