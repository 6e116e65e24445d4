"""The files of a bundle, all in memory: what is written stands here, and nowhere else."""

from pathlib import Path
from typing import Any

from snnconvert import __version__
from snnconvert.conversion import Conversion, class_count, operations
from snnconvert.export import step_model
from snnconvert.measure import Outcomes
from snnconvert.report.changes import changes
from snnconvert.report.densities import densities
from snnconvert.report.documents import as_json, calibration_document, predictions
from snnconvert.report.evaluate_script import evaluate_script
from snnconvert.report.fates import fates
from snnconvert.report.graph_picture import graph_picture
from snnconvert.report.page import render_page
from snnconvert.report.plots import plots
from snnconvert.report.provenance import CONTENTS, PROVENANCE, material, provenance_bytes, versions
from snnconvert.report.tables import curve_csv
from snnconvert.report.traces import traces

REPEAT = "snnconvert --config config.yaml --out again"  # from inside the bundle, where its paths are absolute


def bundle_files(conversion: Conversion, outcomes: Outcomes) -> dict[str, bytes]:
    """Return every file of the bundle but manifest.json and run.json."""
    job, metrics, options = conversion.job, conversion.metrics, conversion.job.convert
    calibration = calibration_document(
        conversion.statistics, conversion.normal.scales, options.percentile, options.percentile_of == "nonzero"
    )
    files = {
        "snn.onnx": step_model(conversion.network, metadata(conversion)),
        "evaluate.py": evaluate_script(),
        "metrics.json": as_json(metrics),
        "curve.csv": curve_csv(metrics),
        "predictions.npz": predictions(outcomes, conversion.evaluation),
        "calibration.json": as_json(calibration),
        "config.yaml": job.to_yaml(),
        "report.html": render_page(page_context(conversion) | _of_samples(conversion, outcomes)),
    }
    if job.plots is not None:
        files |= plots(metrics, job.plots)
    return files | {PROVENANCE: provenance_bytes(files, job.portable, job.device, materials(conversion))}


def _of_samples(conversion: Conversion, outcomes: Outcomes) -> dict[str, Any]:
    """Return what report.html shows of single samples."""
    traced, evaluation, steps = conversion.traced, conversion.evaluation, conversion.network.schedule.steps
    return {
        "changes": changes(outcomes, evaluation),
        "traces": None if traced is None else traces(traced, outcomes, evaluation, steps),
    }


def materials(conversion: Conversion) -> list[dict[str, Any]]:
    """Return what the bundle was made of, by digests: the files of the model, as its folder names them, and samples."""
    job = conversion.job
    names = {"calibration": Path(job.calib.path).name, "evaluation": Path(job.eval.path or "").name}
    return [
        *(material("model", name, digests) for name, digests in conversion.loaded.files.items()),
        *(material(role, names[role], {CONTENTS: digest}) for role, digest in conversion.contents.items()),
    ]


def metadata(conversion: Conversion) -> dict[str, Any]:
    """Return what an evaluator must know, for the metadata of snn.onnx."""
    job, graph, scales = conversion.job, conversion.network.graph, conversion.normal.scales
    return {
        "schema": "snnconvert/step/1",
        "version": __version__,
        "model": {"name": conversion.loaded.path.name, "sha256": conversion.loaded.sha256},
        "input": list(graph.input_shape),
        "classes": class_count(graph),
        "binary": graph.binary,
        "schedule": conversion.network.schedule_document,
        "steps": list(job.convert.steps),
        "preprocess": job.preprocess,
        "batch_size": job.eval.batch_size,
        "macs": operations(conversion),
        "scales": {
            name: {"shape": list(scales[name].shape), "values": scales[name].flatten().tolist()}
            for name in conversion.network.neurons
        },
    }


def page_context(conversion: Conversion) -> dict[str, Any]:
    """Return what report.html shows."""
    data = [
        {
            "role": role,
            "path": each.dataset.path,
            "samples": len(each),
            "kind": each.dataset.kind,
            "layout": each.layout,
            "preprocess": each.preprocessing.describe(),
            "digest": conversion.contents.get(role),
        }
        for role, each in (("calibration", conversion.calib), ("evaluation", conversion.evaluation))
    ]
    nodes = fates(conversion.loaded.graph.origins, conversion.network)
    return {
        "title": conversion.folded.name,
        "version": __version__,
        "versions": versions(),
        "model": {
            "name": conversion.loaded.path.name,
            "sha256": conversion.loaded.sha256,
            "nodes": len(conversion.loaded.graph.origins),
        },
        "metrics": conversion.metrics,
        "notes": [*conversion.warnings, *conversion.notes],
        "equivalence": conversion.metrics["equivalence"],
        "options": conversion.job.dotted(),
        "data": data,
        "densities": densities(conversion.densities),
        "nodes": nodes,
        "graph": graph_picture(conversion.loaded.graph, conversion.network, nodes),
        "command": f"{REPEAT} --trust-model" if conversion.job.trust_model else REPEAT,
    }
