"""The step of integrate-and-fire neurons, 64 at once, for numba's loops."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from snnconvert.simulate.vectors import FLOAT, LANES, LONG, Writer, zeros


@intrinsic
def fire(typing, arrays, timing, left, biased, subtract, summed):  # type: ignore[no-untyped-def]
    """Let the neurons ``[first, first + min(left, 64))`` take steps, their potentials and counts in registers.

    ``arrays`` is ``current at bias row potential count spikes first sent``, ``timing`` ``stride next_row size steps
    silent``. Step t reads its current at ``current[at + t * stride]`` and sends to ``spikes[sent + t * size]``; after
    the ``silent`` first steps there is a bias, at ``bias[row + t * next_row]``, if they are ``biased``. Reset by
    subtraction, or to zero. Where spikes are ``summed``, they are added to what is there, from the first step on that
    is not silent, and so are the biases read.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        names = (
            "current at bias row potential count spikes first sent stride next_row size steps silent left biased "
            "subtract summed"
        )
        write, lanes = Writer(builder, names, arguments), LANES[-1]
        inside, first, no_spike = write.first(write["left"], lanes), write["first"], zeros(FLOAT, lanes)
        zero, one = ir.Constant(LONG, 0), ir.Constant(no_spike.type, [1.0] * lanes)
        state = [write.load_first(write.address(each, first), lanes, inside) for each in ("potential", "count")]

        def after(step: Any, carried: list[Any]) -> list[Any]:
            firing = builder.icmp_signed(">=", step, write["silent"])
            at = builder.add(write["at"], builder.mul(step, write["stride"]))
            drive = write.load_first(write.address("current", at), lanes, inside)
            mask = builder.and_(inside, write.splat(builder.and_(firing, write["biased"]), lanes))
            heard = builder.select(write["summed"], builder.sub(step, write["silent"]), step)
            heard = builder.select(builder.icmp_signed("<", heard, zero), zero, heard)
            at = builder.add(write["row"], builder.mul(heard, write["next_row"]))
            drive = builder.fadd(drive, write.load_first(write.address("bias", at), lanes, mask))
            v = builder.fadd(carried[0], drive)
            over = builder.and_(builder.fcmp_ordered(">=", v, one), write.splat(firing, lanes))
            spikes = builder.select(over, one, no_spike)
            address = write.address("spikes", builder.add(write["sent"], builder.mul(heard, write["size"])))
            mask = builder.and_(inside, write.splat(write["summed"], lanes))
            before = write.load_first(address, lanes, mask)
            write.store_first(builder.fadd(before, spikes), address, lanes, inside)
            reset = builder.select(over, no_spike, v)
            v = builder.select(write.splat(write["subtract"], lanes), builder.fsub(v, spikes), reset)
            return [v, builder.fadd(carried[1], spikes)]

        state = write.loop(zero, write["steps"], 1, state, after)
        for each, value in zip(("potential", "count"), state, strict=True):
            write.store_first(value, write.address(each, first), lanes, inside)
        return context.get_dummy_value()

    return types.none(arrays, timing, types.int64, *[types.boolean] * 3), generate
