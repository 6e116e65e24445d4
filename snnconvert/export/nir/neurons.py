"""Integrate-and-fire neurons as NIR's IF, and in its metadata what IF does not say.

NIR's IF resets to ``v_reset`` where ``v > v_threshold``, from v = 0. Ours subtract the threshold where ``v >= 1``, and
start anywhere. The metadata of a node say so (``reset``, ``fires``, ``v0``); nir_helpers.py tells it to readers.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnconvert.export.nir.refusal import Inexpressible
from snnconvert.graph import Shape
from snnconvert.neurons import Neuron
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire


def if_node(nir: Any, name: str, neuron: Neuron, shape: Shape, potential: Tensor | None) -> Any:
    """Return a layer of neurons ``shape`` as an IF with threshold 1 (one number each, as readers want it).

    Raises:
        Inexpressible: NIR has no such neuron.
    """
    if not isinstance(neuron, IntegrateAndFire):
        raise Inexpressible(f"NIR has no neuron '{neuron.name}'", "convert it with --neuron if")
    if neuron.leak or neuron.refractory:
        what = "constant leak" if neuron.leak else "refractory period"
        raise Inexpressible(f"NIR's IF has no {what}", "convert it without")
    start: Any = neuron.initial_potential
    if potential is not None:
        start = np.array(potential.expand(shape).to(torch.float32).numpy())
    metadata = {"reset": neuron.reset, "fires": "v >= v_threshold", "spikes": "single", "v0": start, "node": name}
    ones = np.ones(shape, np.float32)
    return nir.IF(r=ones, v_threshold=ones.copy(), metadata=metadata)
