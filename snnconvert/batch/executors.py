"""Where jobs run: on this machine, or on the workers of a Dask cluster."""

from snnconvert.batch.schema import Execution
from snnconvert.batch.task import Executor
from snnconvert.processes import processors


def executor_of(execution: Execution, on_gpu: bool) -> Executor:
    """Return what runs the jobs; here they share out the processors, and a GPU has one at a time if nobody says more.

    Raises:
        UsageError: no cluster is named (E003).
        OutputError: Dask is not installed, or the cluster does not answer (E404, E405).
    """
    if execution.backend == "dask" or execution.scheduler is not None:
        from snnconvert.batch.cluster import Cluster

        return Cluster(execution)
    from snnconvert.batch.local import LocalPool, automatic_slots

    slots = execution.jobs or (1 if on_gpu else automatic_slots())
    return LocalPool(slots, max(1, processors() // slots))
