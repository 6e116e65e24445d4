"""A ResNet-20 as it could come out of a conversion."""

from typing import Any

import numpy as np
import pytest
import torch

from snnconvert.calibrate import random_scales
from snnconvert.data import Dataset, Preprocessing, Selection
from snnconvert.measure import Outcomes, Trace, Traced
from snnconvert.measure.energy import priced
from snnconvert.network import normal_form, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.report.graph_picture import graph_picture
from snnconvert.report.traces import traces
from tests.nets import Net

PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECA"
    "AAAACMmsGiAAAAEElEQVR4nGNsYGBgYGJAIQAJ5ACIUhZOXwAAAABJRU5ErkJggg=="
)
ACCURACIES = {1: 0.10, 2: 0.12, 4: 0.25, 8: 0.38, 16: 0.69, 32: 0.825}


def resnet20_metrics() -> dict[str, Any]:
    steps = [
        {
            "t": t,
            "total_steps": t,
            "accuracy": accuracy,
            "accuracy_ci95": [accuracy - 0.008, accuracy + 0.007],
            "agreement": min(accuracy + 0.012, 1.0),
            "output_error": 1.4 / (1 + t / 5),
            "spikes_per_sample": 11250.0 * t,
            "synops_per_sample": 1.21e6 * t,
            "energy_ratio": (0.9 * 1.21e6 * t + 4.6 * 442368) / (4.6 * 40551040),
        }
        for t, accuracy in ACCURACIES.items()
    ]
    layers = [
        {
            "name": f"/layer{1 + k // 6}/layer{1 + k // 6}.{k % 6 // 2}/relu{k % 2 + 1}/Relu",
            "neurons": 16384 >> (k // 6),
            "scale": 1.9 + 0.173 * k,
            "rate": 0.07 - 0.001 * k,
            "rate_error": 0.031 + 0.0142 * k,
            "clipped": 0.001,
            "dead": 0.0 if k < 15 else 0.03125,
        }
        for k in range(19)
    ]
    return {
        "schema": "snnconvert/metrics/1",
        "samples": 10000,
        "classes": 10,
        "labelled": True,
        "ann": {"accuracy": 0.9173},
        "schedule": {"T": 32, "onset_delay": 0, "latency": 0},
        "steps": steps,
        "layers": layers,
        "macs_per_sample": {"ann": 40551040, "snn_first_layer": 442368},
        "cost": resnet20_cost(),
    }


def resnet20_cost() -> dict[str, Any]:
    cost = {
        "samples": 16,
        "steps": 32,
        "footprint": 1080268,
        "connection_sparsity": 0.0097,
        "activation_sparsity": 0.879,
        "synaptic_operations": {"Effective_MACs": 411355.0, "Effective_ACs": 1.2e8, "Dense": 1173338304.0},
        "membrane_updates": 6029179.4,
        "layers": [],
    }
    return priced(cost, 40551040)


def resnet20_traces() -> dict[str, Any]:
    """Three neurons of a layer over 8 steps of a sample that is no picture."""
    generator = torch.Generator().manual_seed(0)
    reached = torch.rand(8, 3, generator=generator) + 0.4
    spikes = (reached >= 1).float()
    trace = Trace(IntegrateAndFire(), (2, 3), (4, 0, 5), 0, 2, reached, reached - spikes, spikes)
    values = {"/relu/Relu": torch.tensor([0.25, 0.5, 0.75])}
    outcomes = Outcomes([8], 3)
    outcomes.add(np.ones((1, 1), np.int32), np.zeros(1), np.zeros(1), np.zeros(1, np.int32), np.zeros(1, np.int64))
    selection = Selection(Dataset("x", "npz", None, None, np.ones((1, 5))), np.arange(1), Preprocessing(), (5,))
    return traces(Traced(0, 8, 1, (), {"/relu/Relu": trace}, values, values), outcomes, selection, 8)


def resnet20_graph(fates: list[dict[str, Any]]) -> Any:
    """A residual block."""
    net = Net(2, 4, 4)
    first = net.relu(net.conv("x", 2, name="conv1"), name="relu")
    graph = net.graph(net.relu(net.sum(net.conv(first, 2), first)))
    normal = normal_form(graph, random_scales(graph, per_channel=False))
    return graph_picture(graph, spiking_network(normal, IntegrateAndFire()), fates)


def resnet20_context() -> dict[str, Any]:
    nodes = [
        {"name": "/conv1/Conv", "operator": "Conv", "fate": "weighted synapse", "scale": 1.9, "detail": "3x3, 16"},
        {"name": "/bn1/BatchNormalization", "operator": "BatchNormalization", "fate": "folded", "scale": None,
         "detail": "into /conv1/Conv"},
        {"name": "/relu/Relu", "operator": "Relu", "fate": "spiking", "scale": 1.9, "detail": "if, 16,384 neurons"},
        {"name": "/Softmax", "operator": "Softmax", "fate": "folded", "scale": None, "detail": ""},
    ]  # fmt: skip
    preprocess = "scale=1/255,mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
    return {
        "title": "resnet20.onnx as a spiking network",
        "version": "0.1.0",
        "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
        "model": {"name": "resnet20.onnx", "sha256": "9f86d081" * 8, "nodes": 74},
        "metrics": resnet20_metrics(),
        "notes": ["final Softmax dropped: it keeps the order of the classes", "layout told from the model: NCHW"],
        "equivalence": [
            {"stage": "loaded", "compared": "ONNX Runtime on the user's graph", "max_error": 0.0, "limit": 1e-4},
            {"stage": "folded", "compared": "loaded", "max_error": 3.1e-6, "limit": 1e-4},
            {"stage": "normal form", "compared": "ANN up to scale", "max_error": 2.2e-3, "limit": 1e-3},
        ],
        "options": {"convert.method": "percentile", "convert.percentile": 99.9, "convert.steps": [1, 2, 4, 8, 16, 32]},
        "data": [
            {"role": "calibration", "path": "data/cifar10:train", "samples": 512, "kind": "CIFAR binary",
             "layout": "NCHW", "preprocess": preprocess, "digest": "5e4f" * 16},
            {"role": "evaluation", "path": "data/cifar10:test", "samples": 10000, "kind": "CIFAR binary",
             "layout": "NCHW", "preprocess": preprocess},
        ],
        "densities": [{"name": "/relu/Relu", "correlation": 0.98, "picture": PICTURE},
                      {"name": "/layer1/Relu", "correlation": None, "picture": PICTURE}],
        "changes": {
            "t": 32, "samples": 10000, "changed": 640, "classes": ["cat", "dog"], "matrix": [[4000, 300], [340, 5360]],
            "both": {"both are right": 8800, "only the ANN is right": 400},
            "pairs": [{"ann": "cat", "snn": "dog", "count": 300}],
            "shown": [{"picture": PICTURE, "place": 17, "ann": "cat", "snn": "dog", "label": "cat"},
                      {"picture": None, "place": 18, "ann": "dog", "snn": "cat", "label": None}],
        },
        "traces": resnet20_traces(),
        "graph": resnet20_graph(nodes),
        "nodes": nodes,
        "command": "snnconvert resnet20.onnx --calib data/cifar10:train --eval data/cifar10:test --calib-samples 512",
    }  # fmt: skip


@pytest.fixture
def metrics() -> dict[str, Any]:
    return resnet20_metrics()


@pytest.fixture
def context() -> dict[str, Any]:
    return resnet20_context()
