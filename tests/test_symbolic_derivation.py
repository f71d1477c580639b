"""The derivation value: steps that do not follow or do not join are refused, the rest is shown."""

import dataclasses

import numpy as np
import pytest
import sympy as sp

from pctheory.symbolic import Chain, Derivation, Network, Step, derivations, derive, vanishes
from pctheory.symbolic.balance import moments
from pctheory.symbolic.cases import _built
from pctheory.symbolic.chain import BATCH, ENERGY, EQUILIBRATED, LOSS, RESCALING
from pctheory.symbolic.elimination import eigenvalues, invert, resultant, roots, same_zeros, take_determinant
from pctheory.symbolic.exact import characteristic_polynomial, determinant, inverse, same, solution, tidy
from pctheory.symbolic.induction import letters
from pctheory.symbolic.means import average, gaussian_mean, integrate, limit, sign
from pctheory.symbolic.rules import (
    algebra,
    along,
    differentiate,
    mixed_derivative,
    second_derivatives,
    second_derivatives_at_zero,
    second_derivatives_of_minimum,
    solve,
    substitute,
    times,
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
    "change along a flow": (x**2 * y, -2 * x * y * z, along({x: -z})),
    "product": (sp.Matrix([[x, y]]), x * p + y * z, times([p, z])),
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
FAMILIES = derivations().families
SMALL = pytest.mark.parametrize(
    "case", [case for case in derivations() if case.parameters in case.family.cases[:2]], ids=str
)


@SMALL
def test_breaking_any_step_of_a_derivation_is_noticed(case):
    for step in case.derive().steps:
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
    step = derive("critical-points", moments=(1, -1, 2), hidden_layers=1)["critical points"]
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


def test_numerical_factors_are_collected():
    assert str(tidy(p * (2 * x - 2 * y) / 2)) == "p*(x - y)"
    assert str(tidy((4 * x + 6 * y) ** 2 * z)) == "4*z*(2*x + 3*y)**2"
    assert str(tidy(x / (2 * x + 2))) == "x/(2*(x + 1))"
    assert "2 v" not in derive("stability-delay").to_latex()
    assert tidy(sp.Integer(3)) == 3
    for case in derivations():
        if case.parameters == case.family.cases[0]:
            for step in case.derive().steps:
                for side in (step.before, step.after):
                    assert not doubled(side), f"{case}: {doubled(side)}"


def doubled(expression):
    """The products in an expression with a number that a common factor of a sum would cancel."""
    return [
        product
        for entry in (expression if isinstance(expression, sp.MatrixBase) else [expression])
        for product in entry.atoms(sp.Mul)
        if any(factor.is_Add and factor.primitive()[0].p > 1 for factor in product.args)
        and product.as_coeff_Mul()[0].q > 1
    ]


# ---- the rules of joining
# ----------------------------------------------------------------------------------------------

F = x**2 * y
SLOPE = Step("slope", F, 2 * x * y, differentiate(x), given="F", label="slope")
VALUE = Step("value", F, 4 * y, substitute({x: sp.Integer(2)}), given="F", label="value")
CURVATURE = Step("curvature", 2 * x * y, 2 * y, differentiate(x))
h, k = sp.symbols("h k", real=True)


def test_steps_that_join_are_accepted():
    later = Step("curvature", 2 * x * y, 2 * y, differentiate(x), follows="slope", label="curvature")
    formula = Step("ratio", h / k, 2 / x, algebra(), {h: 2 * x * y, k: F}, using={"slope": h, "F": k})
    inserted = Step("insert", z + h, z + 4 * y, substitute({h: 4 * y}), given="G", using={"value": h})
    proof = Derivation("toy", "joined", (SLOPE, CURVATURE, VALUE, later, formula, inserted))
    assert list(proof.premises) == ["F", "G"]
    assert proof.premises["F"] == F
    assert proof["value"] is VALUE
    assert [proof.origin(step) for step in proof.steps] == ["", "", "from F", "from step 1", "", ""]
    with pytest.raises(KeyError, match=r"`label` must be one of `slope`, `value`, .* Got 'other'"):
        proof["other"]


def test_a_first_step_from_nowhere_is_refused():
    with pytest.raises(ValueError, match="is the first and has no premise"):
        Derivation("toy", "no premise", (CURVATURE,))


@pytest.mark.parametrize("change", CHANGES)
def test_a_later_step_from_nowhere_is_refused(change):
    other = CHANGES[change](2 * x * y)
    step = Step("curvature", other, other.diff(x), differentiate(x))
    with pytest.raises(ValueError, match=r"Step `curvature` starts from .* not the result of step 1"):
        Derivation("toy", "from nowhere", (SLOPE, step))


def test_a_step_that_follows_another_than_the_one_before_must_say_so():
    with pytest.raises(ValueError, match="not the result of step 2"):
        Derivation("toy", "wrong previous", (SLOPE, VALUE, CURVATURE))
    wrong = Step("curvature", 2 * x * y, 2 * y, differentiate(x), follows="value")
    with pytest.raises(ValueError, match="not the result of step 2"):
        Derivation("toy", "wrong label", (SLOPE, VALUE, wrong))
    early = Step("curvature", 2 * x * y, 2 * y, differentiate(x), follows="slope")
    with pytest.raises(ValueError, match=r"continue a premise or a labelled step before it \(none so far\)"):
        Derivation("toy", "label of a later step", (early, SLOPE))
    both = Step("curvature", 2 * x * y, 2 * y, differentiate(x), follows="slope", given="F'")
    with pytest.raises(ValueError, match="must have one origin"):
        Derivation("toy", "two origins", (SLOPE, both))
    with pytest.raises(ValueError, match="`label` must be new"):
        Derivation("toy", "one label twice", (SLOPE, SLOPE))


@pytest.mark.parametrize("change", CHANGES)
def test_a_premise_is_one_expression(change):
    other = CHANGES[change](F)
    step = Step("value", other, other.subs(x, 2), substitute({x: sp.Integer(2)}), given="F")
    with pytest.raises(ValueError, match="The premise `F` must be the same expression"):
        Derivation("toy", "wrong premise", (SLOPE, step))


@pytest.mark.parametrize("change", CHANGES)
def test_a_value_that_stands_for_a_result_is_that_result(change):
    other = CHANGES[change](2 * x * y)
    inserted = Step("ratio", h / y, other / y, substitute({h: other}), using={"slope": h}, given="H")
    formula = Step("square", h**2, sp.expand(other**2), algebra(), {h: other}, using={"slope": h})
    for step in (inserted, formula):
        with pytest.raises(ValueError, match=r"for `h`, which is not the entry of `slope`"):
            Derivation("toy", "wrong value", (SLOPE, step))


def test_symbols_that_stand_for_a_result_name_all_of_it():
    for using, match in (
        ({"slope": (h, k)}, "2 symbols for 1 entries"),
        ({"slope": z}, "has no value for those of `slope`"),
        ({"other": h}, r"\(`F`, `slope`\).* names `other`"),
    ):
        step = Step("ratio", h / y, 2 * x, substitute({h: 2 * x * y}), using=using, given="H")
        with pytest.raises(ValueError, match=match):
            Derivation("toy", "wrong names", (SLOPE, step))


def test_a_formula_must_contain_the_results_that_it_names():
    step = Step("elsewhere", z**2, 2 * z, differentiate(z), {h: 2 * x * y}, using={"slope": h})
    with pytest.raises(ValueError, match="not the result of step 1"):
        Derivation("toy", "no formula", (SLOPE, step))


def test_a_letter_that_an_earlier_step_defines_may_stand_for_anything():
    square = Step("squares", (x + y) ** 2, h + 2 * x * y, algebra(), {h: x**2 + y**2}, given="a square")
    joined = Step("slope", h + 2 * x * y, 1, differentiate(h))
    assert Derivation("toy", "free", (square, joined)).result == 1
    with pytest.raises(ValueError, match="not the result of step 1"):
        Derivation("toy", "another letter", (square, Step("slope", k + 2 * x * y, 1, differentiate(k))))


@pytest.mark.parametrize("rule", [algebra(), rewrite({})], ids=["algebra", "words"])
def test_a_step_with_the_same_expression_on_both_sides_is_refused(rule):
    with pytest.raises(ValueError, match="must lead to another expression"):
        Step("X = X", x * y, x * y, rule)
    with pytest.raises(ValueError, match="must lead to another expression"):
        Step("X = X in another name", x * y, h, rule, {h: x * y})
    with pytest.raises(ValueError, match="must lead to another expression"):
        Step("a result repeated", h, x * y, rule, {h: x * y}, using={"earlier": h})


def test_a_substitution_must_insert_something():
    with pytest.raises(ValueError, match="must insert a symbol of the left side. Got none of z"):
        Step("X = X", x * y, x * y, substitute({z: x}))


@SMALL
def test_a_derivation_without_the_step_that_another_continues_is_refused(case):
    steps = case.derive().steps
    for number in range(1, len(steps)):
        step = steps[number]
        if step.given is None and not step.using and step.follows in (None, steps[number - 1].label):
            with pytest.raises(ValueError, match="Each step must"):
                Derivation("toy", "a gap", steps[: number - 1] + steps[number:])


@SMALL
def test_a_derivation_that_forgets_its_premise_is_refused(case):
    first, *others = case.derive().steps
    forgetful = Step(first.statement, first.before, first.after, first.rule, first.where, label=first.label)
    with pytest.raises(ValueError, match="has no premise"):
        Derivation("toy", "no premise", (forgetful, *others))


@SMALL
def test_values_that_stand_for_results_are_checked_in_every_derivation(case):
    proof = case.derive()
    for number, step in enumerate(proof.steps):
        for label in step.using:
            shifted = dict(step.using)
            shifted[label] = (*step.using[label], sp.Symbol("surplus"))
            other = Step(
                step.statement,
                step.before,
                step.after,
                step.rule,
                step.where,
                given=step.given,
                follows=step.follows,
                using=shifted,
            )
            with pytest.raises(ValueError, match="must name every entry"):
                Derivation("toy", "a symbol too many", (*proof.steps[:number], other))


CHAINS = [
    case for case in derivations() if "hidden_layers" in case.parameters and "width" not in case.parameters
]


@pytest.mark.parametrize("case", CHAINS, ids=str)
def test_premises_are_what_the_definitions_and_other_derivations_say(case):
    hidden_layers = case.parameters["hidden_layers"]
    chain = Chain(hidden_layers + 1)
    expected = {ENERGY: chain.energy, LOSS: chain.loss, RESCALING: chain.rescaling}
    if hidden_layers:
        step = derive("equilibrated-energy", hidden_layers=hidden_layers)["equilibrated energy"]
        expected[EQUILIBRATED] = step.expand(step.after)
        mean = average(moments(chain))
    else:
        expected[EQUILIBRATED] = chain.loss
    for words, premise in case.derive().premises.items():
        if words == BATCH:
            units = dict.fromkeys(chain.precisions, 1)
            assert vanishes(mean.defect(expected[EQUILIBRATED].subs(units), premise))
        elif words in expected:
            unit = premise.free_symbols.isdisjoint(chain.precisions)
            stated = expected[words].subs(dict.fromkeys(chain.precisions, 1)) if unit else expected[words]
            assert same(premise, stated)


def test_a_derivation_is_a_value():
    proof = derive("equilibrated-energy", hidden_layers=1)
    assert derive("equilibrated-energy", hidden_layers=1) is proof
    assert isinstance(proof.steps, tuple)
    with pytest.raises(dataclasses.FrozenInstanceError):
        proof.title = "other"
    with pytest.raises(TypeError):
        proof.steps[0].where[x] = y
    with pytest.raises(ValueError, match="at least one step"):
        Derivation("toy", "nothing", ())


def test_a_derivation_shows_itself_as_latex():
    for proof in (
        derive("equilibrated-energy", hidden_layers=2),
        derive("equilibrated-energy"),
        derive("strict-saddles", point="zero Hessian"),
    ):
        fragment, display = proof.to_latex(), proof._repr_latex_()
        assert fragment.count(r"\item[Given]") == len(proof.premises)
        for words in proof.premises:
            assert rf"\item[Given] {words}" in fragment
            assert rf"\text{{Given {words}}}" in display
            assert f"Given {words}: " in repr(proof)
        items = len(proof.steps) + len(proof.premises)
        assert fragment.count(r"\item") == items
        assert fragment.count(r"\begin{align*}") == fragment.count(r"\end{align*}") == items
        assert (display[0], display[-1]) == ("$", "$")
        for text in (fragment, display):
            assert text.count("{") == text.count("}")
            assert text.count(r"\left") == text.count(r"\right")
        assert proof.claim in repr(proof)


def test_a_long_sum_is_shown_by_its_ends():
    total = sp.Add(*sp.symbols("c_1:31"))
    step = Step("long", 2 * total / x, total, substitute({x: sp.Integer(2)}), given="a sum")
    text = Derivation("toy", "long", (step,)).to_latex()
    assert r"\cdots" in text
    assert "c_{1}" in text
    assert "c_{15}" not in text


def test_the_result_becomes_a_numpy_function():
    proof = derive("equilibrated-energy", hidden_layers=0)
    arguments = sorted(proof.result.free_symbols, key=str)
    values = np.linspace(0.5, 1.5, 4)
    np.testing.assert_allclose(
        proof.lambdify()(*([values] * len(arguments))), 0.5 * values * (values - values**3) ** 2, rtol=1e-14
    )
    swapped = proof.lambdify(*reversed(arguments))
    assert swapped(*range(len(arguments), 0, -1)) == proof.lambdify()(*range(1, len(arguments) + 1))


def test_unknown_names_list_the_known_ones():
    for wrong in (derive, derivations):
        with pytest.raises(
            ValueError, match=r"`claim` must be one of .*'strict-saddles'.* Got 'no-such-claim'"
        ):
            wrong("no-such-claim")
    with pytest.raises(
        ValueError,
        match=r"`equilibrated-energy` must be derived with `hidden_layers` \(0, 1, 2, 3, 4, 5\); or no "
        "parameter; or "
        r"`widths` \(\(2, 2, 2\), .*\)\. Got depth=3\.",
    ):
        derive("equilibrated-energy", depth=3)
    with pytest.raises(ValueError, match=r"`variant` \('fixed predictions'\).* Got variant='other'"):
        derive("exact-bp-variants", variant="other", hidden_layers=2)
    with pytest.raises(ValueError, match=r"Got no parameter"):
        derive("posterior")
    with pytest.raises(ValueError, match=r"`hidden_layers` must be 1 or more. Got 0"):
        derive("posterior", hidden_layers=0)
    with pytest.raises(TypeError, match=r"`hidden_layers` must be an integer. Got float"):
        derive("posterior", hidden_layers=1.5)
    with pytest.raises(TypeError, match=r"`skips` must be True or False"):
        derive("origin-hessian-loss", widths=(1, 1, 1), skips=1)
    with pytest.raises(ValueError, match=r"`moments` must be one of \(1, -1, 2\)"):
        derive("critical-points", moments=(0, 0, 0), hidden_layers=1)
    with pytest.raises(ValueError, match="at least 1"):
        Chain(0)
    with pytest.raises(ValueError, match="two or more"):
        Network((3,))
    with pytest.raises(ValueError, match="equal in the layers"):
        Network((1, 2, 3, 1), skips=True)


def test_parameters_beyond_the_listed_ones_are_derived():
    assert derive("one-shot", hidden_layers=5).claim == "one-shot"
    assert derive("posterior", widths=[1, 2, 1]) is derive("posterior", widths=(1, 2, 1))
    assert derive("origin-hessian-loss", widths=(1, 1, 1)) is derive(
        "origin-hessian-loss", widths=(1, 1, 1), skips=False
    )


def test_nothing_is_derived_before_it_is_asked_for():
    before = _built.cache_info().misses
    cases = derivations()
    assert len(cases) == len(list(cases)) == len(set(map(str, cases)))
    assert cases[0] in list(cases)
    assert _built.cache_info().misses == before


def test_the_derivations_are_shown_as_a_table():
    table = derivations("critical-points")
    head, *rows = repr(table).splitlines()
    assert head.split() == ["claim", "cases", "steps", "shows"]
    assert len(rows) == len(table.families) == 5
    assert rows[0].split()[:3] == ["critical-points", "any", "size"]
    assert "moments='generic', hidden_layers=1..2" in repr(table)
    assert str(len(derive("critical-points", hidden_layers=1).steps)) in rows[1]
    page = table._repr_html_()
    assert page.count("<tr>") == 1 + len(rows)
    assert "<td>critical-points</td>" in page


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"{family.claim} {family.build.__name__}")
def test_every_family_says_what_it_shows_and_lists_its_parameters(family):
    assert family.shows
    assert "`" not in family.shows.replace("`mupc`", "")
    assert all(list(case) == list(family.values) for case in family.cases)
    assert all(family.match(case) == dict(case) for case in family.cases)


def test_every_case_is_found_by_its_claim_and_parameters():
    for case in derivations():
        chosen = [family for family in derivations(case.claim).families if family.match(case.parameters)]
        chosen += [
            family for family in derivations(case.claim).families if family.match(case.parameters) == {}
        ]
        assert chosen == [case.family]


@pytest.mark.parametrize("case", derivations(), ids=str)
def test_every_derivation_builds_and_bears_its_claim(case):
    proof = case.derive()
    assert proof.claim == case.claim
    assert proof is derive(case.claim, **case.parameters)
    assert proof.premises
