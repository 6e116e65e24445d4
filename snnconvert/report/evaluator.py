"""Runs the snn.onnx of a bundle over time and reports rate-coded accuracy against time steps.

This file is carried by the evaluator of every bundle unchanged: numpy and ONNX Runtime are all that it needs.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from snnconvert.data.preprocessing import Preprocessing
from snnconvert.data.samples import Dataset, batches, open_dataset, sample_ids
from snnconvert.errors import DataError, LimitError, OutputError, SnnError, UsageError, damaged, first_line
from snnconvert.measure.fan_out import unpacked, unpacked_numbers
from snnconvert.measure.outcomes import Outcomes, top1
from snnconvert.neurons.events import event_count
from snnconvert.simulate.stopping import check_steps, settled


class Evaluator:
    """The exported network of a bundle folder, ready to run."""

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime  # late: the slowest import, and useless where the arguments are wrong
        except ImportError:
            raise OutputError("E404", "onnxruntime is not installed", "pip install onnxruntime") from None

        self.folder = folder
        self.path = folder / "snn.onnx"
        if not self.path.is_file():
            raise UsageError("E001", f"{folder}: no bundle (it has no snn.onnx)", "give the folder that convert wrote")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        content = self.path.read_bytes()
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            self.about = _checked(json.loads(self.session.get_modelmeta().custom_metadata_map["snnconvert"]))
            self.shape: tuple[int, ...] = tuple(self.about["input"])
            schedule = self.about["schedule"]
            self.preprocessing = Preprocessing.parse(self.about["preprocess"])
            self.fan_out = {name: unpacked(each["fan_out"]) for name, each in self.about["emitters"].items()}
            self.input_fan_out = unpacked(self.about["input_fan_out"])
            self.bins = schedule["T"] if self.about["encoding"] == "events" else None
            self.latency = int(self.about["schedule"]["latency"])
            self._inputs = {value.name: value.shape for value in self.session.get_inputs()}
            self._outputs = [value.name for value in self.session.get_outputs()]
            shapes = {"input": self.about["input"], **{name: s["shape"] for name, s in self.about["states"].items()}}
            fits = all(self._inputs[name][1:] == shape for name, shape in shapes.items() if name in self._inputs)
            if not fits or "input" not in self._inputs or not self.fan_out.keys() <= {*self._outputs}:
                raise ValueError("the metadata does not belong to the network")
        except Exception as problem:  # noqa: BLE001 - ONNX Runtime's exceptions have no common base
            raise damaged(self.path, problem) from None

    def steps(self, x: np.ndarray) -> Generator[dict[str, np.ndarray], np.ndarray | None, None]:
        """Present a batch ``(N, ...)`` at every step and yield all outputs of each step, without end.

        Of input events ``(N, T, ...)`` each step gets what arrives in it, and nothing once they are over.

        What is sent back tells which samples go on, ``(N,)``.
        """
        try:
            states = {
                name: np.repeat(self._initial(state)[None], len(x), axis=0)
                for name, state in self.about["states"].items()
            }
        except (ValueError, TypeError) as problem:
            raise damaged(self.path, problem) from None
        step = 0
        while True:
            now = x if self.bins is None else x[:, step] if step < self.bins else np.zeros_like(x[:, 0])
            feed = {"input": now, "step": np.asarray(step, np.int64), **states}
            try:
                given = {name: value for name, value in feed.items() if name in self._inputs}
                found = dict(zip(self._outputs, self.session.run(self._outputs, given), strict=True))
                states = {name: found[state["next"]] for name, state in self.about["states"].items()}
            except Exception as problem:  # noqa: BLE001 - as above
                if isinstance(problem, MemoryError) or "llocate memory" in str(problem):
                    raise LimitError("E501", f"{self.path}: out of memory ({first_line(problem)})") from None
                raise damaged(self.path, problem) from None
            going = yield found
            if going is not None:
                x, states = x[going], {name: state[going] for name, state in states.items()}
            step += 1

    @staticmethod
    def _initial(state: Mapping[str, Any]) -> np.ndarray:
        """Return the initial state of one sample: one number for all of it, or one each."""
        value = state["initial"]
        if isinstance(value, dict):
            return unpacked_numbers(value).reshape(state["shape"])
        return np.full(state["shape"], value, np.float32)

    def answers(self, x: np.ndarray, steps: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return classes ``(steps, N)``, and the totals of spikes, SynOps and steps taken so far, at each of the steps.

        Where samples may stop early, those that are settled at one of the steps do, and what they said stands.
        """
        answers: list[np.ndarray] = []
        totals: list[tuple[float, float, int]] = []
        running, going, run = np.arange(len(x)), None, self.steps(x)
        fired = used = 0.0
        gone = 0  # steps of the samples that have stopped
        for step in range(1 - self.latency, max(steps) + 1):
            if len(running):
                found = run.send(going)
                going = None
                at = step + self.latency - 1
                if self.bins is not None and at < self.bins:
                    arrived = (x[running, at] != 0).sum(0, dtype=np.float64)
                    used += float((arrived * self.input_fan_out).sum())
                for name, connections in self.fan_out.items():
                    about = self.about["emitters"][name]
                    by_neuron = event_count(found[name], about["cost"], about["bits"]).sum(0, dtype=np.float64)
                    fired += float(by_neuron.sum())
                    used += float((by_neuron * connections).sum())
            if step in steps:
                totals.append((fired, used, gone + step * len(running)))
                if not len(running):
                    answers.append(answers[-1])
                    continue
                said = top1(found["output"], self.about.get("binary", False))
                answers.append(said if not answers else answers[-1].copy())
                answers[-1][running] = said
                ended = settled(step * found["output"], self.about["schedule"].get("stop_lead"))
                if ended.any():
                    gone += step * int(ended.sum())
                    running, going = running[~ended], ~ended
        spikes, synops, taken = np.array(totals, np.float64).T
        return np.stack(answers), spikes, synops, taken

    def stored(self) -> dict[str, np.ndarray]:
        """Return predictions.npz, which tells the samples of the conversion and the ANN's classes."""
        path = self.folder / "predictions.npz"
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                found = {name: stored[name] for name in ("id", "ann", "index", "source")}
            if not len(found["id"]) == len(found["ann"]) == len(found["index"]):
                raise ValueError("arrays of different lengths")
        except Exception as problem:  # noqa: BLE001 - zip, zlib and numpy have their own
            raise damaged(path, problem) from None
        return found

    def samples(self, path: str | None, most: int | None = None) -> tuple[Dataset, np.ndarray, list[str]]:
        """Open the set of ``path``, or that of the conversion; return which samples of it to run, and their ids.

        These are all, or the first ``most``.
        """
        if most is not None and most < 1:
            raise UsageError("E003", f"--samples: expected at least 1, got {most}")
        if path is not None:
            chosen = open_dataset(path)
            check_classes(chosen, self.about["classes"])
            indices = np.arange(len(chosen))[:most]
            return chosen, indices, sample_ids(chosen, indices)
        stored = self.stored()
        try:
            chosen = open_dataset(str(stored["source"]))
        except UsageError as problem:
            raise UsageError(problem.code, problem.message, "say where the samples are: --data PATH") from None
        check_classes(chosen, self.about["classes"])
        indices, ids = stored["index"].astype(np.int64)[:most], stored["id"][:most].tolist()
        inside = len(indices) > 0 and indices.min() >= 0 and indices.max() < len(chosen)
        if not inside or sample_ids(chosen, indices) != ids:
            raise DataError(
                "E201", f"{stored['source']}: no longer the samples of the conversion", "say which ones: --data PATH"
            )
        return chosen, indices, ids

    def evaluate(
        self,
        path: str | None,
        steps: Sequence[int] | None,
        advance: Callable[[int, int], None] | None = None,
        most: int | None = None,
    ) -> tuple[dict[str, Any], Outcomes]:
        """Run every sample, or the first ``most``, and return a metrics.json document.

        ``advance(done, all)`` is called after every batch.
        """
        steps = sorted(set(steps or self.about["steps"]))
        dataset, indices, ids = self.samples(path, most)
        known = self.stored()
        stored = dict(zip(known["id"].tolist(), known["ann"].tolist(), strict=True))
        schedule = self.about["schedule"]
        check_steps(steps[-1], schedule["T"], schedule["onset_delay"], self.about["encoding"])
        outcomes, done = Outcomes(steps, self.about["classes"], schedule), 0
        arguments = (dataset, indices, self.preprocessing, self.shape, self.about["batch_size"])
        for chosen, x in batches(*arguments, steps=self.bins):
            answers, spikes, synops, taken = self.answers(x, steps)
            ann = np.array([stored.get(name, -1) for name in ids[done : done + len(x)]], np.int32)
            ann = np.broadcast_to(ann.reshape(-1, *[1] * (answers.ndim - 2)), answers.shape[1:])
            truth = None if dataset.labels is None else dataset.labels[chosen]
            outcomes.add(answers, spikes, synops, ann, truth, taken)
            done += len(x)
            if advance is not None:
                advance(done, len(indices))
        document = outcomes.document(self.about["macs"])
        return {**document, "layers": []}, outcomes


def _checked(about: Any) -> dict[str, Any]:
    """Return the metadata of snn.onnx; ValueError where it is not what the conversion writes."""
    kinds: dict[str, type] = dict.fromkeys(("preprocess", "states", "emitters", "schedule", "macs"), dict)
    kinds |= {"input": list, "steps": list, "batch_size": int, "encoding": str, "input_fan_out": dict}
    for name, kind in kinds.items():
        if not isinstance(about, dict) or not isinstance(about.get(name), kind):
            raise ValueError(f"metadata: '{name}' is missing or wrong")
    numbers = [
        *about["input"],
        *about["steps"],
        about["schedule"]["T"],
        about["schedule"]["latency"],
        *about["macs"].values(),
    ]
    stop_lead = about["schedule"].get("stop_lead", 0.0)
    if (
        about["batch_size"] < 1
        or type(stop_lead) is not float
        or not about["steps"]
        or not all(type(number) is int and number >= 0 for number in numbers)
    ):
        raise ValueError("metadata: what should be whole numbers is not")
    return dict(about)


def check_classes(dataset: Dataset, classes: int | None) -> None:
    """Refuse labels that the network has no output for, and class folders that are not its classes (DataError E204).

    One single class folder is rather a folder of samples without labels (E201).
    """
    if dataset.labels is None or classes is None:
        return
    folders = dataset.classes
    if folders is not None and len(folders) == 1 != classes:
        hint = "for samples without labels give that folder"
        raise DataError("E201", f"{dataset.path}: one class folder only ({folders[0]!r})", hint)
    if folders is not None and len(folders) < classes:  # then some are missing, and the labels of others are wrong
        raise DataError(
            "E204",
            f"{dataset.path}: {len(folders)} class folders, but the network has {classes} classes",
            "name the classes that there are in a labels.csv (file,class_index)",
        )
    worst = int(dataset.labels.argmax())
    if dataset.labels[worst] >= classes:
        raise DataError(
            "E204",
            f"{dataset.origin(worst)}: label {int(dataset.labels[worst])}, but the network has {classes} classes",
            "labels count from 0",
        )


def parse_steps(text: str) -> tuple[int, ...]:
    """Read ``1,2,4,8`` as ascending, distinct numbers of time steps."""
    try:
        steps = sorted({int(part) for part in text.split(",")})
    except ValueError:
        steps = [0]
    if steps[0] < 1 or steps[-1] > 1_000_000:
        raise UsageError("E003", f"--steps: expected time steps of at least 1, such as 1,2,4,8, got '{text[:80]}'")
    return tuple(steps)


def plain_table(document: Mapping[str, Any]) -> str:
    """Return the rows as a plain text table."""

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.2f} %"

    lines = [f"{'steps':>6} | {'accuracy':>9} | {'agreement':>9} | {'spikes/sample':>14} | {'SynOps':>14}"]
    lines += [
        f"{row['t']:>6} | {percent(row['accuracy']):>9} | {percent(row['agreement']):>9} | "
        f"{row['spikes_per_sample']:>14,.1f} | {row['synops_per_sample']:>14,.0f}"
        for row in document["steps"]
    ]
    ann = document["ann"]["accuracy"]
    lines.append(f"{document['samples']:,} samples" + ("" if ann is None else f"; the ANN: {percent(ann)}"))
    if "mean_steps" in document["steps"][-1]:
        lines.append("mean steps: " + ", ".join(format(row["mean_steps"], ".1f") for row in document["steps"]))
    return "\n".join(lines)


def _say(text: str, stream: TextIO | None) -> None:
    """Write a line, where there is somewhere to write it: a stream that was closed is None."""
    if stream is not None:
        stream.write(text + "\n")
        stream.flush()


def _tell(done: int, total: int) -> None:
    """Say on a terminal how far the evaluation is."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"\r{done:,} of {total:,} samples" + ("\n" if done == total else ""))
        sys.stderr.flush()


def evaluate_here(arguments: Sequence[str] | None = None) -> int:
    """Evaluate the bundle that this file lies in; return the exit status."""
    parser = argparse.ArgumentParser(description="Rate-coded accuracy of this spiking network against time steps.")
    parser.add_argument("--data", metavar="PATH", help="samples; default: those that the conversion was evaluated on")
    parser.add_argument("--steps", metavar="LIST", help="time steps to report, such as 1,2,4,8")
    parser.add_argument("--samples", metavar="N", type=int, help="evaluate only the first N of them")
    parser.add_argument("--json", action="store_true", help="print one metrics.json document")
    options = parser.parse_args(arguments)
    try:
        steps = None if options.steps is None else parse_steps(options.steps)
        evaluator = Evaluator(Path(__file__).resolve().parent)
        if steps is not None and steps[-1] > evaluator.about["schedule"]["T"]:
            _say(f"warning: calibrated for T = {evaluator.about['schedule']['T']}; {steps[-1]} is beyond", sys.stderr)
        document, _ = evaluator.evaluate(options.data, steps, _tell, options.samples)
    except SnnError as error:
        if options.json:
            _say(json.dumps({"error": error.document}), sys.stdout)
        for line in (str(error), f"hint: {error.hint}") if error.hint else (str(error),):
            _say("".join(each if each.isprintable() else "\ufffd" for each in line), sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    try:
        _say(json.dumps(document, indent=1) if options.json else plain_table(document), sys.stdout)
    except BrokenPipeError:  # nobody reads on: nothing may be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0
