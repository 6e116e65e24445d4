"""A bundle in the forms that other tools run: read back, written, checked by running it, and put in its place."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx

from snnconvert.errors import InternalError, ModelError, OutputError, UsageError
from snnconvert.export.approximations import approximated
from snnconvert.export.deployed import Deployed, read_step_model
from snnconvert.export.metadata import metadata_of
from snnconvert.export.nir.export import nir_file, verify_nir
from snnconvert.export.nir.lowering import PROFILES, Profile
from snnconvert.export.probes import exact_samples
from snnconvert.export.session import run_step_model, run_window_model
from snnconvert.export.step_model import step_model
from snnconvert.export.torch_module import IMPORTED, is_importable, run_module, torch_files
from snnconvert.export.verification import Agreement, expected_of, inexact, require_equal
from snnconvert.export.window_model import window_model
from snnconvert.load.onnx_file import MAX_BYTES
from snnconvert.measure import step_work
from snnconvert.network import SpikingNetwork
from snnconvert.progress import Progress
from snnconvert.report.manifest import read_json, read_verified, verify_bundle
from snnconvert.report.single_file import check_place, write_together

STEP_MODEL = "snn.onnx"
SAMPLES = 4  # that a file is verified on
STEPS = 64  # at most
FEW = 8  # in which a step model is compared before it is written
WORK = 2e10  # multiply-accumulates that this may take


@dataclass(frozen=True)
class Wish:
    """What a user asks for: a format, a place, and what may be changed."""

    to: str
    out: Path
    nir_profile: Profile = "portable"
    approximate: tuple[str, ...] = ()
    verify: bool = False
    force: bool = False


@dataclass(frozen=True)
class Opened:
    """A bundle, whole: what it deploys, and the bytes of its step model."""

    path: Path
    deployed: Deployed
    content: bytes

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Its metrics.json.

        Raises:
            OutputError: it is missing, changed, or no JSON object (E403).
        """
        return read_json(self.path, "metrics.json")


def open_bundle(path: Path) -> Opened:
    """Verify a bundle against its manifest, and read back the network that its step model deploys.

    Raises:
        UsageError: it is no bundle (E001).
        OutputError: a file of it is missing, changed or extra (E403).
        ModelError: its step model is broken or hostile (E101 to E125).
    """
    verify_bundle(path)
    content = read_verified(path, STEP_MODEL, MAX_BYTES)
    where = path / STEP_MODEL
    return Opened(path, read_step_model(where, content, hashlib.sha256(content).hexdigest()), content)


def export(bundle: Path, wish: Wish, progress: Progress) -> dict[str, Any]:
    """Write what a bundle deploys in another format; return a document of what was written and how it compares.

    Raises:
        SnnError: anything a user can meet; then nothing was written.
    """
    if wish.to not in FORMATS:
        raise UsageError("E003", f"--to: unknown format '{wish.to}'", f"known: {', '.join(FORMATS)}")
    if wish.nir_profile not in PROFILES:
        raise UsageError("E003", f"--nir-profile: no '{wish.nir_profile}'", f"known: {', '.join(PROFILES)}")
    check_places(wish)
    opened = _presented_as_a_whole(open_bundle(bundle))
    network, notes = approximated(opened.deployed.network, wish.approximate)
    for text in notes:
        progress.warn(f"{text}: another network than the bundle's, with an accuracy of its own")
    files, written = FORMATS[wish.to].write(opened, network, wish, notes)
    if network.stop_lead is not None:
        written.append("samples stop early where evaluate.py runs the network; in this file all take every step")
    for text in written:
        progress.note(text)
    compared = verified(opened, network, files, wish, progress) if wish.verify else None
    check_places(wish)  # again: somebody may have written there meanwhile
    write_together(files)
    return {
        "schema": "snnconvert/export/1",
        "bundle": str(bundle),
        "to": wish.to,
        "files": {str(place): hashlib.sha256(content).hexdigest() for place, content in files.items()},
        "approximations": notes,
        "notes": written,
        "verified": compared,
    }


def _presented_as_a_whole(opened: Opened) -> Opened:
    """Return a bundle whose network takes samples; a step of it is the same, whatever is presented over time."""
    deployed = opened.deployed
    return replace(opened, deployed=replace(deployed, network=replace(deployed.network, encoding="constant")))


def check_places(wish: Wish) -> None:
    """Refuse places where nothing could be written, and files that are there already.

    Raises:
        UsageError: ``--out`` cannot be the name of a file of this format (E003).
        OutputError: see :func:`check_place`; or a file is there, and is not to be replaced (E401).
    """
    if not wish.out.name:
        raise UsageError("E003", f"--out: '{wish.out}' is no name of a file", "--out FILE")
    for place in FORMATS[wish.to].places(wish.out):
        check_place(place)
        if os.path.lexists(place) and not wish.force:
            raise OutputError("E401", f"{place}: exists already", "--force replaces it, --out FILE writes elsewhere")


def verified(
    opened: Opened, network: SpikingNetwork, files: Mapping[Path, bytes], wish: Wish, progress: Progress
) -> list[dict[str, Any]]:
    """Compare the bundle's step model with the engine, and the files with it; both on samples with exact sums.

    Raises:
        InternalError: spike counts or outputs differ (E912).
    """
    deployed, found = opened.deployed, []
    models = [(deployed.network, opened.content, deployed.about)]
    if network is not deployed.network:
        models.append((network, *_step_model(opened, network)))
    steps = min(deployed.network.schedule.steps, STEPS)
    samples = exact_samples(deployed.network, SAMPLES)
    for why in inexact(deployed.network):
        progress.note(f"not every sum is exact: {why}")
    for each, content, about in models:
        said = expected_of(each, samples, steps)
        output, counts, potentials = run_step_model(content, about, samples, steps + each.latency, STEP_MODEL)
        by = f"{STEP_MODEL}{'' if each is deployed.network else ' as approximated'} in ONNX Runtime"
        found.append(require_equal(each, said, by, output, counts))
        progress.note(f"verified, {found[-1]}")
    expected = replace(said, potentials=potentials)
    for compared in FORMATS[wish.to].verify(files, network, samples, expected, wish):
        progress.note(f"verified, {compared}" if isinstance(compared, Agreement) else compared)
        if isinstance(compared, Agreement):
            found.append(compared)
    return [each.document() for each in found]


def prove(network: SpikingNetwork, content: bytes, progress: Progress) -> None:
    """Run a step model that is about to be written beside the engine, for a few steps of samples with exact sums.

    Where sums are rounded, a difference is a warning. Where it would take too long, nothing is run, and that is told.

    Raises:
        InternalError: they differ, though every sum is exact (E912).
    """
    network = replace(network, encoding="constant")
    steps = min(network.schedule.steps, FEW)
    if network.decodes or SAMPLES * step_work(network) * (steps + network.latency) > WORK:
        progress.detail(f"{STEP_MODEL} was not run beside the engine: rates are decoded, or it would take too long")
        return
    try:
        samples = exact_samples(network, SAMPLES)
    except ModelError as problem:
        progress.detail(f"{STEP_MODEL} was not run beside the engine: {problem.message}")
        return
    about = metadata_of(onnx.load_model_from_string(content))
    output, counts, _ = run_step_model(content, about, samples, steps + network.latency, STEP_MODEL)
    expected = expected_of(network, samples, steps)
    try:
        agreement = require_equal(network, expected, f"{STEP_MODEL} in ONNX Runtime", output, counts)
    except InternalError as problem:
        if not inexact(network) and all(neuron.keeps_charge for neuron in network.neurons.values()):
            raise
        progress.warn(f"{problem.message}, more than rounding explains; export --verify tells more")
        return
    progress.detail(f"verified, {agreement}")


@dataclass(frozen=True)
class Format:
    """One format: the places that it takes beside ``--out``, how it is written, and how it is verified."""

    places: Callable[[Path], list[Path]]
    write: Callable[[Opened, SpikingNetwork, Wish, list[str]], tuple[dict[Path, bytes], list[str]]]
    verify: Callable[..., Any]


def _write_nir(
    opened: Opened, network: SpikingNetwork, wish: Wish, notes: list[str]
) -> tuple[dict[Path, bytes], list[str]]:
    content, written = nir_file(network, source_of(opened), wish.nir_profile, notes, opened.deployed.about["encoding"])
    start = {n.initial_values[0] for n in network.neurons.values()}
    if network.potentials or start != {0.0}:
        written.append(
            "NIR has no initial potential: readers start at 0, unless snnconvert.export.nir_helpers tells them"
        )
    return {wish.out: content}, written


def _verify_nir(files: Mapping[Path, bytes], network: SpikingNetwork, samples: Any, expected: Any, wish: Wish) -> Any:
    # a readout that begins late is the reader's business: the file is compared from its first step on
    plain = network if not network.schedule.readout_from else _from_the_first_step(network)
    if plain is not network:
        expected = expected_of(plain, samples, expected.steps + network.schedule.readout_from)
    return verify_nir(files[wish.out], plain, samples, expected, wish.nir_profile)


def _from_the_first_step(network: SpikingNetwork) -> SpikingNetwork:
    return replace(network, schedule=replace(network.schedule, readout_from=0))


def source_of(opened: Opened) -> dict[str, Any]:
    """Return what an exported file says of where it is from."""
    about = opened.deployed.about
    told = {name: about[name] for name in ("model", "input", "classes", "preprocess", "version") if name in about}
    return {"source": {**told, "step_model_sha256": opened.deployed.sha256}}


def _step_place(out: Path) -> Path:
    return out.with_suffix(".step.onnx")


def _write_onnx(
    opened: Opened, network: SpikingNetwork, wish: Wish, notes: list[str]
) -> tuple[dict[Path, bytes], list[str]]:
    """Write one time step as it was deployed, and all of them in one model."""
    content, about = _step_model(opened, network)
    steps = network.schedule.steps + network.latency
    window = window_model(content, about, steps)
    told = f"'{wish.out.name}' runs {steps} time steps in one call, '{_step_place(wish.out).name}' one"
    return {_step_place(wish.out): content, wish.out: window}, [told]


def _step_model(opened: Opened, network: SpikingNetwork) -> tuple[bytes, Mapping[str, Any]]:
    deployed = opened.deployed
    if network is deployed.network:
        return opened.content, deployed.about
    known = {name: each for name, each in deployed.about.items() if name not in ("states", "emitters", "network")}
    content = step_model(replace(network, encoding=deployed.about["encoding"]), known)
    return content, read_step_model(Path(STEP_MODEL), content, hashlib.sha256(content).hexdigest()).about


def _verify_onnx(files: Mapping[Path, bytes], network: SpikingNetwork, samples: Any, expected: Any, wish: Wish) -> Any:
    window = files[wish.out]
    whole = expected_of(network, samples, network.schedule.steps)
    yield require_equal(network, whole, "whole window in ONNX Runtime", *run_window_model(window, samples))


def _torch_places(out: Path) -> list[Path]:
    """Return the places of the weights and of the module, which goes last as it knows the weights by their digest."""
    if out.suffix != ".py" or not is_importable(out.stem):
        hint = f"a name of letters, digits and _ that ends in .py, and is none of {', '.join(sorted(IMPORTED))}"
        raise UsageError("E003", f"--out: {out} is no Python module that can be imported", hint)
    return [out.with_suffix(".safetensors"), out]


def _write_torch(
    opened: Opened, network: SpikingNetwork, wish: Wish, notes: list[str]
) -> tuple[dict[Path, bytes], list[str]]:
    about = {**source_of(opened), "approximations": notes}
    text, weights = torch_files(network, about, wish.out.stem, opened.deployed.about["encoding"])
    return dict(zip(_torch_places(wish.out), (weights, text), strict=True)), []


def _verify_torch(files: Mapping[Path, bytes], network: SpikingNetwork, samples: Any, expected: Any, wish: Wish) -> Any:
    text, weights = files[wish.out], files[wish.out.with_suffix(".safetensors")]
    yield require_equal(network, expected, "torch module", *run_module(text, weights, samples, expected.steps))


FORMATS: Mapping[str, Format] = {
    "nir": Format(lambda out: [out], _write_nir, _verify_nir),
    "onnx": Format(lambda out: [out, _step_place(out)], _write_onnx, _verify_onnx),
    "torch": Format(_torch_places, _write_torch, _verify_torch),
}
