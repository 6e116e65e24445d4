import pickle
import pickletools
import struct
from typing import Any

import pytest

from snnconvert.errors import ModelError
from snnconvert.load.torch_pickle import Global, Object, Reader, Storage, Tagged, Tensor, TypedList, global_names
from snnconvert.load.torch_pickle_writer import Writer

TENSOR = Tensor(Storage("FloatStorage", "0", 6), 0, (2, 3), (3, 1), True)


def read(content: bytes) -> Any:
    return Reader("net.pt: data.pkl").read(content)


def refused(content: bytes, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        read(content)
    assert caught.value.code == "E130"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**31,
        -(2**63),
        2**63 - 1,
        0.1,
        float("inf"),
        "",
        "é\n",
        (),
        (1,),
        (1, (2.5, None)),
    ],
)
def test_plain_value_is_read_as_it_was_written(value: Any) -> None:
    assert read(Writer("").write(value)) == value


def test_objects_and_tensors_are_read_as_they_were_written() -> None:
    inner = Object("__torch__.nn.Inner", {"weight": TENSOR, "sizes": TypedList("build_intlist", [1, 2])})
    outer = Object("__torch__.Outer", {"0": inner, "1": inner, "names": Tagged("List[str]", ["a"]), "w": TENSOR})
    got = read(Writer("").write(outer))
    assert got.type == "__torch__.Outer"
    assert got.state["0"] is got.state["1"]
    assert got.state["w"] is got.state["0"].state["weight"]
    assert vars(got.state["w"]) == vars(TENSOR)
    assert vars(got.state["0"].state["sizes"]) == {"builder": "build_intlist", "items": [1, 2]}
    assert vars(got.state["names"]) == {"type": "List[str]", "value": ["a"]}


def test_empty_object_is_read_as_it_was_written() -> None:
    assert read(Writer("").write(Object("__torch__.Empty", {}))).state == {}


def test_pythons_own_unpickler_agrees_on_plain_values() -> None:
    value = ((1, 2.5, "x"), [True, None], {"a": (2**40,)})
    assert pickle.loads(Writer("").write(value)) == value  # noqa: S301
    assert read(Writer("").write(value)) == value


def test_list_that_holds_itself_is_refused() -> None:
    refused(b"\x80\x02]q\x00(h\x00e.", "the pickle uses BINPUT where no TorchScript file needs it")


def test_value_that_grows_by_sharing_is_refused() -> None:
    tuples = b"(" + b"h\x00" * 100 + b"tq\x00"
    value = read(b"\x80\x02(K\x01q\x00" + tuples * 4 + b"t.")
    with pytest.raises(ModelError, match="more than 1000000 values"):
        Writer("net.pt").write(value)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "the pickle is broken"),
        (b".", "the pickle is broken"),
        (b"\x80\x02K\x01K\x02.", "the pickle is broken"),
        (b"\x80\x02t.", "the pickle is broken"),
        (b"\x80\x02h\x07.", "the pickle is broken"),
        (b"\x80\x02K\x01\x87.", "the pickle is broken"),
        (b"\x80\x02(K\x01K\x020t.", "the pickle uses POP"),
        (b"\x80\x02cos\nsystem\n.", "the pickle refers to os.system"),
        (b"\x80\x02cbuiltins\neval\n.", "the pickle refers to builtins.eval"),
        (b"\x80\x02c__torch_evil__\nx\n.", "the pickle refers to __torch_evil__.x"),
        (b"\x80\x02c__torch__\nx\n)R.", "the pickle calls __torch__.x"),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "the pickle uses NEWOBJ where"),
        (b"\x80\x02}}b.", "the pickle uses BUILD where"),
        (b"\x80\x02(i__torch__\nx\n.", "the pickle uses INST"),
        (b"\x80\x02\x82\x01.", "the pickle uses EXT1"),
        (b"\x80\x02S'x'\n.", "the pickle uses STRING"),
        (b"\x80\x02r" + struct.pack("<I", 2**32 - 1) + b".", "the pickle is broken"),
    ],
)
def test_other_pickle_is_refused(content: bytes, match: str) -> None:
    refused(content, match)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_names_are_found_in_every_protocol(protocol: int) -> None:
    content = pickle.dumps([Global("a", "b"), pickletools.dis, Global("c", "d"), pickletools.genops], protocol)
    names = global_names(content)
    for name in ("dis", "genops"):
        assert Global("pickletools", name) in names
    assert Global("snnconvert.load.torch_pickle", "Global") in names


@pytest.mark.parametrize("value", [{(1,): 2, "a": 1}, {None: 1, "a": 1}, {0.5: 1, "a": 1}])
def test_key_that_is_neither_text_nor_a_number_is_refused(value: dict[Any, int]) -> None:
    refused(pickletools.optimize(pickle.dumps(value, 2)), "uses SETITEMS where no TorchScript file needs it")


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**200])
def test_number_beyond_64_bits_is_refused(value: int) -> None:
    refused(pickle.dumps(value, 2), "uses LONG1 where no TorchScript file needs it")
