"""Writes a torch module to ONNX, with either of torch's exporters."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

Exporter = Literal["legacy", "dynamo"]


def export(net: nn.Module, x: Tensor, path: Path, exporter: Exporter, outputs: Sequence[str] = ("y",)) -> Path:
    """Export a network, its batch dynamic.

    The legacy exporter leaves batch norms alone; the other one folds some, and writes the weights beside the model.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters use what torch itself calls deprecated
        if exporter == "legacy":
            torch.onnx.export(
                net,
                (x,),
                path,
                dynamo=False,
                opset_version=17,
                training=torch.onnx.TrainingMode.PRESERVE,
                input_names=["x"],
                output_names=list(outputs),
                dynamic_axes={"x": {0: "N"}},
            )
        else:
            torch.onnx.export(
                net,
                (x,),
                path,
                dynamo=True,
                opset_version=18,
                verbose=False,
                input_names=["x"],
                output_names=list(outputs),
                dynamic_shapes=({0: torch.export.Dim("N")},),
            )
    return path
