"""Section M: exact means at initialisation, spectral densities, and the limits of width and depth."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pctheory import (
    Data,
    LinearPCN,
    activity_hessian,
    equilibrium,
    feedforward,
    loss,
    rescaling,
    weight_gradient,
)
from pctheory.inference import condition_number, gradient_decomposition
from pctheory.limits import (
    coupling_density,
    coupling_edge,
    diagonal_density,
    entry_variances,
    expected_rescaling,
    forward_rms,
    hessian_density,
    isometric_condition_number,
    marchenko_pastur,
    marchenko_pastur_edges,
)
from pctheory.model import PARAMETERISATIONS, initial_weights

CASES = [
    (name, skips, init)
    for name in PARAMETERISATIONS
    for skips in (False, True)
    for init in (None, "torch", "orthogonal")
]


def z_score(samples, expected):
    samples = np.asarray(samples)
    return abs(samples.mean() - expected) / (samples.std(ddof=1) / math.sqrt(len(samples)))


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def trapezoid(y, x):
    return float(np.trapezoid(y, x))


# --- exact means ---


@pytest.mark.claim("limit-to-backprop")
@pytest.mark.parametrize("name, skips, init", CASES)
def test_the_mean_rescaling_is_exact_at_every_width(name, skips, init):
    rng = np.random.default_rng(7)
    widths, gamma, precisions = (3, 4, 4, 4, 2), 1.5, [0.5, None, [1.0, 2.0, 3.0, 4.0], 2.0]
    expected = expected_rescaling(widths, name, skips=skips, gamma=gamma, init=init, precisions=precisions)
    draws = np.array(
        [
            rescaling(
                LinearPCN.random(
                    widths,
                    parameterisation=name,
                    skips=skips,
                    gamma=gamma,
                    init=init,
                    precisions=precisions,
                    rng=rng,
                )
            )
            for _ in range(1500)
        ]
    )
    for i, j in ((0, 0), (1, 1), (0, 1)):
        assert z_score(draws[:, i, j], expected[i, j]) < 4


@pytest.mark.claim("limit-to-backprop")
def test_the_mean_rescaling_holds_at_unequal_widths():
    rng = np.random.default_rng(8)
    widths = (2, 7, 3, 5, 2)
    for init in ("normal", "orthogonal", 0.4):
        draws = [rescaling(LinearPCN.random(widths, init=init, rng=rng))[0, 0] for _ in range(3000)]
        assert z_score(draws, expected_rescaling(widths, init=init)[0, 0]) < 4


@pytest.mark.claim("limit-to-backprop")
@given(st.integers(2, 40), st.integers(1, 60), st.floats(0.2, 5))
def test_the_laws_of_the_mean_rescaling(depth, width, gamma):
    widths = [3, *[width] * (depth - 1), 1]

    def excess(name, skips, **options):
        return expected_rescaling(widths, name, skips=skips, **options)[0, 0] - 1

    with_skips = depth * ((1 + 1 / depth) ** (depth - 1) - 1) / (gamma**2 * width)
    assert excess("mupc", True, gamma=gamma) == pytest.approx(
        with_skips if depth > 2 else 1 / (gamma**2 * width), rel=1e-10
    )
    assert excess("mupc", False, gamma=gamma) == pytest.approx((depth - 1) / (gamma**2 * width), rel=1e-10)
    assert excess("ntp", True, gamma=gamma) == pytest.approx(
        width * excess("mupc", True, gamma=gamma), rel=1e-10
    )
    assert excess("sp", False) == pytest.approx(depth - 1, rel=1e-10)
    assert excess("sp", True) == pytest.approx(2 ** (depth - 1) - 1, rel=1e-10)
    assert excess("sp", True, init="torch") == pytest.approx((4 / 3) ** (depth - 1) - 1, rel=1e-10)


@pytest.mark.claim("limit-to-backprop")
def test_the_excess_tends_to_e_minus_one_l_over_n():
    depths = np.array([64, 128, 256, 512])
    law = (math.e - 1) * depths / 16
    found = [expected_rescaling([1, *[16] * (d - 1), 1], "mupc", skips=True)[0, 0] - 1 for d in depths]
    assert slope(depths, np.abs(np.array(found) / law - 1)) == pytest.approx(
        -1, abs=0.05
    )  # relative error O(1/L)


@pytest.mark.claim("limit-to-backprop")
def test_the_gradient_of_predictive_coding_tends_to_backprops_at_the_rate_of_one_over_width():
    rng = np.random.default_rng(9)
    widths = np.array([32, 64, 128, 256])
    gaps = []
    for n in widths:
        values = []
        for _ in range(12):
            net = LinearPCN.random((5, n, n, n, 1), parameterisation="mupc", skips=True, rng=rng)
            data = Data(rng.standard_normal((6, 5)), rng.standard_normal((6, 1)))
            eq = equilibrium(net, data)
            values.append(float(loss(net, data) / eq.energy) - 1)
        gaps.append(np.mean(values))
    assert slope(widths, gaps) == pytest.approx(-1, abs=0.15)


@pytest.mark.claim("scalar-gradient-split")
@pytest.mark.parametrize("skips", [False, True])
def test_with_one_output_the_gradient_is_a_rescaled_loss_gradient_and_an_extra_energy_gradient(skips):
    rng = np.random.default_rng(10)
    net = LinearPCN.random((3, 4, 4, 1), parameterisation="mupc", skips=skips, gamma=0.3, rng=rng)
    data = Data(rng.standard_normal((6, 3)), rng.standard_normal((6, 1)))
    leaves = [torch.tensor(np.array(w), requires_grad=True) for w in net.weights]
    maps = [
        a * w + (torch.eye(len(w), dtype=w.dtype) if t else 0)
        for w, a, t in zip(leaves, net.multipliers, net.skips, strict=True)
    ]
    product, s = torch.eye(1, dtype=torch.float64), torch.ones((), dtype=torch.float64)
    for a in reversed(maps[1:]):
        product = product @ a
        s = s + torch.sum(product**2)
    r = torch.tensor(data.y) - torch.tensor(data.x) @ (product @ maps[0]).T
    value = 0.5 * torch.mean(torch.sum(r**2, dim=1))
    of_loss = torch.autograd.grad(value, leaves, retain_graph=True)
    of_s = torch.autograd.grad(s, leaves, allow_unused=True)
    exact = weight_gradient(net, equilibrium(net, data).activities)
    first, second = gradient_decomposition(net, data)
    for g, a, b, gl, gs in zip(exact, first, second, of_loss, of_s, strict=True):
        rescaled = (gl / s).detach().numpy()
        extra = (
            0 * rescaled if gs is None else (-(value / s**2) * gs).detach().numpy()
        )  # s does not depend on W_1
        np.testing.assert_allclose(a, rescaled, atol=1e-13)
        np.testing.assert_allclose(b, extra, atol=1e-13)
        np.testing.assert_allclose(g, rescaled + extra, atol=1e-13)


# --- the forward pass ---


@pytest.mark.claim("forward-stability")
@pytest.mark.parametrize("name, skips, init", CASES)
def test_the_size_of_the_forward_pass_is_exact_in_the_mean(name, skips, init):
    rng = np.random.default_rng(11)
    widths = (4, 6, 6, 6, 3)
    x = np.full((1, 4), 1.0)
    squares = np.array(
        [
            [
                np.mean(z**2)
                for z in feedforward(
                    LinearPCN.random(widths, parameterisation=name, skips=skips, init=init, rng=rng), x
                )
            ]
            for _ in range(1500)
        ]
    )
    expected = forward_rms(widths, name, skips=skips, init=init) ** 2
    for l in range(len(widths)):
        spread = squares[:, l].std()
        assert spread < 1e-12 or z_score(squares[:, l], expected[l]) < 4
        assert abs(squares[:, l].mean() - expected[l]) < 0.2 * expected[l]


@pytest.mark.claim("forward-stability")
def test_the_limits_of_the_forward_pass():
    depths = np.array([32, 64, 128, 256, 512])

    def last(name, d, **options):
        return forward_rms([16] * d + [1], name, **options)[-2]

    errors = [math.sqrt(math.e) - last("mupc", d, skips=True) for d in depths]
    assert slope(depths, errors) == pytest.approx(-1, abs=0.05)
    for d in depths:
        assert last("sp", d, skips=True) == pytest.approx(2 ** ((d - 2) / 2), rel=1e-9)
        # torch's first layer has no skip, so it shrinks the signal once by sqrt 3
        assert last("sp", d, skips=True, init="torch") == pytest.approx(
            (4 / 3) ** ((d - 2) / 2) / math.sqrt(3), rel=1e-9
        )
        assert last("sp", d) == pytest.approx(1, rel=1e-9)
        assert last("sp", d, init="torch") == pytest.approx(3 ** (-(d - 1) / 2), rel=1e-9)
        assert last("sp", d, init="orthogonal") == pytest.approx(1, rel=1e-9)


# --- conditioning ---


@pytest.mark.claim("conditioning")
def test_stable_parameterisations_are_ill_conditioned_and_unstable_ones_worse():
    rng = np.random.default_rng(12)

    def kappa(depth, width=24, **options):
        return np.exp(
            np.mean(
                [
                    np.log(
                        condition_number(LinearPCN.random([8, *[width] * (depth - 1), 4], rng=rng, **options))
                    )
                    for _ in range(3)
                ]
            )
        )

    depths = np.array([9, 17, 33, 65])
    mupc = [kappa(d, parameterisation="mupc", skips=True) for d in depths]
    assert slope(depths, mupc) == pytest.approx(2, abs=0.2)
    torch_default = [kappa(d, init="torch") for d in depths]
    assert max(torch_default) < 60  # the signal dies, and the chain with it
    assert torch_default[-1] < 1.5 * torch_default[0]
    skips = np.log([kappa(d, skips=True, init="torch") for d in depths[:3]])
    assert np.all(np.diff(skips) / np.diff(depths[:3]) > 0.1)  # exponential in the depth
    wide = [kappa(17, width=n, parameterisation="mupc", skips=True) for n in (32, 64, 128)]
    assert max(wide) < 1.6 * min(wide)  # nearly independent of the width


@pytest.mark.claim("conditioning")
def test_the_structured_condition_number_is_the_dense_one():
    rng = np.random.default_rng(13)
    for depth, width in ((4, 12), (12, 50)):  # by singular values of the dense factor, and by Lanczos
        net = LinearPCN.random([5, *[width] * (depth - 1), 3], parameterisation="mupc", skips=True, rng=rng)
        values = np.linalg.eigvalsh(activity_hessian(net).to_dense())
        assert condition_number(net) == pytest.approx(values[-1] / values[0], rel=1e-9)
        expected = np.linalg.eigvalsh(rescaling(net))[-1]
        assert condition_number(net, "errors") == pytest.approx(expected, rel=1e-12)


@pytest.mark.claim("coordinates-resolve-tradeoff")
def test_in_error_coordinates_mupc_is_well_conditioned_at_every_depth():
    rng = np.random.default_rng(14)
    for depth, width in ((8, 64), (32, 64), (32, 256)):
        nets = [
            LinearPCN.random([4, *[width] * (depth - 1), 1], parameterisation="mupc", skips=True, rng=rng)
            for _ in range(20)
        ]
        in_errors = [condition_number(net, "errors") for net in nets]
        exact = expected_rescaling(nets[0].widths, "mupc", skips=True)[0, 0]
        assert z_score(in_errors, exact) < 4
        assert np.mean(in_errors) - 1 < 1.2 * (math.e - 1) * depth / width
        assert condition_number(nets[0]) > 0.5 * depth**2


# --- spectra ---


def stable_net(rng, n, num_hidden, **options):
    return LinearPCN.random([4, *[n] * num_hidden, 1], rng=rng, **options)


@pytest.mark.claim("hessian-spectra")
def test_one_hidden_layer_is_marchenko_and_pastur_shifted_by_one():
    widths, points = (1, 60, 90), np.linspace(1.01, 5, 60)
    law = marchenko_pastur(
        points - 1, 60 / 90, 90 / 60
    )  # entries of variance 1/60 are v/m with m = 90, v = 3/2
    np.testing.assert_allclose(hessian_density(points, widths), law, atol=2e-3)
    np.testing.assert_allclose(diagonal_density(points, widths), law, atol=2e-3)


@pytest.mark.claim("hessian-spectra")
def test_the_diagonal_has_the_edges_one_and_one_plus_four_s_squared():
    rng = np.random.default_rng(15)
    s = 0.8
    low, high = marchenko_pastur_edges(1.0, s**2)
    assert (1 + low, 1 + high) == (1, pytest.approx(1 + 4 * s**2, rel=1e-15))
    widths = np.array([50, 100, 200, 400])
    gaps = []
    for n in widths:
        tops = [np.linalg.norm(s / math.sqrt(n) * rng.standard_normal((n, n)), 2) ** 2 for _ in range(6)]
        gaps.append(abs(np.mean(tops) - 4 * s**2))
    assert slope(widths, gaps) < -0.4  # Tracy-Widom: N^{-2/3}
    grid = np.linspace(low, high, 20001)[1:-1]
    assert trapezoid(marchenko_pastur(grid, 1.0, s**2), grid) == pytest.approx(1, abs=1e-2)
    narrow = np.linspace(*marchenko_pastur_edges(0.3, s**2), 20001)
    assert trapezoid(marchenko_pastur(narrow, 0.3, s**2), narrow) == pytest.approx(1, abs=1e-5)
    wide = np.linspace(*marchenko_pastur_edges(2.0, s**2), 20001)
    assert trapezoid(marchenko_pastur(wide, 2.0, s**2), wide) == pytest.approx(
        1 / 2, abs=1e-5
    )  # the rest is 0


@pytest.mark.claim("hessian-spectra")
@pytest.mark.parametrize("num_hidden", [2, 3, 8])
def test_the_couplings_have_the_edge_of_their_dyson_equation(num_hidden):
    rng = np.random.default_rng(16)
    s, edge = 0.7, coupling_edge(num_hidden, 0.7)
    n = 160
    w = [s / math.sqrt(n) * rng.standard_normal((n, n)) for _ in range(num_hidden - 1)]
    dense = np.zeros((num_hidden * n, num_hidden * n))
    for l, block in enumerate(w):
        dense[(l + 1) * n : (l + 2) * n, l * n : (l + 1) * n] = block
    top = np.linalg.eigvalsh(dense + dense.T)[-1]
    assert top == pytest.approx(edge, rel=0.03)
    points = np.array([0.97, 1.03]) * edge
    inside, outside = coupling_density(points, (1, *[9] * num_hidden, 1), init=s / 3)
    assert inside > 0.01 > 10 * outside


@pytest.mark.claim("hessian-spectra")
def test_the_edge_of_the_couplings_tends_to_two_root_two():
    edges = np.array([coupling_edge(h) for h in (1, 2, 16, 32, 64)])
    assert edges[0] == 0
    assert edges[1] == pytest.approx(2, abs=1e-8)
    assert np.all(np.diff(edges) > 0)
    assert np.all(edges < 2 * math.sqrt(2))
    # the boundary layer u'' = u^2 + const has the scale u ~ H^-2, and the edge moves by u^2: the slope tends
    # to -4
    local = np.diff(np.log(2 * math.sqrt(2) - edges[2:])) / math.log(2)
    assert -4 < local[1] < local[0] < -3
    assert local[1] < -3.5


@pytest.mark.claim("hessian-spectra")
@pytest.mark.parametrize(
    "name, skips, num_hidden", [("sp", False, 2), ("sp", False, 5), ("mupc", True, 5), ("sp", True, 3)]
)
def test_the_density_of_the_hessian_at_any_depth_solves_the_dyson_equation(name, skips, num_hidden):
    """Counts of eigenvalues in bins approach the integrals of the density like 1 / N."""
    bins = [(0.06, 0.2), (0.2, 0.5), (0.5, 0.9), (1.1, 1.6), (1.6, 2.5), (2.5, 4.5)]  # 1 is a singular point
    nodes, weights = np.polynomial.legendre.leggauss(20)
    grid = np.concatenate([(a + b) / 2 + (b - a) / 2 * nodes for a, b in bins])
    density = hessian_density(grid, [1, *[10**6] * num_hidden, 1], name, skips=skips).reshape(len(bins), -1)
    mass = density @ weights * [(b - a) / 2 for a, b in bins]
    rng = np.random.default_rng(17)
    errors = []
    for n, draws in ((15, 40), (120, 3)):
        widths = [4, *[n] * num_hidden, 1]
        nets = [LinearPCN.random(widths, parameterisation=name, skips=skips, rng=rng) for _ in range(draws)]
        values = np.concatenate([np.linalg.eigvalsh(activity_hessian(net).to_dense()) for net in nets])
        counts = [np.mean((values > a) & (values <= b)) for a, b in bins]
        errors.append(np.max(np.abs(counts - mass)))
    assert errors[1] < 1 / 120  # one eigenvalue in each layer
    assert errors[1] < errors[0] / 2.5


@pytest.mark.claim("hessian-spectra")
def test_the_density_has_the_exact_moments():
    """By hand, for square layers and a narrow output: a fraction (H-1)/H of the units has a layer above."""
    widths, inner = [1, *[10**6] * 3, 1], 2 / 3
    nodes, weights = np.polynomial.legendre.leggauss(40)
    edges = [1e-4, 1e-2, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0, 1.001, 1.01, 1.1, 1.5, 3, 5, 6.5, 7.5, 9]
    grid, mass = [], []
    for a, b in itertools.pairwise(edges):
        grid.append((a + b) / 2 + (b - a) / 2 * nodes)
        mass.append((b - a) / 2 * weights)
    grid, mass = np.concatenate(grid), np.concatenate(mass)
    density = mass * hessian_density(grid, widths)
    # tr H: 1 + s^2; tr H^2: (I + A^T A)^2 gives 1 + 2 s^2 + 2 s^4 and each of the two couplings s^2
    for power, expected in ((0, 1), (1, 1 + inner), (2, 1 + inner * (2 + 2 + 2))):
        assert np.sum(density * grid**power) == pytest.approx(expected, abs=2e-3 * expected)


def test_the_spectra_refuse_what_they_do_not_describe():
    with pytest.raises(ValueError, match="independent entries"):
        hessian_density([1.0], (1, 4, 4, 1), init="orthogonal")
    with pytest.raises(ValueError, match="must be positive"):
        hessian_density([0.0], (1, 4, 4, 1))
    with pytest.raises(ValueError, match="two hidden layers"):
        coupling_density([0.5], (1, 4, 1))
    with pytest.raises(ValueError, match="`precisions` must be one per layer"):
        expected_rescaling((1, 2, 1), precisions=[None])


@pytest.mark.parametrize("init", [None, "normal", "torch", "orthogonal", 0.3])
def test_the_variances_are_those_of_the_drawn_weights(init):
    rng = np.random.default_rng(18)
    widths = (3, 5, 2)
    draws = [initial_weights(widths, init=init, rng=rng) for _ in range(2000)]
    for l, variance in enumerate(entry_variances(widths, init=init)):
        squares = [np.mean(d[l] ** 2) for d in draws]
        assert np.std(squares) < 1e-12 or z_score(squares, variance) < 4


def test_isometry_beats_no_stable_network():
    """Both grow like H^2: a stable forward pass and a well-conditioned H exclude each other in the
    activities.
    """
    assert isometric_condition_number(64, narrow_output=True) > 6000
