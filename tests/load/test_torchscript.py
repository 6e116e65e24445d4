import ast
import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from snnconvert.errors import ModelError
from snnconvert.load.archive import read_archive
from snnconvert.load.asked import Asked
from snnconvert.load.torch_model import read_torch
from snnconvert.load.torchscript import read_torchscript
from snnconvert.load.torchscript_loops import CHECK, CHECK_MEMBER

PATH = Path("net.pt")
ASKED = Asked(input_shape=(2, 8, 8))
TRUSTED = Asked(input_shape=(2, 8, 8), trust=True)


def convert(content: bytes, asked: Asked = ASKED) -> bytes:
    return read_torch(PATH, content, asked).to_onnx()


def refused(content: bytes, match: str, code: str = "E130", asked: Asked = ASKED) -> ModelError:
    with pytest.raises(ModelError, match=match) as caught:
        convert(content, asked)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
    return caught.value


def test_scripted_network_computes_the_same(
    small: nn.Module, scripted: bytes, difference: Callable[..., float]
) -> None:
    assert difference(small, convert(scripted), torch.randn(3, 2, 8, 8)) < 1e-5


def test_traced_network_computes_the_same_and_tells_its_shape(
    small: nn.Module, to_script: Callable[..., bytes], difference: Callable[..., float]
) -> None:
    model = convert(to_script(small, torch.randn(1, 2, 8, 8)), Asked())
    assert difference(small, model, torch.randn(3, 2, 8, 8)) < 1e-5


def test_shape_of_the_trace_is_believed_before_that_of_the_samples(
    small: nn.Module, to_script: Callable[..., bytes]
) -> None:
    content = to_script(small, torch.randn(1, 2, 6, 6))
    model = onnx.load_from_string(convert(content, Asked(guess_shape=lambda: (2, 8, 8))))
    assert [each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim] == [0, 2, 6, 6]
    model = onnx.load_from_string(convert(content, Asked(input_shape=(2, 8, 8))))
    assert [each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim] == [0, 2, 8, 8]


def test_shape_of_the_samples_is_taken_where_nobody_else_tells(scripted: bytes) -> None:
    assert convert(scripted, Asked(guess_shape=lambda: (2, 8, 8)))


def test_frozen_network_computes_the_same(small: nn.Module, difference: Callable[..., float]) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.freeze(torch.jit.script(small)), buffer)
    assert difference(small, convert(buffer.getvalue()), torch.randn(3, 2, 8, 8)) < 1e-5


def test_trusted_network_computes_the_same(small: nn.Module, scripted: bytes, difference: Callable[..., float]) -> None:
    assert difference(small, convert(scripted, TRUSTED), torch.randn(3, 2, 8, 8)) < 1e-5


def test_network_saved_in_training_mode_is_converted_in_evaluation_mode(
    to_script: Callable[..., bytes], difference: Callable[..., float]
) -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5)).train()
    content = to_script(network)
    assert difference(network.eval(), convert(content), torch.randn(3, 2, 8, 8)) < 1e-5


class Dropping(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, 0.5, True)


def test_dropout_traced_while_active_is_refused(to_script: Callable[..., bytes]) -> None:
    refused(to_script(Dropping(), torch.randn(1, 2, 8, 8)), "exporter changes an output by", "E116")


def test_addresses_of_objects_are_not_told(to_script: Callable[..., bytes]) -> None:
    """They differ from run to run, and tell nobody anything."""

    class Raising(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[1] == 2:
                raise ValueError("<torch.Node object at 0x7f12ab34cd56> of 0x55d0c0ffee, 3x4 expected")
            return x

    told = refused(to_script(Raising()), "<torch.Node object> of, 3x4 expected", "E116")
    assert "0x" not in told.message
    assert told.hint


def test_scripted_network_without_a_shape_is_refused(scripted: bytes) -> None:
    problem = refused(scripted, "does not tell its input shape", "E124", Asked())
    assert problem.hint == "--input-shape 3,224,224"


@pytest.mark.parametrize(("shape", "code"), [((2, 0, 8), "E124"), ((2, 2**20, 2**20), "E122")])
def test_unusable_shape_is_refused(scripted: bytes, shape: tuple[int, ...], code: str) -> None:
    refused(scripted, r"net\.pt", code, Asked(input_shape=shape))


def test_shape_that_the_network_does_not_take_is_refused(scripted: bytes) -> None:
    refused(scripted, "two channels expected", "E116", Asked(input_shape=(3, 8, 8)))


class Fixed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(1, -1)[:, :5] * 2


def test_network_for_one_sample_only_is_converted_with_that_batch(to_script: Callable[..., bytes]) -> None:
    model = onnx.load_from_string(convert(to_script(Fixed(), torch.randn(1, 2, 8, 8))))
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


class Windowed(nn.Module):
    """A window that is computed, behind a padding that hides the shape from torch's exporter."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)))
        return nn.functional.avg_pool2d(x, [x.size(2), x.size(3)]).view(x.size(0), -1)


@pytest.mark.parametrize("traced", [False, True])
def test_computed_window_is_known_while_the_batch_stays_free(
    to_script: Callable[..., bytes], difference: Callable[..., float], traced: bool
) -> None:
    model = convert(to_script(Windowed(), torch.randn(1, 2, 8, 8) if traced else None))
    assert difference(Windowed(), model, torch.randn(7, 2, 8, 8)) < 1e-5


class Several(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        y: torch.Tensor | None = None
        if self.training:
            y = x * 3
        return x * 2, y


def test_output_of_training_alone_does_not_count(to_script: Callable[..., bytes]) -> None:
    model = onnx.load_from_string(convert(to_script(Several())))
    assert model.graph.output[0].name == "output0"


class Mixing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum()


def test_output_that_mixes_samples_is_refused(to_script: Callable[..., bytes]) -> None:
    refused(to_script(Mixing()), r"an output of shape \(\) for 2 samples", "E124")


class Inverted(nn.Module):
    """A shortcut that an attribute turns on, clipped activations, a grouped convolution, a method beside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.use_shortcut: bool = True
        self.layers = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.ReLU6(inplace=True), nn.Conv2d(4, 2, 1))

    def _impl(self, x: torch.Tensor) -> torch.Tensor:
        if self.use_shortcut:
            return x + self.layers(x)
        y: torch.Tensor = self.layers(x)
        return y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 4, "four axes expected"
        return self._impl(x)


class Shuffling(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = torch.cat([x, x * 2], 1).chunk(2, dim=1)
        x = torch.cat([first, second], 1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return x.view(batch, channels, height, width).mean([2, 3])


class Exciting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1), nn.SiLU(inplace=True), nn.Sigmoid())
        self.pool = nn.AdaptiveAvgPool2d((4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(self.pool(self.squeeze(x) * x), 1)


class Listing(nn.Module):
    """Lists of numbers, texts and modules by name."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [1, 2]
        self.names = ["a", "b"]
        self.layers = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(8, 3)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers.values():
            x = layer(x)
        return x * self.sizes[1]


class Growing(nn.Module):
    """A list of features that grows and shrinks, and one that a comprehension makes."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = [x]
        for block in self.blocks:
            features.append(torch.relu(block(features[-1])))
        for first, second in zip(self.blocks, self.blocks, strict=True):
            features.append(first(second(x)))
        last = features.pop()
        return torch.cat([torch.cat(features, 1), last + 1, torch.cat([each(x) for each in self.blocks], 1)], 1)


class Parameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shifts = nn.ParameterList([torch.ones(2, 8, 8), torch.randn(8)])
        self.named = nn.ParameterDict({"a": torch.randn(8), "b": torch.ones(8)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for shift in self.shifts:
            x = x + shift
        return x * self.named["a"]


class Resizing(nn.Module):
    """Resizes and paddings whose code counts axes."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(2, 2, 3, padding="same")
        self.up = nn.ConvTranspose2d(2, 2, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.interpolate(self.same(x), scale_factor=2.0)
        x = nn.functional.interpolate(x, size=(9, 9), mode="bilinear", align_corners=False)
        return self.up(nn.functional.pad(x, (1, 0, 0, 1)))


class Repeating(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.times = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            for _ in range(self.times):
                x = torch.relu(self.conv(x))
        return x


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("kind", [Inverted, Shuffling, Exciting, Listing, Growing, Parameters, Resizing, Repeating])
def test_what_networks_are_written_with_is_accepted(
    to_script: Callable[..., bytes], difference: Callable[..., float], kind: type[nn.Module], traced: bool
) -> None:
    network = kind().eval()
    model = convert(to_script(network, torch.randn(1, 2, 8, 8) if traced else None))
    assert difference(network, model, torch.randn(3, 2, 8, 8)) < 1e-5


class Untranslatable(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, (3, 5))


def test_operator_without_an_onnx_form_is_named(to_script: Callable[..., bytes]) -> None:
    problem = refused(to_script(Untranslatable(), torch.randn(1, 2, 8, 8)), "adaptive_avg_pool2d", "E120")
    assert "no ONNX form" in problem.message


class Two(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


def test_two_inputs_are_refused(to_script: Callable[..., bytes]) -> None:
    refused(to_script(Two()), "one tensor expected as input of the network, got 2", "E124")


class Saving(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.path)
        return x * 2


class SavingWhenLoaded(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.path)


class Mapping(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file(self.path, True, 4).sum()


@pytest.mark.parametrize(
    ("attack", "match"),
    [
        (Saving, r"net\.pt: code/__torch__.*\.py:\d+: the operator torch\.save is not one"),
        (SavingWhenLoaded, "defines __[gs]etstate__, which runs when the file is loaded"),
        (Mapping, r"the operator torch\.from_file is not one"),
    ],
)
def test_network_that_touches_files_is_refused_and_touches_none(
    to_script: Callable[..., bytes], tmp_path: Path, attack: Callable[[str], nn.Module], match: str
) -> None:
    victim = tmp_path / "victim"
    content = to_script(attack(str(victim)))
    victim.unlink(missing_ok=True)
    assert "--trust-model" in str(refused(content, match).hint)
    assert list(tmp_path.iterdir()) == []
    convert(content, TRUSTED)
    assert victim.exists()  # so the attack is a real one


class Waiting(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while bool(x.sum() < 5):
            x = x + 0
        return x


class Continuing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for index in range(3):
            if index == 1:
                continue
            x = x + 1
        return x


@pytest.mark.parametrize("network", [Waiting(), Continuing()])
def test_loop_that_runs_while_something_holds_is_refused_with_its_line(
    to_script: Callable[..., bytes], network: nn.Module
) -> None:
    problem = refused(to_script(network), r"code/__torch__.*\.py:\d+: 'while .*': a loop, which may never end")
    assert "torch.jit.trace" in str(problem.hint)


class Huge(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, 1000, 1000, 1000) + torch.zeros(1099511627776)


class Large(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, 1, 9000, 9000)


def test_value_of_terabytes_is_refused_before_it_is_made(to_script: Callable[..., bytes]) -> None:
    refused(to_script(Large()), r"a value of shape .*, more than \d+ elements", "E122")
    refused(to_script(Huge()), r"zeros with a size of 2\*\*31 or more", "E122")


def doubling(depth: int) -> bytes:
    functions = ["def f0(x: Tensor) -> Tensor:\n  return torch.relu(x)"]
    for index in range(1, depth):
        last = f"__torch__.more.f{index - 1}"
        functions.append(f"def f{index}(x: Tensor) -> Tensor:\n  return {last}({last}(x, ), )")
    return "\n".join(functions).encode()


def test_calls_that_double_sixty_times_are_refused(scripted: bytes) -> None:
    members = read_archive(PATH, scripted)
    with pytest.raises(ModelError, match=r"runs more than 50000 operations") as caught:
        read_torchscript("net.pt", members | {"code/__torch__/more.py": doubling(60)})
    assert caught.value.code == "E121"
    assert read_torchscript("net.pt", members | {"code/__torch__/more.py": doubling(10)})


LOOPS = {
    "range(1000000000)": "pass",
    "range(50001)": "pass",
    "range(49999)": "y = torch.relu(x)",
    "range(200)": "for j in range(200):\n        for k in range(2):\n          pass",
    "range(torch.dim(x))": "for j in range(torch.dim(x)):\n        for k in range(torch.dim(x)):\n          pass",
    "range(" + "9" * 18 + ")": "for j in range(" + "9" * 18 + "):\n        pass",
    "range(40000)": "y = __torch__.more.twice(x, )",
}


def with_loop(turns: str, body: str, before: str = "pass") -> bytes:
    twice = "def twice(x: Tensor) -> Tensor:\n  return torch.add(torch.relu(x), x)\n"
    loop = f"  {before}\n  for i in {turns}:\n      {body}\n  return x"
    return f"{twice}def looping(x: Tensor, count: int=3) -> Tensor:\n{loop}".encode()


@pytest.mark.parametrize("turns", LOOPS)
def test_loop_whose_turns_multiply_beyond_the_limit_is_refused(scripted: bytes, turns: str) -> None:
    members = read_archive(PATH, scripted)
    with pytest.raises(ModelError, match=r"'__torch__\.more\.looping' runs more than 50000 operations") as caught:
        read_torchscript("net.pt", members | {"code/__torch__/more.py": with_loop(turns, LOOPS[turns])})
    assert caught.value.code == "E121"
    assert read_torchscript("net.pt", members | {"code/__torch__/more.py": with_loop("range(99)", "pass")})


def test_recursion_through_a_loop_is_refused(scripted: bytes) -> None:
    members = read_archive(PATH, scripted)
    more = with_loop("range(0)", "y = __torch__.more.looping(x, )")
    with pytest.raises(ModelError, match=r"'__torch__\.more\.looping' calls itself"):
        read_torchscript("net.pt", members | {"code/__torch__/more.py": more})


def test_check_of_loops_cannot_be_replaced(scripted: bytes) -> None:
    members = read_archive(PATH, scripted)
    fake = b"def turns(count: int) -> int:\n  return count"
    with pytest.raises(ModelError, match=r"net\.pt: code/.*: a name that is kept for checks of loops"):
        read_torchscript("net.pt", members | {CHECK_MEMBER: fake})


@pytest.mark.parametrize(
    ("turns", "before"),
    [
        ("range(count)", "pass"),
        ("range(n)", "n = 3"),
        ("range(n)", "n = 3\n  n = torch.mul(n, n)"),
        ("range(torch.len(n))", "n = [1]"),
        ("range(torch.numel(x))", "pass"),
        ("range(__torch__.more.twice(x, ))", "pass"),
        ("range(-1)", "pass"),
        ("range(True)", "pass"),
    ],
)
def test_computed_number_of_turns_is_checked_while_the_network_runs(scripted: bytes, turns: str, before: str) -> None:
    members = read_archive(PATH, scripted) | {"code/__torch__/more.py": with_loop(turns, "count = 2", before)}
    after = read_torchscript("net.pt", members)
    count = turns.removeprefix("range").removeprefix("(").removesuffix(")")
    text = after["code/__torch__/more.py"].decode()
    assert ast.unparse(ast.parse(f"range({CHECK}({count}))")) in text


class Repeated(nn.Module):
    """Runs as many times as a list, which doubles, is long."""

    def __init__(self, doublings: int) -> None:
        super().__init__()
        self.doublings = doublings

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turns = [1]
        for _ in range(self.doublings):
            turns = turns + turns
        for _ in range(len(turns)):
            turns.append(1)
            x = x + 1
        return x


def test_loop_of_computed_length_runs_to_its_limit_and_no_further(
    to_script: Callable[..., bytes], difference: Callable[..., float]
) -> None:
    x = torch.randn(3, 2, 8, 8)
    assert difference(Repeated(6), convert(to_script(Repeated(6))), x) < 1e-5
    refused(to_script(Repeated(7)), "a loop of more than 64 turns", "E116")


def with_code(content: bytes, source: str, member: str = "code/__torch__/more.py") -> dict[str, bytes]:
    return read_torchscript("net.pt", read_archive(PATH, content) | {member: source.encode()})


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (  # torch reads an attribute of whatever the argument is
            "class A(Module):\n  x : int\ndef read(a: __torch__.more.A) -> int:\n  return a.x",
            "the type of the argument 'a'",
        ),
        (
            "class A(Module):\n  x : int\n  def read(self: int) -> int:\n    return self",
            "the type of the argument 'self'",
        ),
        (
            "class A(Module):\n  x : int\n  def read(self: __torch__.more.A) -> int:\n    return self.x\n"
            "def call(x: Tensor) -> int:\n  return __torch__.more.A.read(x, )",
            "a method without its object",
        ),
        ("def cast(x: Tensor) -> int:\n  a, b = unchecked_cast(Tuple[int, int], x)\n  return b", "unchecked_cast"),
        ("def number(x: Tensor) -> int:\n  return 0x" + "f" * 6000, "a number of more than 64 bits"),
        ("def alias(x: Tensor) -> Tensor:\n  return torch._reshape_alias(x, [1, 99], [1, 1])", "_reshape_alias"),
        (
            "def norm(x: Tensor) -> Tensor:\n  return torch.native_batch_norm(x, x, x, x, x, True, 0., 0.)",
            "native_batch",
        ),
    ],
)
def test_what_torch_would_believe_without_looking_is_refused(scripted: bytes, source: str, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        with_code(scripted, source)
    assert caught.value.code == "E130"


def test_class_in_the_place_of_one_of_torch_itself_is_refused(scripted: bytes) -> None:
    with pytest.raises(ModelError, match="where torch has classes of its own"):
        with_code(scripted, "class Net(NamedTuple):\n  x : int", "code/__torch__/torch/classes/net.py")


@pytest.fixture(scope="module")
def simple(to_script: Callable[..., bytes]) -> bytes:
    class Simple(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = 2.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.flatten(x, 1) * self.scale

    return to_script(Simple())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("torch.flatten(", "ops.prim.PythonOp("),
        ("torch.flatten(", "ops.quantized.flatten("),
        ("torch.flatten(", "torch.load("),
        ("torch.flatten(", "print("),
        ("torch.flatten(", "open("),
        ("torch.flatten(", "__torch__.evil("),
        ("torch.flatten(x, 1)", "x.save(x)"),
        ("torch.flatten(x, 1)", "x.forward(x)"),
        ("torch.flatten(x, 1)", "x.data"),
        ("torch.flatten(x, 1)", "(lambda: x)()"),
        ("torch.flatten(x, 1)", "[x for x in x]"),
        ("torch.flatten(x, 1)", "torch.flatten(CONSTANTS.c99, 1)"),
        ("torch.flatten(x, 1)", "torch.flatten(self, 1)"),
        ("torch.flatten(x, 1)", "torch.flatten(*[x])"),
        ("torch.flatten(x, 1)", "torch.flatten(**x)"),
        ("torch.flatten(x, 1)", "(self).forward(x, )"),
        ("torch.flatten(x, 1)", "getattr(self, x)"),
        ("torch.flatten(x, 1)", "getattr(torch, 'save')(x, 'evil')"),
        ("torch.flatten(x, 1)", "annotate(__torch__.evil, x)"),
        ("torch.flatten(x, 1)", "x if x else x"),
        ("torch.flatten(x, 1)", "b'x'"),
        ("self.scale", "self.evil"),
        ("scale : float", "scale : __torch__.torch.classes.evil.Class"),
        ("scale : float", "scale : Future[int]"),
        ("training : bool", "__forward_hooks__ = []\n  training : bool"),
        ("training : bool", "evil = print(1)\n  training : bool"),
        ("training : bool", "evil : Final[int] = print(1)\n  training : bool"),
        ("(Module)", "(Interface)"),
        ("(Module)", "(Module, metaclass=evil)"),
        ("class ", "import os\nclass "),
        ("class ", "@evil\nclass "),
        ("    scale = ", "    torch = x\n    scale = "),
        ("    scale = ", "    self.scale = 1.0\n    scale = "),
        ("    scale = ", "    del x\n    scale = "),
        ("    scale = ", "    with x:\n      pass\n    scale = "),
        ("    scale = ", "    global x\n    scale = "),
        ("    scale = ", "    for i in [1]:\n      pass\n    scale = "),
        ("    scale = ", "    for i in range(3):\n      pass\n    else:\n      pass\n    scale = "),
        ("    scale = ", "    for i in range(1, 3):\n      pass\n    scale = "),
        ("    scale = ", "    for i, j in range(3):\n      pass\n    scale = "),
        ("    scale = ", "    for self in range(3):\n      pass\n    scale = "),
        ("    scale = ", "    for torch in range(3):\n      pass\n    scale = "),
        ("    scale = ", "    for range in range(3):\n      pass\n    scale = "),
        ("    scale = ", "    for i in range(self):\n      pass\n    scale = "),
        ("    scale = ", "    for i in range(3):\n      self = i\n    scale = "),
        ("    scale = ", "    for i in range(3):\n      torch.save(x, 'evil')\n    scale = "),
        ("    scale = ", "    for i in range(torch.save(x, 'evil')):\n      pass\n    scale = "),
        ("    scale = ", "    for i in range(3):\n      (self).forward(x, )\n    scale = "),
        ("    scale = ", "    y = torch.append([x], self)\n    scale = "),
        ("  def forward", "  def __setstate__(self, x: int) -> None:\n    pass\n  def forward"),
        ("class ", "\0class "),
        ("class ", "('" * 300 + "class "),
        ("class ", "x = " + "-" * 9999 + "1\nclass "),
        ("class ", "é = 1\nclass "),
    ],
)
def test_code_that_no_network_needs_is_refused(
    simple: bytes, edit_archive: Callable[..., bytes], old: str, new: str
) -> None:
    (member,) = [name for name in read_archive(PATH, simple) if name.endswith(".py")]

    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    refused(edit_archive(simple, {member: change}), r"net\.pt: code/__torch__")


def test_harmless_change_of_that_code_is_accepted(simple: bytes, edit_archive: Callable[..., bytes]) -> None:
    (member,) = [name for name in read_archive(PATH, simple) if name.endswith(".py")]
    changed = edit_archive(simple, {member: lambda data: data.replace(b"torch.flatten(x, 1)", b"torch.relu(x)")})
    assert convert(changed) != convert(simple)


def test_torch_gets_nothing_of_the_file_but_what_was_checked(scripted: bytes) -> None:
    before = read_archive(PATH, scripted)
    hidden = {
        "extra/evil": b"evil",
        "code/__torch__.py.debug_pkl": b"evil",
        "bytecode.pkl": b"evil",
        "data/evil": b"evil",
    }
    after = read_torchscript("net.pt", before | hidden)
    assert b"evil" not in b"".join(after.values())
    assert after["data.pkl"] != before["data.pkl"]


def test_code_is_written_from_the_tree_that_was_checked(scripted: bytes) -> None:
    comment = b"# torch.save(x, 'evil')\r\x0c\n"
    members = read_archive(PATH, scripted)
    name = next(name for name in members if name.endswith(".py"))
    after = read_torchscript("net.pt", members | {name: comment + members[name]})
    assert after[name] == (ast.unparse(ast.parse(members[name])) + "\n").encode()


class Reduced:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_that_calls_a_function_is_refused_and_not_run(
    scripted: bytes, edit_archive: Callable[..., bytes], tmp_path: Path, member: str, protocol: int
) -> None:
    payload = pickle.dumps(Reduced(tmp_path / "victim"), protocol)
    refused(edit_archive(scripted, {member: payload}), rf"net\.pt: {member}: the pickle ")
    assert list(tmp_path.iterdir()) == []
    pickle.loads(payload)  # noqa: S301 - so the payload is a real one
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"FloatStorage", b"QInt8Storage", "the pickle refers to torch.QInt8Storage"),
        (b"_rebuild_tensor_v2", b"_rebuild_sparse_tn", "refers to torch._utils._rebuild_sparse_tn"),
        (b"Linear\n", b"Linnnn\n", "is not of type __torch__.torch.nn.modules.linear"),
        (b"(K\x03K\x08t", b"(K\x03K\x09t", r"a tensor of shape \(3, 9\) leaves its storage"),
        (b"doubled", b"boubled", "'doubled' of .* is not of type bool"),
        (b"G?\xf8", b"M\x00\x010", "the pickle uses POP"),
        (b"K\x03", b"\x88", "the pickle is broken"),
    ],
)
def test_value_that_does_not_fit_is_refused(
    scripted: bytes, edit_archive: Callable[..., bytes], old: bytes, new: bytes, match: str
) -> None:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new)

    refused(edit_archive(scripted, {"data.pkl": change}), match)


def test_truncated_pickle_is_refused(scripted: bytes, edit_archive: Callable[..., bytes]) -> None:
    refused(edit_archive(scripted, {"data.pkl": lambda data: data[:50]}), "the pickle is broken")


def test_storage_of_another_length_is_refused(scripted: bytes, edit_archive: Callable[..., bytes]) -> None:
    refused(
        edit_archive(scripted, {"data/0": lambda data: data[:-4]}), r"storage 'data/0': expected \d+ bytes, got \d+"
    )


def test_missing_storage_is_refused(scripted: bytes, edit_archive: Callable[..., bytes]) -> None:
    refused(edit_archive(scripted, {"data/0": None}), r"storage 'data/0': expected \d+ bytes, got 0")


def test_big_endian_numbers_are_refused(scripted: bytes, edit_archive: Callable[..., bytes]) -> None:
    refused(edit_archive(scripted, {"byteorder": b"big"}), "big-endian")


def test_unknown_version_is_refused(scripted: bytes, edit_archive: Callable[..., bytes]) -> None:
    refused(edit_archive(scripted, {"version": b"evil"}), "names no version")
