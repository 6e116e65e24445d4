"""The verbs of the command line as functions, for notebooks and scripts; options have the names that they have there.

from snnconvert import api, load_bundle

bundle = api.convert("net.onnx", calib="calib.npz", eval="test.npz", out="net_snn", steps=[8, 16, 32])
bundle.metrics["steps"][-1]["accuracy"]
bundle = load_bundle("net_snn")
x, labels = bundle.samples("more.npz")
for readout in bundle.simulate(x, steps=[8, 16]):
    print(readout.estimate.argmax(1), readout.counts["relu1"].mean())
bundle.evaluate("more.npz", steps=[8, 16])["steps"]
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnconvert.config import build_job, set_path
from snnconvert.data.samples import batches
from snnconvert.errors import DataError, UsageError
from snnconvert.exporting import Opened, Wish, open_bundle
from snnconvert.exporting import export as export_bundle
from snnconvert.network import SpikingNetwork
from snnconvert.option_paths import OPTION_PATHS
from snnconvert.pipeline import run
from snnconvert.progress import Silent
from snnconvert.registry import did_you_mean
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

    def samples(
        self, data: str | Path | None = None, most: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """Return the first ``most`` samples of a set as :meth:`simulate` takes them, and their labels or None.

        Preprocessed ``(N, ...)``, or of recordings ``(N, T, ...)``; of no ``data``, what the conversion evaluated.

        Raises:
            SnnError: the samples cannot be read, or do not fit.
        """
        evaluator = Evaluator(self.path)
        dataset, indices, _ = evaluator.samples(None if data is None else _path("data", data), most)
        how = evaluator.preprocessing, evaluator.shape, len(indices)
        found = [x for _, x in batches(dataset, indices, *how, steps=evaluator.bins)]
        return np.concatenate(found), None if dataset.labels is None else dataset.labels[indices]

    def simulate(self, x: "NDArray[Any] | torch.Tensor", steps: int | Sequence[int]) -> Iterator[Readout]:
        """Run the engine on samples ``(N, ...)`` as training had them; yield a readout at each of the steps, ascending.

        Nothing is preprocessed here: see :meth:`samples`. All samples run together; of many, give some hundreds at a
        time. A network of ``encoding="events"`` takes ``(N, T, ...)``: what arrives in each of its T
        steps, times T, so that the mean over the steps is the sum of the recording.

        ``readout.estimate (N, ...)`` is the estimate of the ANN's output, ``readout.counts`` the spikes of each layer.
        All samples run to the end, also those that :meth:`evaluate` stops early in a network with a ``--stop`` margin.

        Raises:
            DataError: the samples have another shape, or are not finite (E204).
            UsageError: no steps, or not ascending ones from 1 on (E003).
        """
        shape = self.network.graph.input_shape
        if self.network.bins is not None:
            shape = (self.network.bins, *shape)
        given = torch.as_tensor(x if isinstance(x, torch.Tensor) else np.asarray(x), dtype=torch.float32)
        if tuple(given.shape[1:]) != shape or not len(given):
            raise DataError(
                "E204", f"simulate: expected samples (N, {', '.join(map(str, shape))}), got {tuple(given.shape)}"
            )
        finite = given.isfinite().flatten(1).all(1)
        if not bool(finite.all()):
            raise DataError("E204", f"simulate: sample {int((~finite).nonzero()[0])} is not finite")
        asked = _steps(steps)
        if not asked or asked[0] < 1 or asked != sorted(set(asked)):
            raise UsageError("E003", f"simulate: expected ascending numbers of steps, got {asked[:8]}")
        return Simulator(self.network).run(given, asked)

    def evaluate(self, data: str | Path | None = None, steps: int | Sequence[int] | None = None) -> dict[str, Any]:
        """Run the step model in ONNX Runtime on a set of samples, as ``snnconvert evaluate``; return its metrics.

        Raises:
            SnnError: the samples cannot be read, or do not fit.
        """
        chosen = None if data is None else _path("data", data)
        return Evaluator(self.path).evaluate(chosen, None if steps is None else _steps(steps))[0]

    def export(self, to: str, out: str | Path, **options: Any) -> dict[str, Any]:
        """Write it in another format, ``nir``, ``onnx`` or ``torch``, as ``snnconvert export``; return what it tells.

        ``options``: verify, force, approximate (a list such as ``["max-pool"]``), nir_profile.

        Raises:
            UsageError: an option that it has not (E003).
            SnnError: what the command would refuse.
        """
        known = [each.name for each in fields(Wish) if each.name not in ("to", "out")]
        if unknown := [name for name in options if name not in known]:
            raise UsageError("E003", f"export: unknown option '{unknown[0]}'", did_you_mean(unknown[0], known))
        if "approximate" in options:
            given = options["approximate"]
            options["approximate"] = (given,) if isinstance(given, str) else tuple(given)
        return export_bundle(self.path, Wish(to, Path(out), **options), Aloud())


def load_bundle(path: str | Path) -> Bundle:
    """Verify a bundle against its manifest and read back what it deploys; nothing in it is run.

    Raises:
        UsageError: it is no bundle (E001).
        OutputError: a file is missing, changed or extra (E403).
        ModelError: its step model is broken or hostile (E101 to E125).
    """
    return Bundle(open_bundle(Path(path)))


class Aloud(Silent):
    """Warns as Python does, and says nothing else."""

    def warn(self, text: str) -> None:
        """Warn."""
        warnings.warn(text, stacklevel=2)


def convert(
    model: str | Path,
    *,
    calib: str | Path,
    out: str | Path,
    force: bool = False,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - the option's name
    **options: Any,
) -> Bundle:
    """Convert a network and write its bundle, as ``snnconvert convert``; return it. What it warns of is a warning.

    ``options`` have the names of the command line: eval, preprocess, steps, method, percentile, neuron, correct,
    calib_samples, eval_samples, input_shape, output_name, seed, device, ...; ``set`` has others by their path in a job,
    such as ``{"neuron.k": 15}``.

    Raises:
        SnnError: anything that the command line would refuse.
    """
    document: dict[str, Any] = {"model": _path("model", model), "calib": {"path": _path("calib", calib)}}
    for name, value in options.items():
        path = OPTION_PATHS.get(name)
        if path is not None and value is None:  # the default
            continue
        if path is None:
            hint = did_you_mean(name, [*OPTION_PATHS])
            raise UsageError("E003", f"convert: unknown option '{name}'", f"{hint}; set={{...}} has others")
        if name == "eval":
            value = _path(name, value)
        set_path(document, {}, path, _steps(value) if name == "steps" else _plain(value))
    for path, value in (set or {}).items():
        set_path(document, {}, path, _plain(value))
    run(build_job(document, "snnconvert.convert"), Path(out), force, "snnconvert.convert", Aloud())
    return load_bundle(out)


def _path(what: str, value: object) -> str:
    """Return a path as text (UsageError E003: it is something else)."""
    if isinstance(value, str | Path):
        return str(value)
    hints = {"model": "torch.onnx.export or torch.jit.save writes one"}
    hint = hints.get(what, "numpy.savez('data.npz', images=x, labels=y) writes one")
    raise UsageError("E003", f"{what}: expected the path of a file, got a {type(value).__name__}", hint)


def _steps(steps: Any) -> list[int]:
    """Return numbers of steps, of one or many (UsageError E003: they are no whole numbers)."""
    found = np.atleast_1d(np.asarray(steps))
    if found.size and (found.ndim != 1 or found.dtype.kind not in "iu"):
        raise UsageError("E003", f"steps: expected whole numbers, got {str(steps)[:80]}")
    return [int(step) for step in found]


def _plain(value: Any) -> Any:
    """Return a value as YAML would hold it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path | torch.device) else value


def simulate(bundle: str | Path, x: "NDArray[Any] | torch.Tensor", steps: int | Sequence[int]) -> Iterator[Readout]:
    """Return :meth:`Bundle.simulate` of the bundle in a folder."""
    return load_bundle(bundle).simulate(x, steps)


def evaluate(
    bundle: str | Path, data: str | Path | None = None, steps: int | Sequence[int] | None = None
) -> dict[str, Any]:
    """Return :meth:`Bundle.evaluate` of the bundle in a folder."""
    return load_bundle(bundle).evaluate(data, steps)
