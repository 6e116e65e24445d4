"""Where the spiking network answers otherwise than the ANN: how often, between which classes, and some samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnconvert.data import Selection
from snnconvert.errors import SnnError
from snnconvert.measure import Outcomes
from snnconvert.report.drawing import as_data_uri

SHOWN = 12  # samples
SIDE = 72  # pixels of a picture, at most
MATRIX = 12  # classes whose confusions are a whole table
PAIRS = 12  # of classes that are told where there are more
DARK = 64  # a picture of bytes that are all smaller is stretched


def changes(outcomes: Outcomes, evaluation: Selection) -> dict[str, Any] | None:
    """Return what changed at the largest T; None where outputs are no classes, or the ANN's answers are not known.

    ``matrix`` has the ANN's classes as rows and the spiking network's as columns, in counts of samples. The ``samples``
    are the first of those that changed, those before all others where the ANN was right.
    """
    if outcomes.classes is None or outcomes.classes < 2 or not len(outcomes.ann):
        return None
    ann, snn, labels, changed = outcomes.ann, outcomes.snn[-1], outcomes.labels, outcomes.changed
    found: dict[str, Any] = {"t": outcomes.steps[-1], "samples": len(ann), "changed": len(changed)}
    if labels is not None:
        right, still = ann == labels, snn == labels
        found["both"] = {
            "both are right": int((right & still).sum()),
            "only the ANN is right": int((right & ~still).sum()),
            "only the spiking network is right": int((~right & still).sum()),
            "both are wrong": int((~right & ~still).sum()),
        }
    names = [class_name(evaluation, each) for each in range(outcomes.classes)]
    pairs, counts = np.unique(np.stack([ann[changed], snn[changed]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:PAIRS]
    found["pairs"] = [
        {"ann": names[pairs[0, k]], "snn": names[pairs[1, k]], "count": int(counts[k])} for k in order.tolist()
    ]
    if outcomes.classes <= MATRIX:
        matrix = np.zeros((outcomes.classes, outcomes.classes), int)
        np.add.at(matrix, (ann[ann >= 0], snn[ann >= 0]), 1)
        found |= {"classes": names, "matrix": matrix.tolist()}
    found["shown"] = [
        {
            "picture": thumbnail(evaluation, at),
            "place": int(evaluation.indices[at]),
            "ann": names[ann[at]],
            "snn": names[snn[at]],
            "label": None if labels is None else class_name(evaluation, int(labels[at])),
        }
        for at in changed[:SHOWN].tolist()
    ]
    return found


def class_name(evaluation: Selection, index: int) -> str:
    """Return what a class is called: its folder, if there are folders."""
    folders = evaluation.dataset.classes
    return folders[index] if folders is not None and index < len(folders) else str(index)


def thumbnail(evaluation: Selection, at: int) -> str | None:
    """Return a sample, before preprocessing, as a small PNG in a data URI; None where it is no picture."""
    try:
        grey = _as_image(np.asarray(evaluation.dataset.sample(int(evaluation.indices[at]))))
    except SnnError:  # it was there a moment ago, and the report does not need it
        return None
    if grey is None:
        return None
    from PIL import Image

    image = Image.fromarray(grey)
    factor = SIDE / max(image.size)
    width, height = (max(1, round(factor * side)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)
    return as_data_uri(image)


def _as_image(sample: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Return pixels (H, W) or (H, W, 3) as bytes."""
    if sample.ndim == 3 and sample.shape[0] in (1, 2, 3) and sample.shape[2] not in (1, 3):
        sample = np.moveaxis(sample, 0, -1)
    if sample.ndim == 3 and sample.shape[2] in (1, 2):  # grey, or the polarities of events
        sample = sample.sum(2, dtype=np.float64) if sample.shape[2] == 2 else sample[:, :, 0]
    if sample.ndim not in (2, 3) or (sample.ndim == 3 and sample.shape[2] != 3) or min(sample.shape[:2]) < 2:
        return None
    if sample.dtype == np.uint8 and sample.max() >= DARK:
        return np.ascontiguousarray(sample)
    values = sample.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) * (255 / (high - low) if high > low else 0), np.uint8)
