"""The lazy regime: predicted from the kernel of the start, against trained networks of growing width."""

import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.integrate import solve_ivp
from strategies import problems
from tolerances import assert_close

from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, gradient_flow
from pctheory.dynamics import lazy_map
from pctheory.inference import gradient_decomposition, input_products, output_products, rescaling
from pctheory.nn import PCN, Convolution, Image, Stop, empirical_kernel, infer

pytestmark = pytest.mark.claim("lazy-prediction")
OBJECTIVES = {"energy": EquilibratedEnergy, "loss": MSELoss}
TIMES = np.array([0.0, 0.5, 1.0, 2.0])


def linear_flow(net, data, times, objective):
    """The equation of the lazy regime as it stands, integrated."""
    outputs, inputs = output_products(net), input_products(net)
    top = np.linalg.inv(rescaling(net)) if objective == "energy" else net.precisions[-1].matrix(outputs[-1])
    factors = [
        (a**2 * p @ p.T @ top, q.T @ q) for a, p, q in zip(net.multipliers, outputs[1:], inputs, strict=False)
    ]

    def slope(_, vector):
        residual = data.yx - vector.reshape(outputs[0].shape) @ data.xx
        return sum(left @ residual @ right for left, right in factors).ravel()

    solution = solve_ivp(
        slope, (0, times[-1]), outputs[0].ravel(), t_eval=times, method="LSODA", rtol=1e-11, atol=1e-13
    )
    return solution.y.T.reshape(-1, *outputs[0].shape)


@given(problems(max_samples=5, gain=(0.3, 1.2)))
def test_the_map_solves_the_equation_of_the_lazy_regime(problem):
    net, data = problem
    for objective in OBJECTIVES:
        found = lazy_map(net, data, TIMES, objective=objective)
        expected = linear_flow(net, data, TIMES, objective)
        np.testing.assert_allclose(found, expected, atol=1e-7 * (1 + np.abs(expected).max()))


@given(problems(min_depth=1))
def test_it_starts_with_the_first_term_of_the_gradient(problem):
    """The derivative at the start is the network's, but for what inference adds to the activities."""
    net, data = problem
    step = 1e-6
    first, second = lazy_map(net, data, [0.0, step])
    below, above = input_products(net), output_products(net)
    preconditioned, _ = gradient_decomposition(net, data)
    expected = -sum(
        a * p @ g @ q for a, p, g, q in zip(net.multipliers, above[1:], preconditioned, below, strict=False)
    )
    scale = 1 + np.abs(expected).max() * (1 + sum(np.linalg.norm(q) ** 2 for q in below))
    np.testing.assert_allclose((second - first) / step, expected, atol=1e-3 * scale)
    assert_close(first, above[0], size=20)


def maps(path):
    return [output_products(path.network(i))[0] for i in range(len(path.times))]


def departure(width, objective, parameterisation="ntp", time_scale=1.0, seeds=4):
    """Distance of the trained map from the predicted one over the distance travelled."""
    ratios = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((12, 3))
        data = Data(x, x @ rng.standard_normal((3, 2)) + 0.3 * rng.standard_normal((12, 2)))
        net = LinearPCN.random((3, width, width, 2), parameterisation=parameterisation, rng=rng)
        times = time_scale * TIMES
        path = gradient_flow(OBJECTIVES[objective](data), net, times, method="DOP853", rtol=1e-7, atol=1e-9)
        trained, predicted = maps(path), lazy_map(net, data, times, objective=objective)
        ratios.append(
            [
                np.linalg.norm(a - b) / np.linalg.norm(a - trained[0])
                for a, b in zip(trained[1:], predicted[1:], strict=True)
            ]
        )
    return np.sqrt(np.mean(np.square(ratios)))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_error_falls_with_the_width(objective):
    widths = np.array([16, 32, 64, 128])
    errors = [departure(n, objective) for n in widths]
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert -1.4 < slope < -0.7
    assert errors[-1] < 0.04


def test_with_features_that_move_it_does_not():
    """Its hypothesis: the neural-tangent parameterisation."""
    errors = [departure(n, "energy", "mupc", time_scale=n) for n in (16, 128)]
    assert errors[1] > 0.5 * errors[0] > 0.05


def test_the_two_rules_differ_by_the_preconditioner_alone(rng):
    """With one output backprop is ahead by the factor S of time."""
    net = LinearPCN.random((3, 8, 8, 1), parameterisation="ntp", rng=rng)
    data = Data(rng.standard_normal((9, 3)), rng.standard_normal((9, 1)))
    s = rescaling(net).item()
    np.testing.assert_allclose(
        lazy_map(net, data, s * TIMES), lazy_map(net, data, TIMES, objective="loss"), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("skips", [False, True])
def test_the_kernel_of_autograd_is_that_of_the_closed_form(skips):
    rng = np.random.default_rng(2)
    root = rng.standard_normal((2, 2))
    precisions = [2.0, np.array([1.0, 2.0, 0.5, 3.0]), None, root @ root.T + np.eye(2)]
    net = LinearPCN.random(
        (3, 4, 4, 4, 2), parameterisation="ntp", skips=skips, precisions=precisions, rng=rng
    )
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    found = empirical_kernel(PCN.from_linear(net), x)
    np.testing.assert_allclose(found.rescaling, np.stack([rescaling(net)] * 5), rtol=1e-12)
    kernel = sum(
        a**2 * np.einsum("ce,ij->icje", p @ p.T, x @ q.T @ q @ x.T)
        for a, p, q in zip(net.multipliers, output_products(net)[1:], input_products(net), strict=False)
    )
    np.testing.assert_allclose(found.kernel, kernel, rtol=1e-11, atol=1e-13)
    for rule, objective in (("pc", "energy"), ("bp", "loss")):
        predicted = found.predict(y, TIMES, rule=rule)
        closed = x @ np.swapaxes(lazy_map(net, Data(x, y), TIMES, objective=objective), 1, 2)
        np.testing.assert_allclose(predicted, closed, rtol=1e-9, atol=1e-11)


def trained(model, x, y, rule, rate, steps):
    """Outputs after steps of a Runge-Kutta method of order four on the flow, PC at exact equilibrium."""
    start = "feedforward"

    def slope(weights):
        nonlocal start
        with torch.no_grad():
            for own, new in zip(model.weights, weights, strict=True):
                own.copy_(new)
        if rule == "bp":
            return model.loss_gradient(x, y)
        start = infer(model, x, y, "newton", stop=Stop(30, 1e-6), start=start).activities
        return model.local_gradient(start)

    for _ in range(steps):
        base = [w.detach().clone() for w in model.weights]
        k1 = slope(base)
        k2 = slope([w - rate / 2 * k for w, k in zip(base, k1, strict=True)])
        k3 = slope([w - rate / 2 * k for w, k in zip(base, k2, strict=True)])
        k4 = slope([w - rate * k for w, k in zip(base, k3, strict=True)])
        new = [
            w - rate / 6 * (a + 2 * b + 2 * c + d) for w, a, b, c, d in zip(base, k1, k2, k3, k4, strict=True)
        ]
        with torch.no_grad():
            for own, value in zip(model.weights, new, strict=True):
                own.copy_(value)
    return model(x).detach()


@pytest.mark.evidence("empirical")
@pytest.mark.parametrize("rule", ["pc", "bp"])
def test_a_tanh_network_trained_by_real_inference_follows_its_kernel_the_closer_the_wider_it_is(rule):
    errors = []
    for width in (8, 64):
        ratios = []
        for seed in range(2):
            rng = np.random.default_rng(seed)
            x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
            model = PCN(
                (3, width, width, 2), activation="tanh", parameterisation="ntp", rng=rng, dtype=torch.float64
            )
            kernel = empirical_kernel(model, x)
            predicted = kernel.predict(y, [2.0], rule=rule)[0]
            end = trained(model, x, y, rule, 0.5, 4)
            ratios.append(float((end - predicted).norm() / (end - kernel.outputs).norm()))
        errors.append(np.mean(ratios))
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.05


def test_convolutions_have_a_kernel_too():
    layers = (Image(1, 4, 4), Convolution(2, stride=2), 3)
    model = PCN(layers, activation="relu", rng=0, dtype=torch.float64)
    x = np.random.default_rng(0).standard_normal((4, 16))
    found = empirical_kernel(model, x)
    matrix = found.kernel.reshape(12, 12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert torch.linalg.eigvalsh(matrix)[0] > -1e-12
    with pytest.raises(ValueError, match="`output` must be 'mse'"):
        empirical_kernel(PCN((2, 3, 2), output="cross-entropy", rng=0), np.ones((1, 2)))
    with pytest.raises(ValueError, match="`targets` must have shape"):
        found.predict(np.ones((4, 2)), [1.0])
    with pytest.raises(ValueError, match="`times` must be finite"):
        found.predict(np.ones((4, 3)), [np.nan])
    with pytest.raises(TypeError, match="`targets` must be a real array"):
        found.predict("y", [1.0])


def test_wrong_times_are_refused():
    net, data = LinearPCN([[[1.0]]]), Data([[1.0]], [[1.0]])
    for times in ([-1.0], [[0.0, 1.0]]):
        with pytest.raises(ValueError, match="`times` must be a list of times"):
            lazy_map(net, data, times)
    with pytest.raises(ValueError, match="`objective` must be"):
        lazy_map(net, data, [0.0], objective="likelihood")
