"""Runs the benchmarks that are named, or all of them, and writes the page of results."""

import sys
import time

from benchmarks import (
    batches,
    costs,
    engine,
    events,
    fidelity,
    formats,
    gate,
    loading,
    mutations,
    neurobench,
    neuron,
    nir,
    peers,
    peers_accuracy,
    profile,
    reading,
    scaling,
    stopping,
    toolbox,
    trade,
)
from benchmarks.report import DATA, Skipped, save

BENCHMARKS = {
    "start": costs.start,
    "calibration": costs.calibration,
    "corrections": costs.corrections,
    "memory": costs.memory,
    "engine": engine.run,
    "profile": profile.run,
    "scaling": scaling.run,
    "peers": peers.run,
    "peers_accuracy": peers_accuracy.run,
    "toolbox": toolbox.run,
    "nir": nir.run,
    "neurobench": neurobench.run,
    "batch": batches.overhead,
    "kills": batches.kills,
    "conversion_kills": batches.conversion_kills,
    "neuron": neuron.run,
    "gate": gate.run,
    "loading": loading.run,
    "formats": formats.run,
    "reading": reading.run,
    "mutations": mutations.run,
    "mnist": fidelity.mnist,
    "resnet20": fidelity.resnet20,
    "resnet20_auto": fidelity.resnet20_auto,
    "others": fidelity.others,
    "stop": stopping.run,
    "events": events.run,
    "trade": trade.resnet20,
    "trade_mnist": trade.mnist,
    "trade_resnet8": trade.resnet8,
    "trade_mobilenet": trade.mobilenet,
    "trade_squeezenet": trade.squeezenet,
}


def main(names: list[str]) -> int:
    """Run benchmarks by name; return the exit status."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown or not DATA.is_dir():
        print(f"unknown: {unknown}; known: {[*BENCHMARKS]}" if unknown else f"no data at {DATA}: set SNNCONVERT_DATA")
        return 2
    for name in names or BENCHMARKS:
        started = time.perf_counter()
        try:
            section = BENCHMARKS[name]()
        except Skipped as reason:
            print(f"{name}: skipped: {reason}", flush=True)
            continue
        save(section)
        print(f"{name} ({time.perf_counter() - started:.0f} s): {section.verdict}", flush=True)
        for row in [section.header, *section.rows]:
            print("   ", " | ".join(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
