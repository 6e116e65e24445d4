"""Where jobs run: on this machine, or on the workers of a Dask cluster."""

import os

from snnconvert.batch.schema import Execution
from snnconvert.batch.task import Executor


def executor_of(execution: Execution) -> Executor:
    """Return what runs the jobs; where they run here, they share out the processors.

    Raises:
        UsageError: no cluster is named (E003).
        OutputError: Dask is not installed, or the cluster does not answer (E404, E405).
    """
    if execution.backend == "dask" or execution.scheduler is not None:
        from snnconvert.batch.cluster import Cluster

        return Cluster(execution)
    from snnconvert.batch.local import LocalPool, automatic_slots

    slots = execution.jobs or automatic_slots()
    return LocalPool(slots, max(1, len(os.sched_getaffinity(0)) // slots))
