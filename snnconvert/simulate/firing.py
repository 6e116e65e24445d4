"""The step of integrate-and-fire neurons, 64 at once, for numba's loops."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from snnconvert.simulate.vectors import BYTE, LANES, LONG, Writer, zeros

NAMES = "current at bias row potential count spikes first sent stride next_row size steps silent left biased subtract"
ZERO, NOBODY = ir.Constant(LONG, 0), zeros(ir.IntType(1), LANES[-1])
ONE, NO_SPIKE = (ir.Constant(ir.VectorType(ir.FloatType(), LANES[-1]), [value] * LANES[-1]) for value in (1.0, 0.0))


def _take_steps(
    write: Writer, inside: Any, heard: Callable[[Any], Any], send: Callable[[Any, Any], None], always: bool
) -> None:
    """Write the loops over the steps of the neurons ``inside``, first of those in which none may fire.

    ``heard(step)`` is the row of the biases of a step, and ``send(row, fires)`` writes who fires; ``always``, also
    where none may.
    """
    builder, lanes, first = write.builder, LANES[-1], write["first"]

    def current(step: Any) -> Any:
        at = builder.add(write["at"], builder.mul(step, write["stride"]))
        return write.load_first(write.address("current", at), lanes, inside)

    def silent(step: Any, carried: list[Any]) -> list[Any]:
        if always:
            send(heard(step), NOBODY)
        return [builder.fadd(carried[0], current(step))]

    def firing(subtract: bool) -> Callable[[Any, list[Any]], list[Any]]:
        def after(step: Any, carried: list[Any]) -> list[Any]:
            row = heard(step)
            v = builder.fadd(carried[0], biased(current(step), row))
            fires = builder.fcmp_ordered(">=", v, ONE)
            send(row, fires)
            spikes = builder.select(fires, ONE, NO_SPIKE)
            v = builder.fsub(v, spikes) if subtract else builder.select(fires, NO_SPIKE, v)
            return [v, builder.fadd(carried[1], spikes)]

        return after

    def biased(drive: Any, row: Any) -> Any:
        before = builder.block
        with builder.if_then(write["biased"]):  # to load nothing, where nothing is, is slow
            at = builder.add(write["row"], builder.mul(row, write["next_row"]))
            driven = builder.fadd(drive, write.load_first(write.address("bias", at), lanes, inside))
            there = builder.block
        found = builder.phi(drive.type)
        found.add_incoming(drive, before)
        found.add_incoming(driven, there)
        return found

    potential, count = (write.load_first(write.address(each, first), lanes, inside) for each in ("potential", "count"))
    (potential,) = write.loop(ZERO, write["silent"], 1, [potential], silent)
    with builder.if_else(write["subtract"]) as (by_subtraction, to_zero):
        for arm, subtract in ((by_subtraction, True), (to_zero, False)):
            with arm:
                state = write.loop(write["silent"], write["steps"], 1, [potential, count], firing(subtract))
                for each, value in zip(("potential", "count"), state, strict=True):
                    write.store_first(value, write.address(each, first), lanes, inside)


@intrinsic
def fire(typing, arrays, timing, left, biased, subtract):  # type: ignore[no-untyped-def]
    """Let the neurons ``[first, first + min(left, 64))`` take steps, their potentials and counts in registers.

    ``arrays`` is ``current at bias row potential count spikes first sent``, ``timing`` ``stride next_row size steps
    silent``. Step t reads its current at ``current[at + t * stride]``, and sends a byte, 0 or 1, to ``spikes[sent + t *
    size]``; after the ``silent`` first steps there is a bias, at ``bias[row + t * next_row]``, if they are ``biased``.
    Reset by subtraction, or to zero.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write, lanes = Writer(builder, NAMES, arguments), LANES[-1]
        inside = write.first(write["left"], lanes)

        def send(row: Any, fires: Any) -> None:
            address = write.address("spikes", builder.add(write["sent"], builder.mul(row, write["size"])), BYTE)
            spikes = builder.zext(fires, ir.VectorType(BYTE, lanes))
            with builder.if_else(builder.icmp_signed(">=", write["left"], ir.Constant(LONG, lanes))) as (all_, some):
                with all_:
                    write.store(spikes, address, 1)
                with some:
                    write.store_first(spikes, address, lanes, inside)

        _take_steps(write, inside, lambda step: step, send, True)
        return context.get_dummy_value()

    return types.none(arrays, timing, types.int64, types.boolean, types.boolean), generate


@intrinsic
def fire_into_sums(typing, arrays, timing, left, biased, subtract):  # type: ignore[no-untyped-def]
    """Let neurons take steps as :func:`fire` does, and add their spikes to floats.

    Of these and of the biases, the first is that of the first step that is not silent.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write, lanes = Writer(builder, NAMES, arguments), LANES[-1]
        inside = write.first(write["left"], lanes)

        def send(row: Any, fires: Any) -> None:
            address = write.address("spikes", builder.add(write["sent"], builder.mul(row, write["size"])))
            before = write.load_first(address, lanes, inside)
            write.store_first(builder.fadd(before, builder.select(fires, ONE, NO_SPIKE)), address, lanes, inside)

        _take_steps(write, inside, lambda step: builder.sub(step, write["silent"]), send, False)
        return context.get_dummy_value()

    return types.none(arrays, timing, types.int64, types.boolean, types.boolean), generate
