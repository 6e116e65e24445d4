"""Vector instructions for numba's loops, which keep no sum in registers by themselves.

They are written in LLVM's own terms, and LLVM fits them to the machine. Nothing is reordered: a sum has the same bits
on every machine.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import unpack_tuple
from numba.core.registry import cpu_target
from numba.extending import intrinsic

LANES = (16, 32, 64)  # outputs that are computed together
GROUP = 16  # inputs that are looked at together
BINARY, GRADED, WHOLE = 0, 1, 2  # spikes, other values, and spikes that meet 8-bit weights

FLOAT, BYTE, SHORT, INT, LONG = ir.FloatType(), *(ir.IntType(bits) for bits in (8, 16, 32, 64))
OCTET = 8  # inputs whose places a table has: for each of 256 patterns, those that are there


class Writer:
    """Writes instructions into a function that numba compiles, with arguments, and items of tuples, by name.

    Arrays come as addresses: numba would count the references to an array at each call.
    """

    def __init__(self, builder: Any, names: str, arguments: Any) -> None:
        self.builder = builder
        aggregates = (ir.ArrayType, ir.LiteralStructType)
        flat = [
            value
            for argument in arguments
            for value in (unpack_tuple(builder, argument) if isinstance(argument.type, aggregates) else [argument])
        ]
        self._arguments = dict(zip(names.split(), flat, strict=True))

    def __getitem__(self, name: str) -> Any:
        return self._arguments[name]

    def address(self, array: str, at: Any, kind: Any = FLOAT) -> Any:
        """Return the address of element ``at`` of an array."""
        return self.builder.gep(self.builder.inttoptr(self[array], kind.as_pointer()), [at])

    def load(self, address: Any, kind: Any, align: int = 4) -> Any:
        """Load a vector, or a number."""
        found = self.builder.load(self.builder.bitcast(address, kind.as_pointer()))
        found.align = align
        return found

    def store(self, value: Any, address: Any, align: int = 4) -> None:
        """Store a vector."""
        self.builder.store(value, self.builder.bitcast(address, value.type.as_pointer())).align = align

    def load_first(self, address: Any, lanes: int, mask: Any, element: Any = FLOAT) -> Any:
        """Load the numbers of a mask; zeros for the others.

        All must lie in memory that exists: the processor stumbles over others, though it does not read them.
        """
        kind = ir.VectorType(element, lanes)
        address = self.builder.bitcast(address, kind.as_pointer())
        name = f"llvm.masked.load.v{lanes}{_name(element)}.p0"
        return self.call(name, kind, address, ir.Constant(INT, _size(element)), mask, zeros(element, lanes))

    def store_first(self, value: Any, address: Any, lanes: int, mask: Any) -> None:
        """Store the numbers of a mask."""
        element = value.type.element
        address = self.builder.bitcast(address, value.type.as_pointer())
        name = f"llvm.masked.store.v{lanes}{_name(element)}.p0"
        self.call(name, ir.VoidType(), value, address, ir.Constant(INT, _size(element)), mask)

    def splat(self, value: Any, lanes: int) -> Any:
        """Return a vector of one number."""
        kind = ir.VectorType(value.type, lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(undefined, value, ir.Constant(INT, 0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT, lanes), [0] * lanes))

    def first(self, count: Any, lanes: int) -> Any:
        """Return a mask of the first ``count`` lanes."""
        limit = self.splat(self.builder.trunc(count, INT), lanes)
        return self.builder.icmp_signed("<", counting(lanes), limit)

    def loop(
        self, first: Any, last: Any, stride: int, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """Go from ``first`` to ``last``; ``body(i, carried)`` returns what is carried on. Return what is at the end."""
        builder, before = self.builder, self.builder.block
        head, inner, end = (builder.append_basic_block(name) for name in ("loop", "loop.body", "loop.end"))
        builder.branch(head)
        builder.position_at_end(head)
        i, *values = (builder.phi(each.type) for each in (first, *carried))
        for phi, value in zip((i, *values), (first, *carried), strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", i, last), inner, end)
        builder.position_at_end(inner)
        new = body(i, values)
        for phi, value in zip((i, *values), (builder.add(i, ir.Constant(LONG, stride)), *new), strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(end)
        return values

    def bits(self, word: Any, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """Go through the bits that are set in a number; ``body(place, carried)`` returns what is carried on."""
        builder, before = self.builder, self.builder.block
        head, inner, end = (builder.append_basic_block(name) for name in ("bits", "bits.body", "bits.end"))
        builder.branch(head)
        builder.position_at_end(head)
        left, *values = (builder.phi(each.type) for each in (word, *carried))
        for phi, value in zip((left, *values), (word, *carried), strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_unsigned("!=", left, ir.Constant(LONG, 0)), inner, end)
        builder.position_at_end(inner)
        new = body(self.call("llvm.cttz.i64", LONG, left, ir.Constant(ir.IntType(1), 1)), values)
        rest = builder.and_(left, builder.sub(left, ir.Constant(LONG, 1)))
        for phi, value in zip((left, *values), (rest, *new), strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(end)
        return values

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """Call a function of LLVM."""
        functions = self.builder.module.globals
        if name not in functions:
            kind = ir.FunctionType(result, [each.type for each in arguments])
            functions[name] = ir.Function(self.builder.module, kind, name)
        return self.builder.call(functions[name], arguments)


def _name(element: Any) -> str:
    return "f32" if element is FLOAT else f"i{element.width}"


def _size(element: Any) -> int:
    return 4 if element is FLOAT else int(element.width) // 8


def zeros(kind: Any, lanes: int) -> Any:
    """Return a vector of zeros."""
    return ir.Constant(ir.VectorType(kind, lanes), [0] * lanes)


def counting(lanes: int) -> Any:
    """Return the vector 0, 1, 2, ..."""
    return ir.Constant(ir.VectorType(INT, lanes), list(range(lanes)))


def has_wide_vectors() -> bool:
    """Tell whether the processor has 32 registers of 16 floats, and packs what is there of a vector (AVX-512)."""
    *_, features = cpu_target.target_context.codegen().magic_tuple()
    return "+avx512f" in features


def _compress(write: Writer, values: Any, there: Any, to: Any) -> None:
    name = f"llvm.experimental.vector.compress.v{GROUP}{_name(values.type.element)}"
    write.store(write.call(name, values.type, values, there, zeros(values.type.element, GROUP)), to)


def _counted(write: Writer, n: Any, there: Any) -> Any:
    """Return n and how many there are of a vector."""
    bits = write.builder.bitcast(there, ir.IntType(there.type.count))
    count = write.call(f"llvm.ctpop.i{there.type.count}", bits.type, bits)
    return write.builder.add(n, write.builder.zext(count, LONG))


def _append_places(write: Writer, there: Any, place: Any, n: Any) -> Any:
    """Append ``(place + i) * by`` for each i that is there to the events; return the new n."""
    builder = write.builder
    place, by = (builder.trunc(each, INT) for each in (place, write["by"]))
    if has_wide_vectors():
        steps = builder.mul(counting(GROUP), write.splat(by, GROUP))
        places = builder.add(steps, write.splat(builder.mul(place, by), GROUP))
        _compress(write, places, there, write.address("events", n, INT))
        return _counted(write, n, there)
    bits = builder.bitcast(there, ir.IntType(GROUP))
    table = _places_of_octets(builder.module)
    for first in range(0, GROUP, OCTET):
        octet = builder.trunc(builder.lshr(bits, ir.Constant(bits.type, first)), BYTE)
        row = builder.mul(builder.zext(octet, LONG), ir.Constant(LONG, OCTET))
        start = builder.gep(table, [ir.Constant(LONG, 0), row])
        found = builder.zext(write.load(start, ir.VectorType(BYTE, OCTET), 1), ir.VectorType(INT, OCTET))
        found = builder.add(found, write.splat(builder.add(place, ir.Constant(INT, first)), OCTET))
        write.store(builder.mul(found, write.splat(by, OCTET)), write.address("events", n, INT))
        n = builder.add(n, builder.zext(write.call("llvm.ctpop.i8", BYTE, octet), LONG))
    return n


def _places_of_octets(module: Any) -> Any:
    """Return a table of 256 times 8 bytes: where the bits of a number are, and zeros."""
    name = "snnconvert.places_of_octets"
    if name not in module.globals:
        rows = [[i for i in range(OCTET) if octet >> i & 1] for octet in range(2**OCTET)]
        places = [place for row in rows for place in (*row, *[0] * (OCTET - len(row)))]
        kind = ir.ArrayType(BYTE, len(places))
        table = ir.GlobalVariable(module, kind, name)
        table.linkage, table.global_constant, table.initializer = "internal", True, ir.Constant(kind, places)
    return module.globals[name]


def _floats_there(write: Writer, c: Any) -> tuple[Any, Any]:
    """Load the channels from c on, as many as there are of 16; return them, and which are not zero."""
    left = write.builder.sub(write["channels"], c)
    x = write.load_first(write.address("x", write.builder.add(write["at"], c)), GROUP, write.first(left, GROUP))
    return x, write.builder.fcmp_unordered("!=", x, zeros(FLOAT, GROUP))


@intrinsic
def append_spikes(typing, x, at, channels, place, by, events, n):  # type: ignore[no-untyped-def]
    """Append ``(place + c) * by`` for each byte ``x[at + c]`` of the channels that is not zero; return the new n.

    Up to 16 numbers behind the last event are written over.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writer(builder, "x at channels place by events n", arguments)
        zero, whole = ir.Constant(LONG, 0), builder.and_(write["channels"], ir.Constant(LONG, -GROUP))

        def group(c: Any, carried: list[Any]) -> list[Any]:
            address = write.address("x", builder.add(write["at"], c), BYTE)
            there = builder.icmp_unsigned("!=", write.load(address, ir.VectorType(BYTE, GROUP), 1), zeros(BYTE, GROUP))
            return [_append_places(write, there, builder.add(write["place"], c), carried[0])]

        def single(c: Any, carried: list[Any]) -> list[Any]:  # written, and written over where it is not there
            found = builder.load(write.address("x", builder.add(write["at"], c), BYTE))
            place = builder.mul(builder.add(write["place"], c), write["by"])
            builder.store(builder.trunc(place, INT), write.address("events", carried[0], INT))
            return [builder.add(carried[0], builder.zext(found, LONG))]

        grouped = write.loop(zero, whole, GROUP, [write["n"]], group)
        return write.loop(whole, write["channels"], 1, grouped, single)[0]

    return types.int64(*[types.int64] * 7), generate


@intrinsic
def append_events(typing, x, at, channels, place, by, events, n):  # type: ignore[no-untyped-def]
    """Append ``(place + c) * by`` for each float ``x[at + c]`` of the channels that is not zero; return the new n.

    Up to 16 numbers behind the last event are written over.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writer(builder, "x at channels place by events n", arguments)

        def group(c: Any, carried: list[Any]) -> list[Any]:
            _, there = _floats_there(write, c)
            return [_append_places(write, there, builder.add(write["place"], c), carried[0])]

        return write.loop(ir.Constant(LONG, 0), write["channels"], GROUP, [write["n"]], group)[0]

    return types.int64(*[types.int64] * 7), generate


@intrinsic
def append_values(typing, x, at, channels, values, n):  # type: ignore[no-untyped-def]
    """Put the values of the same channels beside their events, from position n on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writer(builder, "x at channels values n", arguments)

        def group(c: Any, carried: list[Any]) -> list[Any]:
            (n,), (x, there) = carried, _floats_there(write, c)
            if has_wide_vectors():
                _compress(write, x, there, write.address("values", n))
                return [_counted(write, n, there)]
            for i in range(GROUP):  # each is written, and written over where it is not there
                at = ir.Constant(INT, i)
                builder.store(builder.extract_element(x, at), write.address("values", n))
                n = builder.add(n, builder.zext(builder.extract_element(there, at), LONG))
            return [n]

        write.loop(ir.Constant(LONG, 0), write["channels"], GROUP, [write["n"]], group)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 5), generate
