import pytest
import sympy

from snnconvert.load.symbolic import rewritten

BATCH = "Symbol('s77', positive=True, integer=True)"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (BATCH, 6),
        ("s77", 6),
        ("12", 12),
        ("-1", -1),
        (f"Mul(Integer(4), {BATCH})", 24),
        (f"Add(Integer(-2), Mul(Integer(3), {BATCH}))", 16),
        ("2*s77 + 1", 13),
        ("(s77 - 2)*3", 12),
        (f"4*{BATCH} - 1", 23),
    ],
)
def test_formula_keeps_its_value(text: str, value: int) -> None:
    symbol = sympy.Symbol("s77", positive=True, integer=True)
    assert sympy.sympify(rewritten(text)).subs(symbol, 6) == value


def test_whole_division_is_kept() -> None:
    assert rewritten("s1//2") == "FloorDiv(Symbol('s1', positive=True, integer=True), Integer(2))"


def test_what_torch_writes_stays_as_it_is() -> None:
    assert rewritten(BATCH) == BATCH


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('id')",
        "print(1)",
        "s77.__class__",
        "[s77][0]",
        "s77**99999999",
        "Pow(s77, 2)",
        "Symbol('x y')",
        "Symbol('s77', cls=print)",
        "Symbol(print(1))",
        "Symbol('s77')(1)",
        "Integer(print(1))",
        "Integer(Integer(1))",
        "lambda: 1",
        "(s77 := 1)",
        "1.5",
        "True",
        "'s77'",
        "x",
        "Eq(s77, 1)",
        f"Integer({2**63})",
        "",
        "1;1",
        "s77 if s77 else 1",
        "-" * 3000 + "1",
        "(" * 1000 + "1" + ")" * 1000,
        "1+" * 5000 + "1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        rewritten(text)


def test_product_of_sums_that_multiplies_out_to_millions_of_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="a product of 20 symbols"):
        rewritten("*".join(f"(s1 + s2 + {number})" for number in range(20)))
    assert rewritten("(s1 + 1)*(s2 + 1)*s3//2")


def test_product_of_long_sums_is_refused_before_sympy_multiplies_it_out() -> None:
    few, many = ("(" + "+".join(f"s{index}" for index in range(count)) + ")" for count in (8, 200))
    assert rewritten("*".join([few] * 4))
    with pytest.raises(ValueError, match="200 symbols"):
        rewritten("*".join([many] * 4))
