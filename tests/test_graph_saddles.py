"""Saddles on graphs, seen from their ends: against the dense Hessian in the edges, with what lies between
fixed or learned.
"""

import numpy as np
import pytest
from graph_oracle import Dense, data_for, random_graph
from hypothesis import given
from strategies import seeds

torch = pytest.importorskip("torch")

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearGraph,
    classify_critical_point,
    equilibrium,
)
from pctheory.landscape import EnvelopeEnergy, second_order_form

pytestmark = pytest.mark.claim("graph-saddles")


@given(seeds)
def test_the_contracted_network_has_the_energy_of_the_graph(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, cyclic=bool(seed % 2))
    data = data_for(graph, rng)
    net, targets = graph.contracted(data)
    found = float(EquilibratedEnergy(targets).value(net))
    assert found == pytest.approx(float(Dense(graph).equilibrium(data)[1]), rel=1e-8)
    assert found == pytest.approx(float(equilibrium(graph.network, data).energy), rel=1e-8)


def energy_of(graph, data, learned):
    """F* of the learned edges as one vector, by its definition in torch, and the vector where they are."""
    dense = Dense(graph)
    own = {edge: torch.tensor(np.asarray(matrix)) for edge, matrix in graph.edges.items()}
    sizes = [own[edge].numel() for edge in learned]
    variances = torch.block_diag(*[torch.tensor(np.linalg.inv(dense.precision(v))) for v in dense.hidden])
    noise = torch.tensor(np.linalg.inv(dense.precision(graph.output)))
    x, y = torch.tensor(data.x), torch.tensor(data.y)

    def energy(vector):
        edges = dict(own)
        for edge, part in zip(learned, torch.split(vector, sizes), strict=True):
            edges[edge] = part.reshape(own[edge].shape)

        def block(targets, sources):
            zero = lambda v, u: torch.zeros(graph.nodes[v], graph.nodes[u], dtype=x.dtype)
            rows = [torch.cat([edges.get((u, v), zero(v, u)) for u in sources], 1) for v in targets]
            return torch.cat(rows, 0)

        inner = block(dense.hidden, dense.hidden)
        out = block([graph.output], dense.hidden)
        path = out @ torch.linalg.inv(torch.eye(len(inner), dtype=x.dtype) - inner)
        whole = path @ block(dense.hidden, [graph.input]) + block([graph.output], [graph.input])
        rest = y - x @ whole.T
        scale = path @ variances @ path.T + noise
        return 0.5 * (rest * torch.linalg.solve(scale, rest.T).T).sum() / len(x)

    return energy, torch.cat([own[edge].flatten() for edge in learned])


def critical_graph(rng, *, cyclic, spread, uninformed):
    """A random graph, with targets that make it critical: a residual that the output edges do not see, and
    that the nodes that are read, or even the inputs, do not tell. `spread` is the rank of the output edges.
    """
    drawn = random_graph(rng, cyclic=cyclic, biases=False, max_width=3)
    nodes = {**drawn.nodes, "x": int(rng.integers(2, 5)), "y": int(rng.integers(2, 5))}
    edges = {
        (u, v): 0.7 * rng.standard_normal((nodes[v], nodes[u])) / np.sqrt(nodes[u]) for u, v in drawn.edges
    }
    read = [u for u, v in edges if v == "y" and u != "x"]
    units = sum(nodes[u] for u in read)
    rank = min({"zero": 0, "one": 1, "full": units}[spread], nodes["y"] - 1)
    readout = rng.standard_normal((nodes["y"], rank)) @ rng.standard_normal((rank, units))
    readout *= 10 ** rng.uniform(-0.5, 0.5)
    for name, part in zip(read, np.split(readout, np.cumsum([nodes[u] for u in read])[:-1], 1), strict=True):
        edges[name, "y"] = part
    size = 10 ** rng.uniform(-1, 0.7)
    edges = {(u, v): size * m if u == "x" and v != "y" else m for (u, v), m in edges.items()}
    precisions = {name: p.value for name, p in drawn.precisions.items() if name != "y"}
    graph = LinearGraph(nodes, edges, precisions=precisions)
    x = rng.standard_normal((20, nodes["x"]))
    net, _ = graph.contracted(Data(x, np.zeros((20, nodes["y"]))))
    h = x @ net.weights[0].T
    rest = rng.standard_normal((20, nodes["y"]))
    rest -= rest @ net.weights[1] @ np.linalg.pinv(net.weights[1], rcond=1e-10)
    told = x if uninformed else h
    rest -= told @ np.linalg.pinv(told, rcond=1e-10) @ rest
    direct = x @ np.asarray(edges.get(("x", "y"), np.zeros((nodes["y"], nodes["x"])))).T
    return graph, Data(x, direct + h @ net.weights[1].T + 10 ** rng.uniform(-0.5, 0.5) * rest)


@pytest.mark.parametrize("cyclic", [False, True])
def test_a_critical_point_is_strict_exactly_if_the_contracted_one_is(cyclic):
    """Whether the edges between are fixed or learn, and with a fixed edge from the input to the output."""
    rng = np.random.default_rng(1 + cyclic)
    seen = set()
    for spread, uninformed in [("zero", False), ("one", False), ("full", False), ("full", True)] * 4:
        graph, data = critical_graph(rng, cyclic=cyclic, spread=spread, uninformed=uninformed)
        form = second_order_form(*graph.contracted(data))
        fixed = [edge for edge in graph.edges if edge == ("x", "y")]
        ends = [edge for edge in graph.edges if ("x" in edge or "y" in edge) and edge not in fixed]
        for learned in (ends, [edge for edge in graph.edges if edge not in fixed]):
            energy, at = energy_of(graph, data, learned)
            assert float(torch.func.grad(energy)(at).abs().max()) < 1e-10 * (1 + float(energy(at)))
            values = torch.linalg.eigvalsh(torch.func.hessian(energy)(at))
            assert bool(values[0] < -1e-9 * values.abs().max()) == (form.value < 0), (form, values[0])
        seen.add((form.case, form.value < 0))
    assert seen >= {("i", True), ("ii", True), ("iii", True), ("iii", False)}


def test_on_realisable_data_every_critical_point_with_a_residual_is_strict():
    rng, kinds = np.random.default_rng(0), []
    for cyclic in (False, True) * 3:
        graph, data = critical_graph(rng, cyclic=cyclic, spread="full", uninformed=False)
        net, targets = graph.contracted(data)
        # y = T x with the same <r h^T> and A_L^T r: a residual that is linear in x
        rest = targets.y - data.x @ (net.weights[1] @ net.weights[0]).T
        linear = data.x @ np.linalg.pinv(data.x) @ rest
        exact = Data(data.x, data.y - rest + linear)
        point = classify_critical_point(*_problem(graph, exact), gradient_tolerance=1e-9)
        kinds.append(point.kind)
        energy, at = energy_of(graph, exact, [e for e in graph.edges if e != ("x", "y")])
        values = torch.linalg.eigvalsh(torch.func.hessian(energy)(at))
        assert bool(values[0] < -1e-9 * values.abs().max()) == (point.kind == "strict saddle")
    assert "strict saddle" in kinds
    assert set(kinds) <= {"strict saddle", "global minimum"}


def _problem(graph, data):
    net, targets = graph.contracted(data)
    return EquilibratedEnergy(targets), net


def test_a_node_that_is_read_and_has_no_noise_breaks_it():
    """x -> a -> b -> y at zero weights, b carrying: the Hessian is zero, as that of the loss."""
    edges = {("x", "a"): [[0.0]], ("a", "b"): [[0.0]], ("b", "y"): [[0.0]]}
    graph = LinearGraph({"x": 1, "a": 1, "b": 1, "y": 1}, edges, precisions={"b": np.inf})
    data = Data([[1.0], [-1.0]], [[2.0], [-2.0]])
    objective = EquilibratedEnergy(data)
    assert not np.any(objective.hessian(graph.network))
    assert float(objective.value(graph.network)) == 2.0
    with pytest.raises(ValueError, match="noise in every unit that the output reads.*'b'"):
        graph.contracted(data)
    # with noise there it is strict
    noisy = graph.replace(precisions={"b": 1.0})
    assert np.linalg.eigvalsh(objective.hessian(noisy.network))[0] < -1
    assert classify_critical_point(*_problem(noisy, data)).kind == "strict saddle"


def test_a_fixed_edge_from_the_input_to_a_hidden_node_breaks_it():
    """The contracted network is then strict where the graph is not: what it would change is fixed."""
    x = np.array([[1.0, 1.5**0.5], [1.0, -(1.5**0.5)], [-1.0, 1.5**0.5], [-1.0, -(1.5**0.5)]])
    edges = {
        ("x", "z1"): [[0.0, 0.0]],
        ("x", "z2"): [[1.0, 0.0]],
        ("z1", "z2"): [[0.0]],
        ("z2", "y"): [[1.0], [0.0]],
    }
    graph = LinearGraph({"x": 2, "z1": 1, "z2": 1, "y": 2}, edges, fixed=[("x", "z2")])
    assert np.linalg.eigvalsh(EquilibratedEnergy(Data(x, x)).hessian(graph.network))[0] > -1e-12
    assert second_order_form(*graph.contracted(Data(x, x))).value < -0.1
    free = graph.replace(fixed=[])
    assert np.linalg.eigvalsh(EquilibratedEnergy(Data(x, x)).hessian(free.network))[0] < -0.1


@pytest.mark.parametrize("ratio", [0.3, 0.9, 1.1, 3.0])
def test_one_fixed_edge_into_the_output_beside_one_that_learns_breaks_it(ratio):
    """Minima that are not global, on realisable data, where v^2 (s^2 - q^2) > q^2 sigma_b."""
    s, q, noise_a, noise_b = 2.0, 0.7, 0.6, 1.7
    v = ratio * q * np.sqrt(noise_b / (s**2 - q**2))
    x = np.sqrt(2.0) * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    data = Data(x, x * [s, q])

    def graph(v, w):
        edges = {("x", "a"): [[s, 0.0]], ("a", "b"): [[v]], ("a", "y"): [[1.0], [0.0]], ("b", "y"): w}
        nodes, precisions = {"x": 2, "a": 1, "b": 1, "y": 2}, {"a": 1 / noise_a, "b": 1 / noise_b}
        return LinearGraph(nodes, edges, precisions=precisions, fixed=[("a", "y")])

    objective, net = EquilibratedEnergy(data), graph(v, [[0.0], [0.0]]).network
    assert np.max(np.abs(net.join(objective.gradient(net)))) < 1e-14
    beta = v**2 * (s**2 - q**2) - q**2 * noise_b
    block = np.array([[1.0, -q * v], [-q * v, q**2 * v**2 + (1 + noise_a) * beta]]) / (1 + noise_a)
    top = [(1 + s**2 * v**2) / (1 + noise_a)]  # w_1 and u_1 move the first output by s v and 1
    expected = np.sort(np.concatenate([np.zeros(2), top, np.linalg.eigvalsh(block)]))
    values = np.linalg.eigvalsh(objective.hessian(net))
    np.testing.assert_allclose(values, expected, atol=1e-13)
    assert (values[0] > -1e-13) == (ratio > 1)
    assert second_order_form(*graph(v, [[0.0], [0.0]]).contracted(data)).value < -0.01
    if ratio > 1:
        rng = np.random.default_rng(0)
        near = net.flatten() + 1e-3 * rng.standard_normal((2000, net.num_weights))
        assert np.min(objective.values(net, near)) >= q**2 / 2 - 1e-15
        away = graph(0.0, [[0.0], [3.0]]).network
        assert float(objective.value(away)) == pytest.approx(q**2 / 2 / (1 + 9 * noise_b), rel=1e-14)
        free = graph(v, [[0.0], [0.0]]).replace(fixed=[])
        assert np.linalg.eigvalsh(objective.hessian(free.network))[0] < -0.01


def test_an_envelope_contracts_too():
    rng = np.random.default_rng(3)
    graph = random_graph(rng, cyclic=True)
    edges = {edge: m for edge, m in graph.edges.items() if edge != ("x", "y")}
    graph = LinearGraph(graph.nodes, edges, biases=graph.biases)
    labels = np.eye(graph.nodes["y"])[rng.integers(0, graph.nodes["y"], 8)]
    data = Data(rng.standard_normal((8, graph.nodes["x"])), labels)
    net, targets = graph.contracted(data)
    assert targets is data
    assert float(EnvelopeEnergy(data).value(net)) == pytest.approx(
        float(EnvelopeEnergy(data).value(graph.network)), rel=1e-10
    )


def test_a_graph_without_hidden_nodes_to_read_is_refused():
    graph = LinearGraph({"x": 1, "y": 1}, {("x", "y"): [[1.0]]})
    with pytest.raises(ValueError, match="`edges` must join a hidden node to the output"):
        graph.contracted(Data([[1.0]], [[1.0]]))
