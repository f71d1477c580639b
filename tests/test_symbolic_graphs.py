"""Derivations on graphs and with biases, against numbers from numpy."""

import numpy as np
import pytest
import sympy as sp
from symbolic_oracle import rationals

from pctheory.symbolic import Chain, Step, derivations, derive
from pctheory.symbolic.graphs import MEANS, MOMENTS, Graph
from pctheory.symbolic.rules import solve, substitute


def every(claim):
    return pytest.mark.parametrize("case", derivations(claim), ids=str)


def numbers(rng, graph):
    """Random values of a graph's symbols with P from C, and the graph in matrices."""
    free = [*graph.inner, *graph.inputs, *graph.outputs, *graph.biases, *graph.precisions]
    values = rationals(rng, [*free, graph.direct, graph.last_bias, graph.x, graph.y])
    values |= {entry: values[entry] / 9 for entry in graph.inner}  # away from a singular I - B
    array = lambda symbols: np.array([float(values[s]) for s in symbols])
    loop = np.eye(graph.size) - array(graph.inner).reshape(graph.size, -1)
    path = array(graph.outputs) @ np.linalg.inv(loop)
    return {s: float(v) for s, v in values.items()} | dict(zip(graph.path, path, strict=True)), array, loop


def settled(graph, values, array, loop):
    """The hidden activities and F* by least squares."""
    roots = np.sqrt(array(graph.precisions))
    jacobian = roots[:, None] * np.vstack([loop, -array(graph.outputs)])
    fed = array(graph.inputs) * values[graph.x] + array(graph.biases)
    last = values[graph.y] - values[graph.direct] * values[graph.x] - values[graph.last_bias]
    constant = roots * np.array([*-fed, last])
    z = np.linalg.lstsq(jacobian, -constant, rcond=None)[0]
    return z, 0.5 * np.sum((jacobian @ z + constant) ** 2), jacobian


@pytest.mark.claim("graph-equilibrium")
@every("graph-equilibrium")
def test_the_equilibrium_of_a_graph_meets_least_squares(case, rng):
    proof, graph = case.derive(), Graph(case.parameters["hidden_nodes"])
    values, array, loop = numbers(rng, graph)
    z, energy, _ = settled(graph, values, array, loop)
    at = proof["equilibrium"].expand(proof["equilibrium"].after)
    np.testing.assert_allclose(np.array(at.evalf(30, subs=values), float).ravel(), z, rtol=1e-9)
    assert float(proof.result.evalf(30, subs=values)) == pytest.approx(energy, rel=1e-9)


@pytest.mark.claim("graph-balance")
@every("graph-balance")
def test_edges_between_hidden_nodes_cancel_in_the_sum(case):
    proof, graph = case.derive(), Graph(case.parameters["hidden_nodes"])
    assert not proof.steps[-1].before.has(*graph.inner)
    squares = [pi * e**2 for pi, e in zip(graph.precisions, graph.errors[:-1], strict=False)]
    assert sp.expand(proof.result + sp.Add(*squares)) == 0


@pytest.mark.claim("cyclic-logdet")
@every("cyclic-logdet")
def test_the_determinant_of_a_graphs_hessian_is_numpys(case, rng):
    graph = Graph(case.parameters["hidden_nodes"])
    values, array, loop = numbers(rng, graph)
    jacobian = settled(graph, values, array, loop)[2]
    found = float(case.derive().result.evalf(30, subs=values))
    assert found == pytest.approx(np.linalg.det(jacobian.T @ jacobian), rel=1e-9)


@pytest.mark.claim("biases")
@every("biases")
def test_with_biases_the_energy_meets_least_squares_and_the_best_one_centres_the_data(case, rng):
    chain = Chain(case.parameters["hidden_layers"] + 1)
    proof, depth = case.derive(), chain.depth
    b = sp.symbols(f"b_1:{depth + 1}", real=True)
    values = {s: float(v) for s, v in rationals(rng, [*chain.maps, *chain.precisions, *b]).items()}
    A, pi, shifts = (np.array([values[s] for s in part]) for part in (chain.maps, chain.precisions, b))
    x, y = rng.standard_normal((2, 7))
    roots = np.sqrt(pi)
    rows = np.zeros((depth, depth - 1))
    for l in range(depth - 1):
        rows[l, l], rows[l + 1, l] = roots[l], -roots[l + 1] * A[l + 1]

    def energies(last):
        right = np.outer(roots * np.array([*shifts[:-1], last]), np.ones(7))
        right[0] += roots[0] * A[0] * x
        right[-1] -= roots[-1] * y
        z = np.linalg.lstsq(rows, right, rcond=None)[0]
        return 0.5 * np.sum((rows @ z - right) ** 2, axis=0)

    single = proof["energy"].expand(proof["energy"].after)
    at = values | {chain.x: x[0], chain.y: y[0]}
    assert float(single.evalf(30, subs=at)) == pytest.approx(energies(shifts[-1])[0], rel=1e-9)
    means = dict(zip(MEANS, (x.mean(), y.mean()), strict=True))
    moments = dict(zip(MOMENTS, (np.mean(x * x), np.mean(x * y), np.mean(y * y)), strict=True))
    here = values | means | moments
    last = float(proof["best"].expand(proof["best"].after).evalf(30, subs=here))
    least = energies(last).mean()
    assert float(proof.result.evalf(30, subs=here)) == pytest.approx(least, rel=1e-9)
    assert least < min(energies(last + 0.1).mean(), energies(last - 0.1).mean())


@pytest.mark.claim("graph-equilibrium")
@pytest.mark.parametrize("wrong", ["sign of a loop", "an edge forgotten"])
def test_a_wrong_equilibrium_of_a_graph_is_refused(wrong):
    graph = Graph(1)
    slope = sp.Matrix([graph.energy.diff(graph.activities[0])])
    change = {"sign of a loop": {graph.inner[0]: -graph.inner[0]}, "an edge forgotten": {graph.inputs[0]: 0}}
    with pytest.raises(ValueError, match="Step `it vanishes`"):
        Step("it vanishes", slope, graph.settled.subs(change[wrong]), solve(*graph.activities), graph.letters)


@pytest.mark.claim("biases")
def test_a_bias_of_the_wrong_sign_is_refused():
    proof = derive("biases", hidden_layers=1)
    step = proof["energy"]
    flipped = {b: -b for b in step.expand(step.after).free_symbols if str(b) == "b_2"}
    where = {s: sp.sympify(v).subs(flipped) for s, v in step.where.items()}
    with pytest.raises(ValueError, match="Step `the energy there`"):
        Step("the energy there", step.before, step.after, substitute(dict(step.rule.values)), where)
