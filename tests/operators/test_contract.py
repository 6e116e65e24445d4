"""What every operator promises, run on the examples of every module in the folder of operators."""

import importlib
import math
import pkgutil
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from snnconvert import operators
from snnconvert.graph import IncompatibleScale, OnnxWriter, Operator, Role, Shape, ones, same, scale_of
from snnconvert.operators.linear import Linear

BATCH = 3
MODULES = [
    importlib.import_module(f"{operators.__name__}.{each.name}") for each in pkgutil.iter_modules(operators.__path__)
]
CASES = [
    pytest.param(operator, shapes, id=f"{module.__name__.rpartition('.')[2]}-{type(operator).__name__}{index}")
    for module in MODULES
    if hasattr(module, "examples")
    for index, (operator, shapes) in enumerate(module.examples())
]
every_operator = pytest.mark.parametrize(("operator", "shapes"), CASES)


def batches(shapes: Sequence[Shape], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    make = torch.Generator().manual_seed(0)
    return [torch.randn((BATCH, *shape), generator=make, dtype=dtype) for shape in shapes]


def channel_axis(operator: Operator) -> int:
    return -1 if isinstance(operator, Linear) else 0


def channel_scale(operator: Operator, shape: Shape, seed: int, *, signed: bool = False) -> Tensor:
    axis = channel_axis(operator) % len(shape)
    values = torch.rand(shape[axis], generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5
    return scale_of(values - 1 if signed else values, axis, len(shape))


def written(operator: Operator, shapes: Sequence[Shape], output_shape: Shape) -> onnx.ModelProto:
    writer = OnnxWriter()
    inputs = [writer.fresh(f"x{index}") for index in range(len(shapes))]
    operator.to_onnx(writer, inputs, shapes, writer.fresh("y"))
    declared = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        for name, shape in zip(inputs, shapes, strict=True)
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *output_shape])
    graph = helper.make_graph(writer.nodes, "written", declared, [output], writer.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def test_modules_with_examples_are_found() -> None:
    assert len(CASES) > 20


@every_operator
def test_role_is_declared_and_the_operator_cannot_be_changed(operator: Operator, shapes: list[Shape]) -> None:
    assert isinstance(operator.role, Role)
    with pytest.raises(AttributeError, match="cannot assign to field"):
        operator.role = Role.SUM  # type: ignore[misc]


@every_operator
def test_inferred_shape_is_the_real_shape(operator: Operator, shapes: list[Shape]) -> None:
    assert operator.evaluate(batches(shapes)).shape == (BATCH, *operator.infer_shape(shapes))


@every_operator
def test_written_onnx_computes_the_same_in_onnx_runtime(operator: Operator, shapes: list[Shape]) -> None:
    x = batches(shapes)
    model = written(operator, shapes, operator.infer_shape(shapes))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {f"x{index}": each.numpy() for index, each in enumerate(x)})
    np.testing.assert_allclose(output, operator.evaluate(x), rtol=1e-5, atol=1e-5)


@every_operator
def test_samples_of_a_batch_do_not_mix(operator: Operator, shapes: list[Shape]) -> None:
    x = batches(shapes, torch.float64)
    double = operator.mapped(lambda tensor: tensor.double())
    alone = torch.cat([double.evaluate([each[index : index + 1] for each in x]) for index in range(BATCH)])
    torch.testing.assert_close(double.evaluate(x), alone)


@every_operator
def test_weighted_operator_takes_a_rescaling(operator: Operator, shapes: list[Shape]) -> None:
    if operator.role is not Role.WEIGHTED:
        with pytest.raises(IncompatibleScale):
            operator.rescaled(ones(1), ones(1), ones(1))
        return
    output_shape = operator.infer_shape(shapes)
    scale_in = channel_scale(operator, shapes[0], 1)
    scale_out = channel_scale(operator, output_shape, 2)
    shift = channel_scale(operator, output_shape, 3, signed=True)
    (x,) = batches(shapes)
    got = operator.rescaled(scale_in, scale_out, shift).evaluate([x])
    expected = scale_out * operator.evaluate([scale_in.float() * x]) + shift
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


@every_operator
def test_scale_one_changes_nothing(operator: Operator, shapes: list[Shape]) -> None:
    x = batches(shapes)[0]
    if operator.role is Role.WEIGHTED:
        one_in, one_out = ones(len(shapes[0])), ones(len(operator.infer_shape(shapes)))
        assert torch.equal(operator.rescaled(one_in, one_out, 0 * one_out).evaluate([x]), operator.evaluate([x]))
    elif operator.role in (Role.LINEAR, Role.MAXIMUM, Role.IDENTITY):
        carried = operator.carry_scale([ones(len(shape)) for shape in shapes], shapes)
        assert same(carried, ones(1))
        assert carried.ndim == len(operator.infer_shape(shapes))


@every_operator
def test_linear_operator_and_maximum_carry_a_positive_scale_through(operator: Operator, shapes: list[Shape]) -> None:
    if operator.role not in (Role.LINEAR, Role.MAXIMUM, Role.IDENTITY):
        with pytest.raises(IncompatibleScale):
            operator.carry_scale([ones(len(shape)) for shape in shapes], shapes)
        return
    scales = [channel_scale(operator, shape, seed) for seed, shape in enumerate(shapes)]
    x = batches(shapes, torch.float64)
    got = operator.evaluate([scale * each for scale, each in zip(scales, x, strict=True)])
    carried = operator.carry_scale(scales, shapes)
    assert carried.ndim == got.ndim - 1
    torch.testing.assert_close(got, carried * operator.evaluate(x))


@every_operator
def test_operators_that_keep_spikes_put_out_inputs_or_zeros(operator: Operator, shapes: list[Shape]) -> None:
    if operator.keeps_spikes:
        x = batches(shapes)
        allowed = torch.cat([torch.zeros(1), *(each.flatten() for each in x)])
        assert bool(torch.isin(operator.evaluate(x), allowed).all())


@every_operator
@pytest.mark.parametrize("ones_downstream", [True, False])
def test_fan_out_counts_the_connections(operator: Operator, shapes: list[Shape], ones_downstream: bool) -> None:
    if operator.role is Role.ACTIVATION:
        pytest.skip("a layer of neurons is where connections end")
    output_shape = operator.infer_shape(shapes)
    downstream = torch.ones(output_shape, dtype=torch.float64)
    if not ones_downstream:
        downstream = torch.randint(0, 9, output_shape, generator=torch.Generator().manual_seed(5)).double()
    for index, shape in enumerate(shapes):
        counted = torch.zeros(math.prod(shape), dtype=torch.float64)
        reached = connections(operator, shapes, index)
        counted += (reached * downstream[None]).flatten(1).sum(1)
        torch.testing.assert_close(operator.fan_out(downstream, shapes, index), counted.reshape(shape))


def connections(operator: Operator, shapes: Sequence[Shape], index: int) -> Tensor:
    """Push an impulse through each element of an input, under positive weights: what is reached."""
    zeros = [torch.zeros((1, *shape)) for shape in shapes]
    weighted = operator.role is Role.WEIGHTED  # others have no weights that could be anything
    positive = operator.mapped(lambda tensor: tensor.abs() + 0.1) if weighted else operator
    size = math.prod(shapes[index])
    impulses = [each.expand(size, *each.shape[1:]) for each in zeros]
    impulses[index] = torch.eye(size).reshape(size, *shapes[index])
    if operator.role is not Role.MAXIMUM:
        return (positive.evaluate(impulses) - positive.evaluate(zeros)).abs() > 1e-4
    return positive.evaluate(impulses) > 0


@every_operator
def test_mapped_reaches_every_tensor(operator: Operator, shapes: list[Shape]) -> None:
    double = operator.mapped(lambda tensor: tensor.double())
    x = batches(shapes, torch.float64)
    assert double.evaluate(x).dtype == torch.float64
    torch.testing.assert_close(double.evaluate(x).float(), operator.evaluate([each.float() for each in x]))
    assert operator.finite
    assert double.mapped(lambda tensor: tensor * math.nan).finite is not any(
        isinstance(value, Tensor) for value in vars(operator).values()
    )


@every_operator
def test_only_weighted_operators_multiply(operator: Operator, shapes: list[Shape]) -> None:
    macs = operator.macs(shapes)
    assert isinstance(macs, int)
    assert macs >= 0
    if operator.role is not Role.WEIGHTED:
        assert macs == 0


@every_operator
def test_value_without_axes_is_refused(operator: Operator, shapes: list[Shape]) -> None:
    if operator.role in (Role.ACTIVATION, Role.IDENTITY, Role.SUM):
        pytest.skip("it takes values of any shape")
    with pytest.raises(ValueError, match=r"\(\)"):
        operator.infer_shape([()])
