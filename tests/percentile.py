"""Percentile scales of a calibrated network, as the pipeline makes them for one spike a step."""

from collections.abc import Mapping

from torch import Tensor

from snnconvert.calibrate import ActivationStatistics
from snnconvert.convert import METHODS, Task
from snnconvert.network import Schedule
from snnconvert.neurons.integrate_and_fire import IntegrateAndFire
from tests import nets


def percentile_scales(statistics: ActivationStatistics, percent: float, nonzero: bool) -> Mapping[str, Tensor]:
    depths = dict.fromkeys(statistics.layers, 0)
    unseen = nets.recipe(["chain"], size=8)  # percentiles need the statistics alone
    task = Task(unseen, statistics, IntegrateAndFire(), Schedule(8), depths, percent, nonzero, list)
    return METHODS["percentile"](task)
