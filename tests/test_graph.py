"""Graphs against dense least squares on the definition: equilibria, gradients, balance, boundaries."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from graph_oracle import Dense, data_for, random_graph
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from strategies import seeds
from tolerances import EPS

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearGraph,
    LinearPCN,
    MSELoss,
    NegativeLogLikelihood,
    energy,
    equilibrium,
    find_critical_points,
    gradient_descent,
    gradient_flow,
    rescaling,
)
from pctheory.inference import condition_number
from pctheory.landscape import extreme_eigenvalues

EDGES = {("x", "h"): [[2.0]], ("h", "y"): [[3.0]], ("x", "y"): [[1.0]]}
SIZES = {"x": 1, "h": 1, "y": 1}


@st.composite
def graphs(draw, **options):
    rng = np.random.default_rng(draw(seeds))
    graph = random_graph(rng, cyclic=draw(st.booleans()), **options)
    return graph, data_for(graph, rng)


def condition(dense):
    """Of the problem: the square of that of I - B, times the spread of the maps."""
    size = 1 + np.linalg.norm(dense.inner, 2) + np.linalg.norm(dense.out, 2) + np.linalg.norm(dense.into, 2)
    return np.linalg.cond(dense.loop) ** 2 * size**2


def node_errors(graph, dense, z):
    return {
        name: z[name]
        - sum(z[u] @ np.asarray(m).T for (u, v), m in graph.edges.items() if v == name)
        - dense.bias(name)
        for name in graph.nodes
        if name != graph.input
    }


@pytest.mark.claim("graph-equilibrium")
@given(graphs())
def test_the_equilibrium_of_a_graph_is_that_of_dense_least_squares(problem):
    graph, data = problem
    dense = Dense(graph)
    hidden, value = dense.equilibrium(data)
    values = graph.by_name(equilibrium(graph.network, data))
    tolerance = 1e3 * EPS * condition(dense)
    np.testing.assert_allclose(equilibrium(graph.network, data).energy, value, rtol=tolerance)
    np.testing.assert_allclose(EquilibratedEnergy(data).value(graph.network), value, rtol=tolerance)
    scale = max(np.abs(z).max() for z in values.activities.values())
    for name, z in hidden.items():
        np.testing.assert_allclose(values.activities[name], z, atol=tolerance * scale, rtol=0)
    for name, error in node_errors(graph, dense, values.activities).items():
        np.testing.assert_allclose(values.errors[name], error, atol=tolerance * scale, rtol=0)
        weighted = error @ dense.precision(name)
        np.testing.assert_allclose(
            values.weighted_errors[name], weighted, atol=10 * tolerance * scale, rtol=0
        )


@pytest.mark.claim("graph-equilibrium")
@given(graphs())
def test_weighted_errors_are_path_gains_times_the_rescaled_residual(problem):
    """Pi eps* = P^T S^{-1} r with P = C (I - B)^{-1} and S = P Sigma P^T + Sigma_y."""
    graph, data = problem
    dense = Dense(graph)
    paths = np.linalg.solve(dense.loop.T, dense.out.T).T
    sigma = np.zeros_like(dense.inner)
    start = 0
    for name in dense.hidden:
        stop = start + graph.nodes[name]
        sigma[start:stop, start:stop] = np.linalg.inv(dense.precision(name))
        start = stop
    s = paths @ sigma @ paths.T + np.linalg.inv(dense.precision(graph.output))
    mean = (data.x @ dense.into.T + dense.shift) @ paths.T + data.x @ dense.direct.T + dense.last
    solved = np.linalg.solve(s, (data.y - mean).T).T
    tolerance = 1e3 * EPS * condition(dense)
    np.testing.assert_allclose(rescaling(graph.network), s, rtol=tolerance, atol=tolerance * np.abs(s).max())
    values = graph.by_name(equilibrium(graph.network, data))
    found = np.concatenate([values.weighted_errors[n] for n in dense.hidden], axis=1)
    np.testing.assert_allclose(found, solved @ paths, rtol=0, atol=tolerance * (1 + np.abs(found).max()))
    energy_ = 0.5 * np.mean(np.sum((data.y - mean) * solved, axis=1))
    np.testing.assert_allclose(equilibrium(graph.network, data).energy, energy_, rtol=tolerance)


@pytest.mark.claim("graph-equilibrium")
@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_in_the_edges_is_that_of_differences_of_dense_energies(cyclic, seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, cyclic=cyclic, num_hidden=3, max_width=2)
    data, step = data_for(graph, rng), 1e-6
    values = graph.by_name(equilibrium(graph.network, data))

    def dense(**changes):
        return Dense(graph.replace(**changes)).equilibrium(data)[1]

    for edge, matrix in graph.edges.items():
        for index in np.ndindex(matrix.shape):
            move = np.zeros_like(matrix)
            move[index] = step
            slope = (dense(edges={edge: matrix + move}) - dense(edges={edge: matrix - move})) / (2 * step)
            np.testing.assert_allclose(values.gradient[edge][index], slope, rtol=1e-6, atol=1e-7)
    for name, bias in graph.biases.items():
        for k in range(len(bias)):
            move = step * np.eye(len(bias))[k]
            slope = (dense(biases={name: bias + move}) - dense(biases={name: bias - move})) / (2 * step)
            np.testing.assert_allclose(values.bias_gradient[name][k], slope, rtol=1e-6, atol=1e-7)


@pytest.mark.claim("graph-balance")
@given(graphs())
def test_balance_at_every_hidden_node(problem):
    """sum_out B^T G - sum_in G B^T - g_b b^T = -<Pi_j eps_j eps_j^T>, with cycles too."""
    graph, data = problem
    values = graph.by_name(equilibrium(graph.network, data))
    tolerance = 1e4 * EPS * condition(Dense(graph))
    for name in graph.nodes:
        if name in (graph.input, graph.output):
            continue
        shift = graph.biases.get(name, np.zeros(graph.nodes[name]))
        left = -np.outer(values.bias_gradient.get(name, shift), shift)
        size = np.abs(left).max()
        for (u, v), matrix in graph.edges.items():
            if u == name:
                left = left + matrix.T @ values.gradient[u, v]
                size = size + np.abs(matrix.T @ values.gradient[u, v]).max()
            if v == name:
                left = left - values.gradient[u, v] @ matrix.T
                size = size + np.abs(values.gradient[u, v] @ matrix.T).max()
        right = -values.weighted_errors[name].T @ values.errors[name] / data.num_samples
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * (size + np.abs(right).max()))


@pytest.mark.claim("graph-balance")
@pytest.mark.parametrize("cyclic", [False, True])
def test_along_the_flow_the_imbalance_grows_at_the_hidden_errors(cyclic):
    rng = np.random.default_rng(3)
    graph = random_graph(rng, cyclic=cyclic, num_hidden=4)
    data, step = data_for(graph, rng), 1e-7
    values = graph.by_name(equilibrium(graph.network, data))
    moved = graph.replace(
        edges={e: m - step * values.gradient[e] for e, m in graph.edges.items()},
        biases={n: b - step * values.bias_gradient[n] for n, b in graph.biases.items()},
    )
    for name, after in moved.imbalance().items():
        rate = (after - graph.imbalance()[name]) / step
        product = values.weighted_errors[name].T @ values.errors[name] / data.num_samples
        np.testing.assert_allclose(rate, product + product.T, rtol=1e-4, atol=1e-5)


@pytest.mark.claim("graph-balance")
@given(graphs(biases=False), seeds)
def test_trace_law_for_any_set_of_hidden_nodes(problem, seed):
    """Edges inside the set cancel: only those that enter and leave it count."""
    graph, data = problem
    values = graph.by_name(equilibrium(graph.network, data))
    hidden = [n for n in graph.nodes if n not in ("x", "y")]
    rng = np.random.default_rng(seed)
    chosen = {n for n in hidden if rng.random() < 0.6}
    left = sum(np.mean(np.sum(values.errors[n] * values.weighted_errors[n], axis=1)) for n in chosen)
    right = size = 0.0
    for (u, v), matrix in graph.edges.items():
        flow = np.sum(values.gradient[u, v] * matrix)
        if (v in chosen) != (u in chosen):
            right += flow if v in chosen else -flow
        size += abs(flow)
    tolerance = 1e4 * EPS * condition(Dense(graph))
    np.testing.assert_allclose(left, right, atol=tolerance * (left + size), rtol=0)


def test_a_bias_may_be_fixed():
    graph = LinearGraph(SIZES, EDGES, biases={"h": [1.0], "y": [2.0]}, fixed=["h", ("x", "y")])
    assert graph.network.num_weights == 3
    eq = equilibrium(graph.network, BOUNDARY)
    values = graph.by_name(eq)
    assert values.bias_gradient["h"].item() == 0
    assert values.bias_gradient["y"].item() != 0
    learned = graph.network.join(eq.weight_gradient())
    expected = [values.gradient["x", "h"], values.gradient["h", "y"], values.bias_gradient["y"]]
    np.testing.assert_allclose(learned, np.concatenate([np.ravel(e) for e in expected]), rtol=1e-12)


@pytest.mark.claim("graph-balance")
@pytest.mark.parametrize("seed", range(3))
def test_fixed_edges_among_hidden_nodes_leave_no_hidden_error_at_a_critical_point(seed):
    """A frozen cycle and a frozen long skip; the edges at x and y learn. F* = L at the end."""
    rng = np.random.default_rng(seed)
    names, width = ["x", "a", "b", "c", "y"], 2
    pairs = [("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("a", "c"), ("c", "y"), ("b", "y")]
    edges = {pair: 0.5 * rng.standard_normal((width, width)) for pair in pairs}
    frozen = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "c")]
    graph = LinearGraph(dict.fromkeys(names, width), edges, fixed=frozen)
    data = Data.teacher(rng.standard_normal((width, width)), 20, rng=rng)
    learned = [pair for pair in pairs if pair not in frozen]

    def at(vector):
        matrices = np.reshape(vector, (len(learned), width, width))
        return graph.replace(edges=dict(zip(learned, matrices, strict=True)))

    def value_and_slope(vector):
        net = at(vector).network
        eq = equilibrium(net, data)
        slopes = at(vector).by_name(eq).gradient
        return float(eq.energy), np.concatenate([slopes[edge].ravel() for edge in learned])

    start = np.concatenate([edges[edge].ravel() for edge in learned])
    graph = at(minimize(value_and_slope, start, jac=True, options={"gtol": 1e-9}).x)
    values = graph.by_name(equilibrium(graph.network, data))
    norm = max(np.abs(g).max() for g in values.gradient.values())
    errors = max(np.abs(values.errors[n]).max() for n in "abc")
    assert norm < 1e-6
    assert errors < 1e-3  # its square is of the size of the gradient
    np.testing.assert_allclose(
        EquilibratedEnergy(data).value(graph.network), MSELoss(data).value(graph.network), atol=1e-6
    )


BOUNDARY = Data([[1.0], [-1.0], [1.0], [-1.0]], [[2.0], [-2.0], [0.0], [0.0]])


@pytest.mark.claim("graph-balance")
@pytest.mark.parametrize(
    ("fixed", "other", "learned", "value", "square"),
    [
        (("x", "h"), ("h", "y"), (1 + 5**0.5) / 2, 0.1909830056, 0.2763932023),
        (("h", "y"), ("x", "h"), 1.0, 0.25, 0.25),
    ],
)
def test_a_fixed_edge_at_the_input_or_the_output_leaves_hidden_errors(fixed, other, learned, value, square):
    graph = LinearGraph(SIZES, {fixed: [[1.0]], other: [[learned]]}, fixed=[fixed])
    values = graph.by_name(equilibrium(graph.network, BOUNDARY))
    objective = EquilibratedEnergy(BOUNDARY)
    np.testing.assert_allclose(values.gradient[other], 0, atol=1e-12)
    np.testing.assert_allclose(objective.value(graph.network), value, rtol=1e-9)
    np.testing.assert_allclose(np.mean(values.errors["h"] ** 2), square, rtol=1e-9)
    assert graph.network.num_weights == 1
    assert objective.hessian(graph.network).item() > 0  # a minimum


@pytest.mark.claim("cyclic-logdet")
@given(graphs())
def test_determinant_of_the_activity_hessian_on_a_graph(problem):
    """det H = det S det(I - B)^2 prod det Pi."""
    graph, _ = problem
    dense = Dense(graph)
    root = np.zeros_like(dense.inner)
    start = 0
    for block in dense.roots:
        root[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    last = dense.root("y")
    jacobian = np.vstack([root @ dense.loop, last @ dense.out])
    logdet = np.linalg.slogdet(jacobian.T @ jacobian)[1]
    s = np.linalg.slogdet(rescaling(graph.network))[1]
    loop = np.linalg.slogdet(dense.loop)[1]
    precisions = sum(np.linalg.slogdet(b)[1] for b in dense.roots) + np.linalg.slogdet(last)[1]
    np.testing.assert_allclose(
        logdet, s + 2 * loop + 2 * precisions, atol=1e3 * EPS * condition(dense), rtol=1e-9
    )


@pytest.mark.claim("cyclic-logdet")
def test_the_likelihood_of_a_cycle_lacks_both_log_determinants_in_pc():
    """-log p(z, y | x) = F - log|det(I - B)| + const, and integrating z out leaves F* + 1/2 log det S."""
    gain = 0.6
    graph = LinearGraph(SIZES, {("x", "h"): [[1.0]], ("h", "h"): [[gain]], ("h", "y"): [[1.5]]})
    data = Data([[0.7]], [[1.2]])
    z = np.linspace(-60, 60, 200001)
    error, out = z - gain * z - 0.7, 1.2 - 1.5 * z
    joint = (1 - gain) * np.exp(-0.5 * (error**2 + out**2)) / (2 * np.pi)
    marginal = -np.log(np.sum(joint) * (z[1] - z[0])) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(NegativeLogLikelihood(data).value(graph.network), marginal, rtol=1e-9)
    without = -np.log(np.sum(joint) / (1 - gain) * (z[1] - z[0])) - 0.5 * np.log(2 * np.pi)
    assert abs(without - marginal) > 0.9  # the energy alone is no log density once the cycle learns


@pytest.mark.claim("cyclic-logdet")
def test_the_energy_stays_bounded_where_a_cycle_becomes_singular_and_the_loss_does_not():
    data = Data([[1.0], [-1.0]], [[1.0], [-1.0]])
    for gap in (1e-2, 1e-4):
        cycle = {("x", "h"): [[1.0]], ("h", "h"): [[1 - gap]], ("h", "y"): [[1.0]]}
        net = LinearGraph(SIZES, cycle).network
        p = 1 / gap
        np.testing.assert_allclose(
            EquilibratedEnergy(data).value(net), 0.5 * (1 - p) ** 2 / (1 + p**2), rtol=1e-6
        )
        np.testing.assert_allclose(MSELoss(data).value(net), 0.5 * (1 - p) ** 2, rtol=1e-6)


@pytest.mark.claim("graph-balance")
@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_is_read_the_output_edges_fall_at_the_covariance_of_the_nodes(cyclic, seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, cyclic=cyclic, num_hidden=4, biases=False)
    touching = {e: 0 * m for e, m in graph.edges.items() if "x" in e or "y" in e}
    graph = graph.replace(edges=touching)
    data, dense = data_for(graph, rng), Dense(graph)
    net, objective = graph.network, EquilibratedEnergy(data)
    np.testing.assert_allclose(net.join(objective.gradient(net)), 0, atol=1e-14)
    whole = np.zeros_like(dense.inner)
    starts = np.cumsum([0, *(graph.nodes[n] for n in dense.hidden)])
    for name, start in zip(dense.hidden, starts, strict=False):
        stop = start + graph.nodes[name]
        whole[start:stop, start:stop] = np.linalg.inv(dense.precision(name))
    spread = np.linalg.inv(dense.loop)
    covariance = spread @ whole @ spread.T
    read = [n for n in dense.hidden if (n, "y") in graph.edges]
    rows = np.concatenate(
        [np.arange(starts[i], starts[i + 1]) for i, n in enumerate(dense.hidden) if n in read]
    )
    v, u = rng.standard_normal(len(rows)), rng.standard_normal(graph.nodes["y"])
    predicted = -np.mean((data.y @ dense.precision("y") @ u) ** 2) * (v @ covariance[np.ix_(rows, rows)] @ v)
    step, cuts = 1e-3, np.cumsum([0, *(graph.nodes[n] for n in read)])

    def value(size):
        moved = {(n, "y"): size * np.outer(u, v[cuts[i] : cuts[i + 1]]) for i, n in enumerate(read)}
        return Dense(graph.replace(edges=moved)).equilibrium(data)[1]

    curvature = (value(step) - 2 * value(0.0) + value(-step)) / step**2
    np.testing.assert_allclose(curvature, predicted, rtol=1e-3)
    assert predicted < 0


@given(graphs())
def test_a_chain_without_cycles_has_the_gradient_and_curvature_of_its_edges(problem):
    graph, data = problem
    if graph.cycles:
        with pytest.raises(ValueError, match="`edges` must have no cycle"):
            graph.edges_of(graph.network.parameters)
        return
    values = graph.by_name(equilibrium(graph.network, data))
    gradient = EquilibratedEnergy(data).gradient(graph.network)
    found = graph.edges_of(gradient)
    scale = max(np.abs(g).max() for g in values.gradient.values())
    for edge, slope in values.gradient.items():
        np.testing.assert_allclose(found[edge], slope, rtol=0, atol=1e-11 * scale)
    learned = sum(m.size for m in graph.edges.values()) + sum(b.size for b in graph.biases.values())
    assert graph.network.num_weights == learned
    back = graph.edges_of(graph.network.parameters)
    for edge, matrix in graph.edges.items():
        np.testing.assert_array_equal(back[edge], matrix)


@pytest.mark.parametrize("biased", [False, True])
def test_hessian_on_a_graph_with_long_skips_is_that_of_differences(biased):
    rng = np.random.default_rng(1)
    graph = random_graph(rng, cyclic=False, num_hidden=3, max_width=2, biases=biased)
    data, net, step = data_for(graph, rng), graph.network, 1e-6
    for objective in (EquilibratedEnergy(data), NegativeLogLikelihood(data), MSELoss(data)):
        start = net.flatten()
        rows = [
            net.join(objective.gradient(net.unflatten(start + d)))
            - net.join(objective.gradient(net.unflatten(start - d)))
            for d in step * np.eye(len(start))
        ]
        np.testing.assert_allclose(objective.hessian(net), np.stack(rows) / (2 * step), rtol=1e-6, atol=1e-7)
        ends = extreme_eigenvalues(objective, net)
        np.testing.assert_allclose(
            ends.smallest[0], np.linalg.eigvalsh(objective.hessian(net))[0], atol=1e-10
        )


def test_training_on_the_chain_is_the_local_rule_at_the_nodes():
    rng = np.random.default_rng(2)
    graph = random_graph(rng, cyclic=False, num_hidden=3, biases=False)
    data = data_for(graph, rng)
    path = gradient_descent(EquilibratedEnergy(data), graph.network, 0.05, 20)
    trained = graph
    for _ in range(20):
        slopes = trained.by_name(equilibrium(trained.network, data)).gradient
        trained = trained.replace(edges={e: m - 0.05 * slopes[e] for e, m in trained.edges.items()})
    for edge, matrix in graph.edges_of(path.network(-1).parameters).items():
        np.testing.assert_allclose(matrix, trained.edges[edge], rtol=1e-9, atol=1e-12)


def test_a_chain_is_a_graph():
    net = LinearPCN.random((3, 4, 2, 2), precisions=[2.0, [1.0, 3.0], None], rng=0)
    names = ["x", "a", "b", "y"]
    graph = LinearGraph(
        dict(zip(names, net.widths, strict=True)),
        dict(zip(pairwise(names), net.weights, strict=True)),
        precisions={n: p.value for n, p in zip(names[1:], net.precisions, strict=True)},
    )
    assert graph.network.widths == net.widths
    assert graph.network.is_plain
    for ours, theirs in zip(graph.network.weights, net.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nodes_that_carry_their_value_make_pc_backprop():
    """All hidden units without noise: F* = L, and its gradient is backprop's."""
    net = LinearPCN.random((3, 4, 4, 2), precisions=[np.inf, np.inf, 2.0], biases=0.5, rng=0)
    data = Data(np.random.default_rng(0).standard_normal((5, 3)), np.ones((5, 2)))
    np.testing.assert_allclose(EquilibratedEnergy(data).value(net), MSELoss(data).value(net), rtol=1e-12)
    pairs = zip(EquilibratedEnergy(data).gradient(net), MSELoss(data).gradient(net), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    local = equilibrium(net, data).weight_gradient()
    for ours, theirs in zip(local, MSELoss(data).gradient(net), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", ["sweep", "feedback"])
@given(seeds)
def test_units_without_noise_are_the_limit_of_large_precisions(method, seed):
    rng = np.random.default_rng(seed)
    net = LinearPCN.random((2, 3, 3, 2), rng=rng)
    exact = [rng.random(3) < 0.5 for _ in range(2)]
    data = Data(rng.standard_normal((4, 2)), rng.standard_normal((4, 2)))
    nets = [
        net.replace(precisions=[*(np.where(e, level, 2.0) for e in exact), None]) for level in (np.inf, 1e9)
    ]
    carried, near = (equilibrium(n, data, method=method) for n in nets)
    for ours, theirs in zip(carried.activities, near.activities, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6 * (1 + np.abs(theirs).max()))
    for error, mask in zip(carried.errors, exact, strict=False):
        np.testing.assert_array_equal(error[:, mask], 0)
    np.testing.assert_allclose(carried.energy, near.energy, rtol=1e-6)
    for ours, theirs in zip(carried.weight_gradient(), near.weight_gradient(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6 * (1 + np.abs(theirs).max()))
    np.testing.assert_allclose(energy(nets[0], carried.activities), carried.energy, rtol=1e-9)


def test_a_precision_matrix_may_have_units_without_noise():
    matrix = np.array([[2.0, 0.0, 0.5], [0.0, np.inf, 0.0], [0.5, 0.0, 1.0]])
    net = LinearPCN([np.ones((3, 2)), np.ones((1, 3))], precisions=[matrix, None])
    covariance = net.precisions[0].covariance(net.weights[0])
    np.testing.assert_allclose(
        covariance[np.ix_([0, 2], [0, 2])], np.linalg.inv(matrix[np.ix_([0, 2], [0, 2])])
    )
    np.testing.assert_array_equal(covariance[1], 0)
    assert net.replace(multipliers=(1, 2)).precisions[0].value[1, 1] == np.inf


NEEDS_NOISE = [
    lambda net, data: condition_number(net),
    lambda net, data: equilibrium(net, data, method="elimination"),
    lambda net, data: __import__("pctheory").activity_hessian(net),
    lambda net, data: __import__("pctheory").activity_gradient(net, equilibrium(net, data).activities),
    lambda net, data: __import__("pctheory").inference.relax(net, data, 0.1, 1),
]


@pytest.mark.parametrize("call", NEEDS_NOISE)
def test_what_needs_a_finite_precision_says_so(call):
    graph = LinearGraph(SIZES, EDGES)
    with pytest.raises(ValueError, match="`precisions` must be finite here.*Got 1 units that carry"):
        call(graph.network, BOUNDARY)


def test_errors_where_a_unit_carries_its_value_are_refused():
    graph = LinearGraph(SIZES, EDGES)
    with pytest.raises(ValueError, match="`z_1` must have no error at the units of precision inf"):
        energy(graph.network, (np.ones((1, 1)), np.zeros((1, 2)), np.ones((1, 1))))


def test_edges_in_torch_keep_their_graph():
    rng = np.random.default_rng(4)
    for cyclic in (False, True):
        graph = random_graph(rng, cyclic=cyclic, num_hidden=3)
        data = data_for(graph, rng)
        own = {e: torch.tensor(m, requires_grad=True) for e, m in graph.edges.items()}
        twin = LinearGraph(
            graph.nodes,
            own,
            biases={n: torch.tensor(b) for n, b in graph.biases.items()},
            precisions={n: p.value for n, p in graph.precisions.items()},
        )
        equilibrium(twin.network, Data(torch.tensor(data.x), torch.tensor(data.y))).energy.backward()
        slopes = graph.by_name(equilibrium(graph.network, data)).gradient
        for edge, tensor in own.items():
            np.testing.assert_allclose(tensor.grad.numpy(), slopes[edge], rtol=1e-8, atol=1e-10)


@pytest.mark.claim("graph-balance")
def test_with_a_frozen_random_graph_between_every_critical_point_found_is_global_or_strict():
    """x is read learnably by a, y reads b learnably, a frozen path and long skip lie between."""
    rng = np.random.default_rng(0)
    sizes = {"x": 2, "a": 2, "c": 2, "b": 2, "y": 2}
    pairs = [("x", "a"), ("a", "c"), ("c", "b"), ("a", "b"), ("b", "y")]
    edges = {(u, v): rng.standard_normal((sizes[v], sizes[u])) for u, v in pairs}
    graph = LinearGraph(sizes, edges, fixed=pairs[1:4])
    data = Data.teacher(np.diag([1.0, 2.0]), 12, rng=1)
    found = find_critical_points(EquilibratedEnergy(data), graph.network, 12, 0)
    kinds = {point.kind for point in found if point.value > 1e-12}
    assert kinds == {"strict saddle"}
    assert len(found) > 1


@pytest.mark.claim("graph-balance")
def test_with_a_fixed_skip_from_the_input_a_saddle_need_not_be_strict():
    """z_1 = a^T x, z_2 = x_1 + b z_1, y = C z_2 on realisable data, at a = b = 0 and C = (1, 0)."""
    x = np.array([[1.0, 1.5**0.5], [1.0, -(1.5**0.5)], [-1.0, 1.5**0.5], [-1.0, -(1.5**0.5)]])
    data = Data(x, x)
    edges = {
        ("x", "z1"): [[0.0, 0.0]],
        ("x", "z2"): [[1.0, 0.0]],
        ("z1", "z2"): [[0.0]],
        ("z2", "y"): [[1.0], [0.0]],
    }
    graph = LinearGraph({"x": 2, "z1": 1, "z2": 1, "y": 2}, edges, fixed=[("x", "z2")])
    objective, net = EquilibratedEnergy(data), graph.network
    np.testing.assert_allclose(net.join(objective.gradient(net)), 0, atol=1e-14)
    np.testing.assert_allclose(objective.value(net), 0.75)
    np.testing.assert_allclose(np.linalg.eigvalsh(objective.hessian(net)), [0, 0, 0, 0.25, 0.5], atol=1e-12)
    start = graph.replace(edges={("x", "z1"): [[0.01, 0.3]], ("z1", "z2"): [[0.3]]})
    end = gradient_flow(objective, start.network, [0.0, 300.0]).values()[-1]
    assert end < 0.6  # so it was no minimum


BAD = [
    (lambda: LinearGraph(SIZES, {**EDGES, ("x", "k"): [[1.0]]}), ValueError, "'k' is none"),
    (
        lambda: LinearGraph({**SIZES, "u": 1}, {**EDGES, ("h", "u"): [[1.0]]}),
        ValueError,
        "the output. Got 'y', 'u'",
    ),
    (
        lambda: LinearGraph({"v": 1, **SIZES}, {**EDGES, ("v", "h"): [[1.0]]}),
        ValueError,
        "the input. Got 'v', 'x'",
    ),
    (
        lambda: LinearGraph(SIZES, {**EDGES, ("h", "h"): [[1.0]]}),
        ValueError,
        "I - B invertible on every cycle. Got a smallest singular value of 0.0e.00 on that through 'h'",
    ),
    (
        lambda: LinearGraph(SIZES, {**EDGES, ("x", "h"): [[1.0, 2.0]]}),
        ValueError,
        r"must have shape \(1, 1\).*'x'.*'h'",
    ),
    (lambda: LinearGraph(SIZES, {**EDGES, ("y", "x"): [[1.0]]}), ValueError, "without an edge into it.*none"),
    (
        lambda: LinearGraph(SIZES, EDGES, biases={"h": [1.0, 2.0]}),
        ValueError,
        r"`biases\['h'\]` must have shape \(1,\)",
    ),
    (lambda: LinearGraph(SIZES, EDGES, biases={"x": [1.0]}), ValueError, "`biases` must name nodes.*Got 'x'"),
    (
        lambda: LinearGraph(SIZES, EDGES, precisions={"q": 1.0}),
        ValueError,
        "`precisions` must name nodes.*Got 'q'",
    ),
    (lambda: LinearGraph(SIZES, EDGES, precisions={"y": np.inf}), ValueError, "must be finite"),
    (
        lambda: LinearGraph(SIZES, {**EDGES, ("h", "h"): [[0.5]]}, precisions={"h": np.inf}),
        ValueError,
        "'h' is on a cycle",
    ),
    (
        lambda: LinearGraph(SIZES, EDGES, fixed=[["x", "h"]]),
        ValueError,
        r"`fixed` must name edges.*Got \['x', 'h'\]",
    ),
    (lambda: LinearGraph(SIZES, EDGES, fixed="h"), TypeError, "`fixed` must be a list of edges"),
    (
        lambda: LinearGraph(SIZES, EDGES, biases={"h": torch.zeros(1, dtype=torch.float64)}),
        TypeError,
        "the weights and the biases` must all be arrays of one library",
    ),
    (
        lambda: LinearGraph(SIZES, EDGES, fixed=[("h", "x")]),
        ValueError,
        "`fixed` must name edges.*Got .'h', 'x'.",
    ),
    (lambda: LinearGraph(SIZES, {}), ValueError, "at least one edge"),
    (lambda: LinearGraph(SIZES, {"xh": [[1.0]]}), TypeError, "pairs"),
    (lambda: LinearGraph(SIZES, EDGES).replace(nodes=3), TypeError, "takes only"),
    (lambda: LinearPCN([[[1.0]]], biases=[[1.0, 2.0]]), ValueError, r"`b_1` must have shape \(1,\)"),
    (lambda: LinearPCN([[[1.0]]], biases=[]), ValueError, "one vector per layer"),
    (
        lambda: LinearPCN([[[1.0]]], fixed=[[[1]]]),
        ValueError,
        r"`fixed\[0\]` must be True, False or an array",
    ),
    (lambda: LinearPCN([[[1.0]]], fixed=[True, False]), ValueError, "`fixed` must be one mask per layer"),
    (lambda: LinearPCN([[[1.0]]], precisions=[np.inf]), ValueError, "must be finite"),
    (lambda: LinearPCN([[[1.0]]], precisions=[np.nan]), ValueError, "must be finite"),
    (
        lambda: LinearPCN([np.eye(2), np.eye(2)], precisions=[[[np.inf, 1.0], [1.0, 1.0]], None]),
        ValueError,
        "inf on the diagonal only",
    ),
]


@pytest.mark.parametrize(("build", "error", "message"), BAD)
def test_bad_graphs_are_refused_in_one_sentence(build, error, message):
    with pytest.raises(error, match=message):
        build()
