"""Energy as a stated model: operations times a price. No chip was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snnconvert.measure.outcomes import ADD_PJ, MAC_PJ

INT8_MAC, INT8_ADD = 0.23, 0.03  # pJ, 45 nm; those in float32 are the evaluator's too
HOROWITZ = "M. Horowitz, Computing's energy problem, ISSCC 2014: 45 nm, 0.9 V"


@dataclass(frozen=True)
class EnergyModel:
    """Prices in pJ: of an accumulation, of a multiplication with it, and where they come from."""

    name: str
    ac_pj: float
    mac_pj: float
    source: str

    def joules(self, acs: float, macs: float) -> float:
        """Return the energy of so many operations, in J."""
        return 1e-12 * (self.ac_pj * acs + self.mac_pj * macs)


FLOAT_ANN = EnergyModel("ANN, float32", ADD_PJ, MAC_PJ, HOROWITZ)
INT8_ANN = EnergyModel("ANN, int8", INT8_ADD, INT8_MAC, HOROWITZ)
MODELS = (
    EnergyModel("45 nm, float32", ADD_PJ, MAC_PJ, HOROWITZ),
    EnergyModel("45 nm, int8", INT8_ADD, INT8_MAC, HOROWITZ),
    EnergyModel(
        "77 fJ a SynOp",
        0.077,
        MAC_PJ,
        "N. Qiao et al., A reconfigurable on-line learning spiking neuromorphic processor, Frontiers in Neuroscience "
        "2015, as QCFS and LTB use it; MACs at 45 nm, float32",
    ),
    EnergyModel(
        "Loihi, 23.6 pJ a SynOp",
        23.6,
        23.6,
        "M. Davies et al., Loihi: a neuromorphic manycore processor with on-chip learning, IEEE Micro 2018; MACs, "
        "which it does not have, at the price of a SynOp",
    ),
)


def priced(cost: Mapping[str, Any], macs: int, models: Sequence[EnergyModel] = MODELS) -> dict[str, Any]:
    """Return a cost document with the energy of a sample under each of the models, beside an ANN of so many MACs."""
    done = cost["synaptic_operations"]
    ann = {each.name: each.joules(0, macs) for each in (FLOAT_ANN, INT8_ANN)}
    energy = [
        {
            "model": each.name,
            "source": each.source,
            "ac_pj": each.ac_pj,
            "mac_pj": each.mac_pj,
            "joules": (joules := each.joules(done["Effective_ACs"], done["Effective_MACs"])),
            "vs_float32_ann": joules / ann[FLOAT_ANN.name] if macs else None,
            "vs_int8_ann": joules / ann[INT8_ANN.name] if macs else None,
        }
        for each in models
    ]
    return {**cost, "ann": {"macs": macs, "joules": ann}, "energy": energy}
