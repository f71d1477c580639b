"""The derivation value: a step that does not follow is refused, and what is accepted can be shown and evaluated."""

import dataclasses

import numpy as np
import pytest
import sympy as sp

from pctheory.symbolic import Chain, Derivation, Network, Step, derivations, derive, vanishes
from pctheory.symbolic.elimination import eigenvalues, invert, resultant, roots, same_zeros, take_determinant
from pctheory.symbolic.exact import characteristic_polynomial, determinant, inverse, solution
from pctheory.symbolic.induction import letters
from pctheory.symbolic.rules import (
    algebra,
    average,
    differentiate,
    gaussian_mean,
    integrate,
    limit,
    mixed_derivative,
    second_derivatives,
    second_derivatives_at_zero,
    second_derivatives_of_minimum,
    sign,
    solve,
    substitute,
)
from pctheory.symbolic.words import rewrite

x, y, z = sp.symbols("x y z", real=True)
p = sp.Symbol("p", positive=True)
A, At, Ai = letters("A A' A~")

TRUE_STEPS = {
    "algebra": ((x + y) ** 2, x**2 + 2 * x * y + y**2, algebra()),
    "gradient": (x**2 * y, sp.Matrix([2 * x * y, x**2]), differentiate(x, y)),
    "hessian": (x**2 * y, sp.Matrix([[2 * y, 2 * x], [2 * x, 0]]), second_derivatives(x, y)),
    "hessian at zero": (
        (1 - x * y) ** 2 / 2,
        sp.Matrix([[0, -1], [-1, 0]]),
        second_derivatives_at_zero(x, y),
    ),
    "hessian of a minimum": (
        z**2 / 2 + x * z,
        sp.S.NegativeOne,
        second_derivatives_of_minimum([x], [z], {x: 0, z: 0}),
    ),
    "mixed derivative": (x**2 * y, 2 * x, mixed_derivative(x, y)),
    "substitution": (x + y**2, z + 4, substitute({x: z, y: sp.Integer(2)})),
    "simultaneous substitution": (x - 2 * y, y - 2 * x, substitute({x: y, y: x})),
    "linear system": (sp.Matrix([x + y - p, x - y]), sp.Matrix([p / 2, p / 2]), solve(x, y)),
    "integral": (sp.exp(-p * x**2 / 2), sp.sqrt(2 * sp.pi / p), integrate(x)),
    "limit": ((1 + 1 / p) ** p, sp.E, limit(p, sp.oo)),
    "mean": ((y - x) ** 2, z - 2 * p + 1, average({x**2: sp.S.One, x * y: p, y**2: z})),
    "normal mean": ((x + y) ** 4, 12, gaussian_mean(x, y)),
    "determinant": (sp.Matrix([[x, y], [y, x]]), x**2 - y**2, take_determinant()),
    "inverse": (sp.Matrix([[1, x], [0, 1]]), sp.Matrix([[1, -x], [0, 1]]), invert()),
    "eigenvalues": (sp.Matrix([[0, x], [x, 0]]), sp.Matrix([[x, -x]]), eigenvalues(z)),
    "roots": (2 * z**2 - 2 * p, sp.Matrix([[sp.sqrt(p), -sp.sqrt(p)]]), roots(z)),
    "resultant": (sp.Matrix([x * y - 1, x - y]), 1 - y**2, resultant(x)),
    "sign": (x**2 + 2 * x + 2, (x + 1) ** 2 + 1, sign(">")),
    "matrix algebra": (A * Ai * At, At, rewrite({A * Ai: sp.S.One})),
}


def altered(expression, change):
    """The expression (the first non-zero entry of a matrix) with one change."""
    if not isinstance(expression, sp.MatrixBase):
        return change(sp.sympify(expression))
    matrix = sp.Matrix(expression)
    place = next((i for i, entry in enumerate(matrix) if entry != 0), 0)
    matrix[place] = change(matrix[place])
    return matrix


CHANGES = {
    "sign": lambda entry: -entry if entry != 0 else sp.S.One,
    "factor one half": lambda entry: entry / 2 if entry != 0 else sp.S.Half,
    "one part in ten million": lambda entry: (
        entry * (1 + sp.Rational(1, 10**7)) if entry != 0 else sp.Rational(1, 10**7)
    ),
}


@pytest.mark.parametrize("name", TRUE_STEPS)
def test_a_step_that_follows_is_accepted(name):
    before, after, rule = TRUE_STEPS[name]
    step = Step(name, before, after, rule)
    assert step.rule is rule


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", TRUE_STEPS)
def test_a_step_with_a_wrong_right_side_is_refused_by_name(name, change):
    before, after, rule = TRUE_STEPS[name]
    with pytest.raises(ValueError, match=f"Step `{name}`"):
        Step(name, before, altered(after, CHANGES[change]), rule)


# One small case of every claim: each of its steps must notice each change.
SMALL = [
    next((name for name in derivations(claim) if name.endswith("chain-2")), next(iter(derivations(claim))))
    for claim in dict.fromkeys(name.split("/")[0] for name in derivations())
]


@pytest.mark.parametrize("name", SMALL)
def test_breaking_any_step_of_a_derivation_is_noticed(name):
    for step in derive(name).steps:
        for label, change in CHANGES.items():
            if "same zeros" in step.rule.name:
                continue  # a multiple of a polynomial has the same zeros: see the test below
            with pytest.raises(ValueError, match="Step"):
                Step(
                    f"{step.statement} ({label})",
                    step.before,
                    altered(step.after, change),
                    step.rule,
                    step.where,
                )


def test_other_zeros_are_noticed():
    step = derive("critical-points/noisy-chain-2").steps[-1]
    assert "same zeros" in step.rule.name
    for place in range(3):
        other = sp.Matrix(step.after)
        other[place] += 1
        with pytest.raises(ValueError, match="Step"):
            Step(step.statement, step.before, other, step.rule)
    with pytest.raises(ValueError, match="Step"):
        Step("only one of them", sp.Matrix([x * y, x]), sp.Matrix([x, y]), same_zeros(x, y))


def test_a_sign_needs_a_certificate():
    with pytest.raises(ValueError, match="visibly"):
        Step("not visible", x**2 + 2 * x + 2, x**2 + 2 * x + 2, sign(">"))
    with pytest.raises(ValueError, match="visibly"):
        Step("not strict", x**2, x**2, sign(">"))
    with pytest.raises(ValueError, match="must be one of"):
        sign("=")


def test_a_solution_must_be_the_only_one():
    with pytest.raises(ValueError, match="regular"):
        Step("free", sp.Matrix([x - y, 2 * x - 2 * y]), sp.Matrix([z, z]), solve(x, y))
    with pytest.raises(ValueError, match="linear"):
        Step("one of two roots", x**2 - 1, sp.S.One, solve(x))


def test_a_minimum_must_be_stationary():
    with pytest.raises(ValueError, match="stationary"):
        Step("off", z**2 / 2 + x * z, sp.S.NegativeOne, second_derivatives_of_minimum([x], [z], {x: 0, z: 1}))


def test_a_mean_is_of_quadratic_forms_only():
    with pytest.raises(ValueError, match="quadratic"):
        Step("cubic", x**3, x, average({x**2: p}))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shape"):
        Step("a column for a row", sp.Matrix([[x, y]]), sp.Matrix([x, y]), algebra())


def test_all_roots_must_be_named():
    with pytest.raises(ValueError, match="leaves 1"):
        Step("one root of two", z**2 - 1, sp.Matrix([[1]]), roots(z))


def test_words_keep_their_order():
    assert vanishes(rewrite({}).defect(A * At, A * At))
    assert not vanishes(rewrite({}).defect(A * At, At * A))
    assert not vanishes(rewrite({A * Ai: sp.S.One}).defect(Ai * A, sp.S.One))


def test_zero_is_decided_exactly():
    assert vanishes(1 / (x + y) - (x - y) / (x**2 - y**2))
    assert not vanishes(1 / (x + y) - (x - y) / (x**2 - y**2) + sp.Rational(1, 10**30))
    assert vanishes(sp.sqrt(p) ** 3 - p * sp.sqrt(p))
    assert not vanishes(sp.sqrt(p) - p)  # a root must not be read as a power with a whole exponent
    assert not vanishes(sp.sqrt(2) - 1)
    assert vanishes(sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1)
    with pytest.raises(ValueError, match="denominator"):
        vanishes(sp.Pow(sp.Add(sp.Mul(x + y, x + y), -(x**2), -2 * x * y, -(y**2)), -1) + x)


def test_exact_linear_algebra_agrees_with_numpy(rng):
    numbers = rng.integers(-5, 6, (4, 4)) + 7 * np.eye(4, dtype=int)
    matrix = sp.Matrix(numbers.tolist())
    assert float(determinant(matrix)) == pytest.approx(np.linalg.det(numbers), rel=1e-12)
    np.testing.assert_allclose(
        np.array(inverse(matrix).tolist(), dtype=float), np.linalg.inv(numbers), rtol=1e-12
    )
    right = rng.integers(-5, 6, 4)
    unknowns = sp.symbols("u_1:5")
    found = solution(list(matrix * sp.Matrix(unknowns) - sp.Matrix(right.tolist())), unknowns)
    np.testing.assert_allclose(
        np.array(found.tolist(), dtype=float).ravel(), np.linalg.solve(numbers, right), rtol=1e-12
    )
    coefficients = sp.Poly(characteristic_polynomial(matrix, z), z).all_coeffs()
    np.testing.assert_allclose(np.array(coefficients, dtype=float), np.poly(numbers), rtol=1e-10)


def test_a_derivation_is_a_value():
    proof = derive("equilibrated-energy/chain-2")
    assert derive("equilibrated-energy/chain-2") is proof
    assert isinstance(proof.steps, tuple)
    with pytest.raises(dataclasses.FrozenInstanceError):
        proof.title = "other"
    with pytest.raises(TypeError):
        proof.steps[0].where[x] = y
    with pytest.raises(ValueError, match="at least one step"):
        Derivation("toy", "nothing", ())


def test_a_derivation_shows_itself_as_latex():
    for name in (
        "equilibrated-energy/chain-3",
        "equilibrated-energy/induction",
        "strict-saddles/counterexample",
    ):
        proof = derive(name)
        fragment, display = proof.to_latex(), proof._repr_latex_()
        assert fragment.count(r"\item") == len(proof.steps)
        assert fragment.count(r"\begin{align*}") == fragment.count(r"\end{align*}") == len(proof.steps)
        assert (display[0], display[-1]) == ("$", "$")
        for text in (fragment, display):
            assert text.count("{") == text.count("}")
            assert text.count(r"\left") == text.count(r"\right")
        assert name.split("/")[0] in repr(proof)


def test_a_long_sum_is_shown_by_its_ends():
    total = sp.Add(*sp.symbols("c_1:31"))
    step = Step("long", total, total, algebra())
    text = Derivation("toy", "long", (step,)).to_latex()
    assert r"\cdots" in text
    assert "c_{1}" in text
    assert "c_{15}" not in text


def test_the_result_becomes_a_numpy_function():
    proof = derive("equilibrated-energy/chain-1")
    arguments = sorted(proof.result.free_symbols, key=str)
    values = np.linspace(0.5, 1.5, 4)
    np.testing.assert_allclose(
        proof.lambdify()(*([values] * len(arguments))), 0.5 * values * (values - values**3) ** 2, rtol=1e-14
    )
    swapped = proof.lambdify(*reversed(arguments))
    assert swapped(*range(len(arguments), 0, -1)) == proof.lambdify()(*range(1, len(arguments) + 1))


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="equilibrated-energy/chain-1"):
        derive("equilibrated-energy/chain-99")
    with pytest.raises(ValueError, match="strict-saddles"):
        derivations("no-such-claim")
    with pytest.raises(ValueError, match="at least 1"):
        Chain(0)
    with pytest.raises(ValueError, match="two or more"):
        Network((3,))
    with pytest.raises(ValueError, match="equal in the layers"):
        Network((1, 2, 3, 1), skips=True)


def test_nothing_is_derived_before_it_is_asked_for():
    before = derive.cache_info().misses
    assert all(callable(builder) for builder in derivations().values())
    assert derive.cache_info().misses == before


@pytest.mark.parametrize("name", derivations())
def test_every_derivation_builds_and_bears_the_claim_of_its_name(name):
    assert derive(name).claim == name.split("/")[0]
