"""Biases: their theorem, and every public function that takes a network either knows them or says that it
does not.
"""

import importlib
import inspect
from itertools import pairwise

import numpy as np
import pytest
import torch
from architecture import THEORY
from hypothesis import given
from hypothesis import strategies as st
from oracles import dense_maps, dense_precisions, minimise
from strategies import networks, problems, seeds

import pctheory
from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    MSELoss,
    NegativeLogLikelihood,
    energy,
    equilibrium,
    feedforward,
    gradient_descent,
)
from pctheory.dynamics import imbalance_rate
from pctheory.inference import ClampedProblem, pseudo_huber
from pctheory.landscape import EnvelopeEnergy, OutputLoss, WeightDecay
from pctheory.learning import LayerEnergies, SquaredError
from pctheory.related import Predify

PACKAGES = (*THEORY, "nn")


def with_biases(net, rng, scale=1.0):
    return net.replace(biases=[scale * rng.standard_normal(n) for n in net.widths[1:]])


def offsets(net):
    """m_0 = 0, m_l = A_l m_{l-1} + b_l: what the biases add to the forward pass."""
    result = [np.zeros(net.widths[0])]
    for matrix, bias in zip(dense_maps(net), net.biases, strict=True):
        result.append(matrix @ result[-1] + np.asarray(bias))
    return result


def example(seed=0):
    """A network with everything, its plain twin, data, and the data of the twin."""
    rng = np.random.default_rng(seed)
    net = LinearPCN.random(
        (3, 4, 4, 2),
        parameterisation="ntp",
        skips=True,
        precisions=[2.0, np.array([1.0, 2.0, 3.0, 0.5]), np.array([[2.0, 0.3], [0.3, 1.0]])],
        biases=0.7,
        rng=rng,
    )
    data = Data(rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    return net, net.without_biases(), data, Data(data.x, data.y - offsets(net)[-1])


def autograd(net, data, function):
    """The gradient, in weights and biases, of a torch function of maps, biases and data; one array each."""
    parameters = [torch.tensor(np.asarray(p), requires_grad=True) for p in net.parameters]
    maps = [
        a * w + t * torch.eye(*w.shape, dtype=w.dtype)
        for w, a, t in zip(parameters, net.multipliers, net.skips, strict=False)
    ]
    x, y = torch.tensor(np.asarray(data.x)), torch.tensor(np.asarray(data.y))
    function(maps, parameters[net.depth :], x, y).backward()
    return [p.grad.numpy() for p in parameters]


def dense_equilibrated(net):
    """F* by a dense solve for all hidden activities, in torch."""
    precisions = [torch.tensor(p) for p in dense_precisions(net)]

    def value(maps, biases, x, y):
        widths = [x.shape[1], *(m.shape[0] for m in maps)]
        hidden = sum(widths[1:-1])
        cuts = np.cumsum([0, *widths[1:-1]])
        rows, constants = [], []
        for l, (matrix, bias) in enumerate(zip(maps, biases, strict=True), start=1):
            row = torch.zeros(widths[l], hidden, dtype=x.dtype)
            constant = -bias.expand(len(x), -1)
            if l < len(maps):
                row[:, cuts[l - 1] : cuts[l]] = torch.eye(widths[l], dtype=x.dtype)
            else:
                constant = constant + y
            if l > 1:
                row[:, cuts[l - 2] : cuts[l - 1]] = row[:, cuts[l - 2] : cuts[l - 1]] - matrix
            else:
                constant = constant - x @ matrix.T
            root = torch.linalg.cholesky(precisions[l - 1]).T
            rows.append(root @ row)
            constants.append(constant @ root.T)
        jacobian, constant = torch.cat(rows), torch.cat(constants, dim=1)
        z = torch.linalg.solve(jacobian.T @ jacobian, -(constant @ jacobian).T).T
        return 0.5 * ((z @ jacobian.T + constant) ** 2).sum() / len(x)

    return value


def feedforward_loss(net):
    last = torch.tensor(dense_precisions(net)[-1])

    def value(maps, biases, x, y):
        for matrix, bias in zip(maps, biases, strict=True):
            x = x @ matrix.T + bias
        return 0.5 * (((y - x) @ last) * (y - x)).sum() / len(x)

    return value


def close(first, second, tolerance=1e-9):
    first = first if isinstance(first, list | tuple) else [first]
    second = second if isinstance(second, list | tuple) else [second]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


def _parts(name):
    for package in PACKAGES:
        module = importlib.import_module(f"pctheory.{package}")
        if name in module.__all__:
            return getattr(module, name)
    raise KeyError(name)


def moved(net, layers):
    return tuple(z - m for z, m in zip(layers, offsets(net), strict=True))


def some_activities(net, data):
    rng = np.random.default_rng(5)
    return (data.x, *(rng.standard_normal((len(data.x), n)) for n in net.widths[1:]))


# Each compares the function at the network with biases with the same function at its plain twin, whose data
# and activities are moved by what the biases add: `same`, the results are equal; `shifted`, they are
# activities. Gradients are compared with autograd.
def same(*rest, data=True):
    def check(function):
        net, plain, given, twin = example()
        ours, theirs = ((given,), (twin,)) if data else ((), ())
        a, b = function(net, *ours, *rest), function(plain, *theirs, *rest)
        if hasattr(a, "toarray") or not isinstance(a, tuple | list | np.ndarray | float | np.floating):
            a, b = _numbers(a), _numbers(b)
        close(a, b)

    return check


def _numbers(result):
    if hasattr(result, "matmat"):
        return result @ np.eye(result.shape[1])
    if hasattr(result, "to_dense"):
        return result.to_dense()
    return [np.asarray(v, dtype=float) for v in vars(result).values() if isinstance(v, float | np.ndarray)]


def shifted(*rest):
    def check(function):
        net, plain, data, twin = example()
        close(moved(net, function(net, data, *rest)), function(plain, twin, *rest))

    return check


def of_activities(function):
    net, plain, data, _ = example()
    z = some_activities(net, data)
    close(function(net, z), function(plain, moved(net, z)))


def check_local_rule(function):
    net, _, data, _ = example()
    z = some_activities(net, data)
    total = dense_precisions(net)

    def value(maps, biases, x, y):
        before, result = x, 0.0
        for matrix, bias, layer, precision in zip(maps, biases, z[1:], total, strict=True):
            error = torch.tensor(layer) - before @ matrix.T - bias
            result = result + 0.5 * ((error @ torch.tensor(precision)) * error).sum() / len(x)
            before = torch.tensor(layer)
        return result

    close(function(net, z), autograd(net, data, value))


def gradient_of(build):
    def check(function):
        net, _, data, _ = example()
        close(function(net, data), autograd(net, data, build(net)))

    return check


def check_decomposition(function):
    net, _, data, _ = example()
    first, second = function(net, data)
    close([a + b for a, b in zip(first, second, strict=True)], autograd(net, data, dense_equilibrated(net)))


def check_feedforward(function):
    net, _, data, _ = example()
    expected = [data.x]
    for matrix, bias in zip(dense_maps(net), net.biases, strict=True):
        expected.append(expected[-1] @ matrix.T + bias)
    close(function(net, data.x), expected)


def check_equilibrium(function):
    net, plain, data, twin = example()
    hidden, value, _ = minimise(plain, twin)
    for method in ("sweep", "feedback", "elimination"):
        eq = function(net, data, method=method)
        z = moved(net, eq.activities)
        close(np.concatenate(z[1:-1], axis=1), hidden)
        close(eq.energy, value)
        close(energy(net, eq.activities), value)
        assert eq.accuracy.energy < 1e-11


def check_linear_term(function):
    net, plain, data, twin = example()
    hidden = minimise(plain, twin)[0] + np.concatenate(offsets(net)[1:-1])
    close(function(net, data), hidden @ pctheory.activity_hessian(net).to_dense())


def check_clamped(function):
    net, plain, data, _ = example()
    mask = (True, False, np.array([True, False, False, False]), True)
    z = some_activities(net, data)
    ours, theirs = function(net, z, mask), function(plain, moved(net, z), mask)
    ours, theirs = (p if hasattr(p, "relax") else p.problem for p in (ours, theirs))
    close(moved(net, ours.equilibrium().activities), theirs.equilibrium().activities)
    close(moved(net, ours.start()), theirs.start())
    close(moved(net, ours.relax(0.1, 3)[-1]), theirs.relax(0.1, 3)[-1])
    close(ours.equilibrium().energy, theirs.equilibrium().energy)
    close(ours.product(z), theirs.product(z))


def check_errors_to_activities(function):
    net, plain, data, _ = example()
    errors = [np.ones((5, 4)), -np.ones((5, 4))]
    close(moved(net, function(net, data.x, errors)), function(plain, data.x, errors))


def check_envelope(function):
    net, plain, data, twin = example()
    net, plain = net.replace(precisions=[2.0, 1.0, 1.0]), plain.replace(precisions=[2.0, 1.0, 1.0])
    ours, theirs = function(net, data, "mse"), function(plain, twin, "mse")
    close(ours.energy, theirs.energy)
    close(moved(net, ours.activities), theirs.activities)
    held = net.replace(fixed=[True, None, None])
    for some in (net, held):
        close(function(some, data, "mse").weight_gradient(), EnvelopeEnergy(data, "mse").gradient(some))
        close(function(some, data, "mse").weight_gradient(), finite_gradient(function, some, data), 1e-7)


def finite_gradient(function, net, data, step=1e-5):
    start = net.flatten()
    energies = [
        [float(function(net.unflatten(start + sign * d), data, "mse").energy) for sign in (1, -1)]
        for d in step * np.eye(len(start))
    ]
    return net.split((np.array(energies) @ [1.0, -1.0]) / (2 * step))


def of_objective(function):
    net, _, data, _ = example()
    found = function(EquilibratedEnergy(data), net)
    values = np.linalg.eigvalsh(finite_hessian(EquilibratedEnergy(data), net))
    close([found.smallest[0], found.largest[0]], [values[0], values[-1]], 1e-4)


def finite_hessian(objective, net, step=1e-5):
    start = net.flatten()
    rows = [
        (
            net.join(objective.gradient(net.unflatten(start + d)))
            - net.join(objective.gradient(net.unflatten(start - d)))
        )
        / (2 * step)
        for d in step * np.eye(len(start))
    ]
    return np.stack(rows)


def check_slice(function):
    net, _, data, _ = example()
    direction = np.random.default_rng(1).standard_normal(net.num_weights)
    found = function(EquilibratedEnergy(data), net, [direction], num=3, dimensions=1)
    end = net.unflatten(net.flatten() + direction)
    twin = Data(data.x, data.y - offsets(end)[-1])
    close(found.values[-1], minimise(end.without_biases(), twin)[1])


def check_infimum(function):
    """Any rank below the outputs: the best affine map is that of the centred data."""
    net, _, data, _ = example()
    net = LinearPCN.random((3, 1, 2), biases=0.3, rng=0)
    bound = function(MSELoss(data), net)
    centred = Data(data.x - data.x.mean(axis=0), data.y - data.y.mean(axis=0))
    close(bound, function(MSELoss(centred), net.without_biases()))
    path = gradient_descent(MSELoss(data), net, 0.05, 4000)
    values = path.values()
    assert bound <= values[-1] <= bound + 1e-3
    assert function(EquilibratedEnergy(data), net) < bound


def check_classification(function):
    net, _, data, _ = example()
    assert function(EquilibratedEnergy(data), net).kind == "not critical"
    constant = data.y.mean(axis=0)
    zero = LinearPCN.zeros((3, 2, 2)).replace(biases=[np.zeros(2), constant])
    centred = Data(data.x - data.x.mean(axis=0), data.y - constant)
    point, plain = (
        function(EquilibratedEnergy(d), n) for d, n in ((data, zero), (centred, zero.without_biases()))
    )
    assert point.kind == plain.kind == "strict saddle"
    close(point.value, plain.value)
    assert point.index == plain.index


def check_envelope_form(function):
    _, _, data, _ = example()
    constant = data.y.mean(axis=0)
    first = 0.2 * np.random.default_rng(2).standard_normal((2, 3))
    net = LinearPCN([first, np.zeros((2, 2))], biases=[np.ones(2), constant])
    residual = data.y - constant
    residual -= (data.x - data.x.mean(axis=0)) @ np.linalg.lstsq(data.x - data.x.mean(axis=0), residual)[0]
    data = Data(data.x, constant + residual)
    centred = Data(data.x - data.x.mean(axis=0), residual)
    found, plain = function(net, data, "mse"), function(net.without_biases(), centred, "mse")
    assert found.case == plain.case
    close(found.value, plain.value)


def check_search(function):
    _, _, data, _ = example()
    found = function(MSELoss(data), LinearPCN.random((3, 1, 2), biases=0.1, rng=0), 3, 0)
    assert all(point.gradient_norm < 1e-9 for point in found)
    assert len(found) > 0


def check_flow(function):
    net, _, data, _ = example()
    objective = EquilibratedEnergy(data)
    times = np.array([0.0, 1e-4])
    flows = function.__name__ == "gradient_flow"
    path = function(objective, net, times) if flows else function(objective, net, 1e-4, 1)
    slope = np.concatenate([g.ravel() for g in autograd(net, data, dense_equilibrated(net))])
    close((path.weights[-1] - path.weights[0]) / 1e-4, -slope, 1e-2)


def check_imbalance(function):
    """Its rate along the flow is that of the plain law (claim `biases`)."""
    net, _, data, _ = example()
    step = 1e-6
    objective = EquilibratedEnergy(data)
    down = net.flatten() - step * net.join(objective.gradient(net))
    after, before = function(net.unflatten(down)), function(net)
    skipless = [(a - b) / step for a, b in zip(after, before, strict=True)]
    close(skipless, imbalance_rate(net, data), 1e-3)


def check_trust_region(function):
    net, plain, data, twin = example()
    ours, theirs = function(net, data), function(plain, twin)
    close(ours.errors, theirs.errors)
    close(moved(net, ours.activities), theirs.activities)
    close(ours.gradient(), autograd(net, data, dense_equilibrated(net)))


def check_fixed_prediction(function):
    net, _, data, _ = example()
    close(function(net, data, 0.2, 500), autograd(net, data, feedforward_loss(net)), 1e-8)


def converging(function):
    """Inference to the end: the gradient of F*."""
    net, _, data, _ = example()
    close(function(net, data, 0.1, 4000), autograd(net, data, dense_equilibrated(net)), 1e-6)


def check_spiking(function):
    """With all precisions 1 and no silent layers it is backprop scaled layer by layer."""
    net, _, data, _ = example()
    net = net.replace(precisions=None)
    found, step = function(net, data, 0.5, 0.0), 0.5
    truth = autograd(net, data, feedforward_loss(net))
    scale = [step ** (net.depth - l) * (1 - step) if l < net.depth else 1.0 for l in range(1, net.depth + 1)]
    close(found, [s * g for s, g in zip(scale * 2, truth, strict=True)])


KNOWN = {
    "activity_gradient": of_activities,
    "activity_hessian": same(data=False),
    "activity_linear_term": check_linear_term,
    "energy": of_activities,
    "feedforward": check_feedforward,
    "layer_energies": of_activities,
    "loss": same(),
    "prediction_errors": of_activities,
    "weight_gradient": check_local_rule,
    "ClampedProblem": check_clamped,
    "activities_from_errors": check_errors_to_activities,
    "clamped_equilibrium": check_clamped,
    "condition_number": same(data=False),
    "envelope_equilibrium": check_envelope,
    "equilibrium": check_equilibrium,
    "error_eigenvalues": same(data=False),
    "error_energy": same([np.ones((5, 4)), np.ones((5, 4))]),
    "error_gradient": same([np.ones((5, 4)), np.ones((5, 4))]),
    "error_hessian": same(data=False),
    "extreme_curvatures": same(data=False),
    "finite_time_energy": same(0.1, 3),
    "finite_time_rescaling": same(0.1, 3, data=False),
    "first_arrival": same(0.1),
    "gradient_decomposition": check_decomposition,
    "inference_modes": lambda f: close(*(f(*pair).amplitudes for pair in _pairs())),
    "inference_rate": same(data=False),
    "inference_start": shifted(),
    "input_products": same(data=False),
    "noise_covariances": same(data=False),
    "output_products": same(data=False),
    "relax": shifted(0.1, 4),
    "rescaling": same(data=False),
    "scheduled_inference": shifted(0.1, [[1, 1, 1], [0.5, 1, 2]]),
    "solve_inference": lambda f: close(*(f(*pair, "gd", max_products=5).gaps for pair in _pairs())),
    "spiking_update": check_spiking,
    "classify_critical_point": check_classification,
    "envelope_form": check_envelope_form,
    "extreme_eigenvalues": of_objective,
    "find_critical_points": check_search,
    "infimum": check_infimum,
    "landscape_slice": check_slice,
    "gradient_descent": check_flow,
    "gradient_flow": check_flow,
    "imbalance": check_imbalance,
    "imbalance_rate": same(),
    "implied_radius": same(),
    "quadratic_model": same(),
    "trust_region_step": check_trust_region,
    "backprop_gradient": gradient_of(feedforward_loss),
    "error_descent_gradient": converging,
    "fixed_prediction_gradient": check_fixed_prediction,
    "local_gradient": converging,
    "pc_gradient": gradient_of(dense_equilibrated),
}
"""How biases enter each function, checked."""


def _pairs():
    net, plain, data, twin = example()
    return ((net, data), (plain, twin))


def _clamped(net, data):
    return ClampedProblem(net, some_activities(net, data))


REFUSED = {
    "escape_direction": lambda f, n, d: f(n, d),
    "gauss_newton_hessian": lambda f, n, d: f(MSELoss(d), n),
    "second_order_form": lambda f, n, d: f(n, d),
    "zero_rank_hessian": lambda f, n, d: f(MSELoss(d), n),
    "best_precision": lambda f, n, d: f(n, 0.1),
    "chain_flow": lambda f, n, d: f(n, 0.1),
    "escape_profile": lambda f, n, d: f(n, 0.1),
    "escape_time": lambda f, n, d: f(n, 0.1),
    "fewest_loss_steps": lambda f, n, d: f(n, 0.1),
    "fit_sharpness": lambda f, n, d: f(MSELoss(d), n),
    "inflation": lambda f, n, d: f(n, 1.0, 1.0),
    "gauss_newton_matrix": lambda f, n, d: f(n, d),
    "gauss_newton_step": lambda f, n, d: f(n, d),
    "nearest_solution": lambda f, n, d: f(n, d),
    "update_directions": lambda f, n, d: f(n, d),
    "aligned_update": lambda f, n, d: f(n, d),
    "compare_gradients": lambda f, n, d: f(n, d),
    "equilibrium_propagation_gradient": lambda f, n, d: f(_clamped(n, d), LayerEnergies(), 0.1),
    "gradient_bounds": lambda f, n, d: f(_clamped(n, d), 0.1, 3),
    "implicit_gradient": lambda f, n, d: f(_clamped(n, d), LayerEnergies()),
    "mixed_derivative": lambda f, n, d: f(n, some_activities(n, d), some_activities(n, d)),
    "one_shot": lambda f, n, d: f(n, d),
    "output_change": lambda f, n, d: f(n, d.x, n.weights),
    "posterior_averaged_gradient": lambda f, n, d: f(n, d),
    "target_alignment": lambda f, n, d: f(n, d, n.weights),
    "truncated_gradient": lambda f, n, d: f(_clamped(n, d), LayerEnergies(), 0.1, 2),
    "unrolled_gradient": lambda f, n, d: f(_clamped(n, d), LayerEnergies(), 0.1, 2),
    "z_il_gradient": lambda f, n, d: f(n, d),
    "condition_bound": lambda f, n, d: f(n, d.x),
    "early_reach": lambda f, n, d: f(n, d, 0.1, 3),
    "error_inference_rate": lambda f, n, d: f(n),
    "relax_errors": lambda f, n, d: f(n, d, 0.1, 3),
    "fastest_time": lambda f, n, d: f(n, 0.1),
    "homotopy_flow": lambda f, n, d: f(n, 0.1, 2.0),
    "homotopy_time": lambda f, n, d: f(n, 0.1, 2.0),
    "gradient_noise": lambda f, n, d: f(n, d),
    "lazy_map": lambda f, n, d: f(n, d, [0.0, 1.0]),
    "precision_gradient": lambda f, n, d: f(n, d),
    "update_precisions": lambda f, n, d: f(n, d),
    "primal_dual_matrix": lambda f, n, d: f(n, 0.1),
}
"""How each function that knows no biases is called."""


def takes_a_network():
    """Public functions, and classes that check their arguments, with a network among their arguments."""
    for package in PACKAGES:
        module = importlib.import_module(f"pctheory.{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing) or (inspect.isclass(thing) and "__init__" not in vars(thing)):
                continue
            if inspect.isclass(thing) and "__dataclass_fields__" in vars(thing) and name != "ClampedProblem":
                continue  # a result
            parameters = inspect.signature(thing).parameters.values()
            if any(p.name in ("net", "problem") or "LinearPCN" in str(p.annotation) for p in parameters):
                yield name


def test_every_public_function_that_takes_a_network_is_in_one_of_the_tables():
    assert sorted(takes_a_network()) == sorted({**KNOWN, **REFUSED})
    assert not KNOWN.keys() & REFUSED.keys()


@pytest.mark.parametrize("name", KNOWN)
def test_biases_enter_every_function_as_an_independent_road_says(name):
    KNOWN[name](_parts(name))


@pytest.mark.parametrize("name", REFUSED)
def test_a_function_that_knows_no_biases_says_so(name):
    net, _, data, _ = example()
    with pytest.raises(ValueError, match="`net` must have no biases here"):
        REFUSED[name](_parts(name), net, data)


def test_methods_that_know_no_biases_say_so():
    net, _, data, _ = example()
    with pytest.raises(ValueError, match="`net` must have no biases here"):
        EquilibratedEnergy(data).metric_and_noise(net)
    with pytest.raises(ValueError, match="`net` must have no biases here"):
        Predify.predictive_coding(net)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fixed": [True, None, None]}, "`net` must learn all its entries here.*Got 12 fixed entries"),
        ({"precisions": [np.inf, None, None]}, "`net` must have finite precisions here"),
    ],
)
def test_formulas_for_plain_networks_refuse_others(change, message):
    _, plain, data, _ = example()
    for name in ("second_order_form", "update_directions", "one_shot"):
        with pytest.raises(ValueError, match=message):
            REFUSED[name](_parts(name), plain.replace(**change), data)


def test_a_teacher_with_biases_teaches_them():
    net, _, _, _ = example()
    data = Data.teacher(net, 4, rng=0)
    close(data.y, feedforward(net, data.x)[-1])


def test_task_losses_have_a_gradient_in_the_biases():
    net, _, data, _ = example()
    z = some_activities(net, data)
    close(LayerEnergies().weight_gradient(net, z), pctheory.weight_gradient(net, z))
    assert [g.shape for g in SquaredError(data.y).weight_gradient(net, z)] == [
        p.shape for p in net.parameters
    ]


OBJECTIVES = {
    "loss": MSELoss,
    "energy": EquilibratedEnergy,
    "likelihood": NegativeLogLikelihood,
    "decay": lambda d: WeightDecay(EquilibratedEnergy(d), 0.3),
    "envelope": lambda d: EnvelopeEnergy(d, pseudo_huber(1.0)),
    "output": lambda d: OutputLoss(d, pseudo_huber(1.0)),
}


@pytest.mark.claim("biases")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_derivatives_in_the_biases_are_those_of_differences(name):
    net, _, data, _ = example()
    net = net.replace(precisions=[2.0, np.array([1.0, 2.0, 3.0, 0.5]), 1.3])
    objective, start, step = OBJECTIVES[name](data), net.flatten(), 1e-6
    differences = np.array(
        [
            (objective.value(net.unflatten(start + d)) - objective.value(net.unflatten(start - d)))
            / (2 * step)
            for d in step * np.eye(len(start))
        ]
    )
    close(net.join(objective.gradient(net)), differences, 1e-7)
    close(objective.hessian(net), finite_hessian(objective, net), 1e-7)
    close(objective.hvp(net, np.ones(len(start))), objective.hessian(net) @ np.ones(len(start)))
    many = np.stack([start, start + 1])
    close(objective.values(net, many), np.array([objective.value(net.unflatten(row)) for row in many]))


@pytest.mark.claim("biases")
@given(problems(max_depth=4), seeds)
def test_the_energy_is_that_of_targets_less_what_the_biases_add(problem, seed):
    net, data = problem
    net = with_biases(net, np.random.default_rng(seed))
    eq = equilibrium(net, data)
    value = minimise(net.without_biases(), Data(data.x, data.y - offsets(net)[-1]))[1]
    np.testing.assert_allclose(eq.energy, value, rtol=1e-8)
    np.testing.assert_allclose(EquilibratedEnergy(data).value(net), value, rtol=1e-8)


@pytest.mark.claim("biases")
@given(problems(max_depth=4, precisions=False), seeds)
def test_the_slope_in_a_bias_is_minus_the_mean_weighted_error(problem, seed):
    net, data = problem
    net = with_biases(net, np.random.default_rng(seed))
    truth = autograd(net, data, dense_equilibrated(net))
    found = EquilibratedEnergy(data).gradient(net)
    scale = max(np.abs(g).max() for g in truth)
    for g, t in zip(found, truth, strict=True):
        np.testing.assert_allclose(g, t, rtol=1e-7, atol=1e-9 * scale)


@pytest.mark.claim("biases")
@given(problems(min_depth=2, max_depth=3, skips=False), seeds)
def test_balance_with_biases(problem, seed):
    """A_{l+1}^T G_{l+1} - G_l A_l^T - g_l b_l^T = -<Pi_l eps_l eps_l^T> at every hidden layer."""
    net, data = problem
    net = with_biases(net, np.random.default_rng(seed))
    eq = equilibrium(net, data)
    gradient = eq.weight_gradient()
    for l in range(1, net.depth):
        above, below, shift = gradient[l], gradient[l - 1], gradient[net.depth + l - 1]
        a_above, a_below = net.multipliers[l], net.multipliers[l - 1]
        left = net.maps[l].T @ above / a_above - below @ net.maps[l - 1].T / a_below
        left = left - np.outer(shift, net.biases[l - 1])
        right = -eq.weighted_errors[l - 1].T @ eq.errors[l - 1] / data.num_samples
        np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-9 * (1 + np.abs(right).max()))


@pytest.mark.claim("biases")
@given(problems(max_depth=3, max_samples=8), seeds)
def test_the_best_output_bias_centres_the_data(problem, seed):
    """min over b_L of F* is F* of the centred data, whatever the other biases."""
    net, data = problem
    net = with_biases(net, np.random.default_rng(seed))
    objective = EquilibratedEnergy(data)
    start = np.asarray(net.biases[-1])
    slope = objective.gradient(net)[-1]
    size = len(start)
    hessian = objective.hessian(net)[-size:, -size:]
    best = net.replace(biases=[*net.biases[:-1], start - np.linalg.solve(hessian, slope)])
    centred = Data(data.x - data.x.mean(axis=0), data.y - data.y.mean(axis=0))
    expected = EquilibratedEnergy(centred).value(net.without_biases())
    np.testing.assert_allclose(objective.value(best), expected, rtol=1e-7, atol=1e-12)
    residual = np.mean(equilibrium(best, data).residual, axis=0)
    np.testing.assert_allclose(residual, 0, atol=1e-9 * (1 + np.abs(data.y).max() + np.abs(start).max()))


def inertia(matrix):
    values = np.linalg.eigvalsh(matrix)
    zero = 1e-9 * max(1.0, np.abs(values).max())
    return np.array([np.sum(values > zero), np.sum(values < -zero), np.sum(np.abs(values) <= zero)])


@pytest.mark.claim("biases")
@pytest.mark.parametrize("seed", range(6))
def test_inertia_at_a_critical_point_is_that_of_the_centred_data_and_the_biases(seed):
    rng = np.random.default_rng(seed)
    widths = [(3, 2, 2), (2, 3, 2, 3), (3, 1, 2)][seed % 3]
    data = Data(rng.standard_normal((9, widths[0])) + 1.0, rng.standard_normal((9, widths[-1])) - 2.0)
    centred = Data(data.x - data.x.mean(axis=0), data.y - data.y.mean(axis=0))
    plain = LinearPCN([np.zeros((b, a)) for a, b in pairwise(widths)])
    hidden = [rng.standard_normal(n) for n in widths[1:-1]]
    shift = [*hidden, data.y.mean(axis=0)]
    net = plain.replace(biases=shift)
    objective = EquilibratedEnergy(data)
    np.testing.assert_allclose(net.join(objective.gradient(net)), 0, atol=1e-12)
    extra = np.array([widths[-1], 0, sum(widths[1:-1])])
    ours = inertia(objective.hessian(net))
    theirs = inertia(EquilibratedEnergy(centred).hessian(plain))
    np.testing.assert_array_equal(ours, theirs + extra)


@given(networks(max_depth=4), seeds)
def test_flatten_and_unflatten_are_inverse_with_biases_and_fixed_entries(net, seed):
    rng = np.random.default_rng(seed)
    net = with_biases(net, rng)
    masks = [rng.random(p.shape) < 0.3 for p in net.parameters]
    net = net.replace(fixed=masks)
    vector = net.flatten()
    assert vector.shape == (net.num_weights,) == (sum(int((~m).sum()) for m in masks),)
    moved_net = net.unflatten(vector + 1)
    for before, after, mask in zip(net.parameters, moved_net.parameters, masks, strict=True):
        np.testing.assert_array_equal(after, np.where(mask, before, before + 1))
    np.testing.assert_array_equal(moved_net.flatten(), vector + 1)


@given(st.booleans(), seeds)
def test_what_is_fixed_has_no_gradient_and_no_place_in_the_hessian(biased, seed):
    net, plain, data, _ = example(seed % 7)
    net = net if biased else plain
    rng = np.random.default_rng(seed)
    masks = [rng.random(p.shape) < 0.4 for p in net.parameters]
    held = net.replace(fixed=masks)
    objective = EquilibratedEnergy(data)
    for g, full, mask in zip(objective.gradient(held), objective.gradient(net), masks, strict=True):
        np.testing.assert_array_equal(g, np.where(mask, 0.0, full))
    learned = np.flatnonzero(~np.concatenate([m.ravel() for m in masks]))
    full = objective.hessian(net)[np.ix_(learned, learned)]
    np.testing.assert_allclose(objective.hessian(held), full, rtol=1e-10, atol=1e-12)
    path = gradient_descent(objective, held, 0.01, 3)
    for before, after, mask in zip(held.parameters, path.network(-1).parameters, masks, strict=True):
        np.testing.assert_array_equal(before[mask], after[mask])


def test_a_layer_without_a_bias_has_a_zero_that_does_not_learn():
    net = LinearPCN([np.eye(2), np.ones((1, 2))], biases=[None, [3.0]])
    assert net.num_weights == 7
    gradient = EquilibratedEnergy(Data([[1.0, 0.0]], [[1.0]])).gradient(net)
    np.testing.assert_array_equal(gradient[2], 0)
    assert gradient[3].item() > 0


def test_biases_in_torch_and_their_autograd():
    net, _, data, _ = example()
    own = [torch.tensor(np.asarray(p), requires_grad=True) for p in net.parameters]
    twin = LinearPCN(
        own[:3],
        biases=own[3:],
        multipliers=net.multipliers,
        skips=net.skips,
        precisions=[p.value for p in net.precisions],
    )
    rows = Data(torch.tensor(data.x), torch.tensor(data.y))
    for value in (equilibrium(twin, rows).energy, EquilibratedEnergy(rows).value(twin)):
        for p in own:
            p.grad = None
        value.backward(retain_graph=True)
        close([p.grad for p in own], autograd(net, data, dense_equilibrated(net)))
