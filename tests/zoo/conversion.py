"""A network of the zoo on its way through the stages, each of them computed once."""

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from snnconvert.calibrate import collect
from snnconvert.fold import PASSES
from snnconvert.graph import Graph, apply_passes, relative_error
from snnconvert.load import Loaded, load_model
from snnconvert.load.asked import Asked
from snnconvert.network import NormalForm, SpikingNetwork, normal_form, spiking_network
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from snnconvert.operators.affine import Affine
from snnconvert.simulate import Simulator
from tests.percentile import percentile_scales

from .exporting import Exporter, export
from .members import Member, samples

NORMS = ("BatchNormalization", "Mul", "Add")


class Conversion:
    """Converts with scales that are the largest activations on the samples that it is evaluated on."""

    def __init__(self, member: Member, exporter: Exporter, folder: Path, count: int = 4) -> None:
        self.member = member
        self.net = member.net()
        self.x = samples(member.input_shape, count, seed=7)
        self._normal: dict[bool, NormalForm] = {}
        self.path = export(self.net, self.x, folder / "net.onnx", exporter, member.outputs)

    @cached_property
    def expected(self) -> Tensor:
        """What torch computes; of two outputs, the first one."""
        with torch.no_grad():
            answer = self.net(self.x)
        return answer[0] if isinstance(answer, tuple) else answer

    @cached_property
    def loaded(self) -> Loaded:
        outputs = self.member.outputs
        return load_model(self.path, Asked(output=outputs[0])) if len(outputs) > 1 else load_model(self.path)

    @cached_property
    def folded(self) -> Graph:
        return apply_passes(self.loaded.graph, PASSES, self.x)[0]

    @cached_property
    def answer(self) -> Tensor:
        """What the folded network computes."""
        with torch.no_grad():
            return self.folded.run(self.x)

    @property
    def dependence(self) -> float:
        """How far the outputs are from their mean over the samples, relative to their size."""
        return float((self.expected - self.expected.mean(0)).norm() / self.expected.norm())

    @cached_property
    def norms_left(self) -> list[str]:
        """Batch norms, and other arithmetic with constants, that stayed affine maps of their own."""
        operators = {origin.name: origin.operator for origin in self.folded.origins}
        return [
            node.name
            for node in self.folded.nodes
            if isinstance(node.operator, Affine) and any(operators[each] in NORMS for each in node.origins)
        ]

    def normal(self, per_channel: bool) -> NormalForm:
        if per_channel not in self._normal:
            statistics = collect(self.folded, [self.x.numpy()], per_channel, torch.device("cpu"))
            scales = percentile_scales(statistics, 100, nonzero=False)
            self._normal[per_channel] = normal_form(self.folded, scales)
        return self._normal[per_channel]

    def network(self, per_channel: bool) -> SpikingNetwork:
        return spiking_network(self.normal(per_channel), IntegrateAndFire())

    def form_error(self, per_channel: bool) -> float:
        """Compare the normal form, run as an ANN, with the folded network."""
        with torch.no_grad():
            return relative_error(self.normal(per_channel).graph.run(self.x), self.answer)

    def output_errors(self, per_channel: bool, steps: list[int]) -> list[float]:
        """Return the relative L2 error of the mean readout after each number of steps."""
        return [
            float((readout.output / readout.t - self.answer).norm() / self.answer.norm())
            for readout in Simulator(self.network(per_channel)).run(self.x, steps)
        ]
