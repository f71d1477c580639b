"""Critical points under convex output losses: the form that decides against the dense Hessian."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import softmax
from tolerances import EPS

from pctheory import (
    Data,
    EquilibratedEnergy,
    LinearPCN,
    classify_critical_point,
    feedforward,
    gradient_descent,
)
from pctheory.inference import pseudo_huber
from pctheory.landscape import EnvelopeEnergy, certificates, envelope_form, envelope_forms, second_order_form

LOSSES = {"cross-entropy": "cross-entropy", "pseudo-huber": pseudo_huber(0.7), "mse": "mse"}


def lower_layers(rng, n_0, units, n_last, *, rank=None):
    """A network with every kind of hidden precision, multipliers and skips; the last layer is set later."""
    widths = (n_0, units, units, units, n_last)
    precisions = [2.0, np.linspace(0.5, 2, units), np.diag(np.linspace(1, 3, units)) + 0.2, 1.3]
    keep = slice(4 - int(rng.integers(2, 5)), None)  # two to four layers
    widths = (n_0, *widths[1:][keep])
    weights = [rng.standard_normal((n, m)) / np.sqrt(m) for m, n in pairwise(widths)]
    if rank is not None:
        weights[0] = weights[0] @ np.outer(*2 * [np.eye(n_0)[0]]) if rank else 0 * weights[0]
    weights[0] *= 10 ** rng.uniform(-1, 0.5)
    multipliers = rng.uniform(0.5, 1.5, len(weights))
    skips = [False, *(n == m for m, n in pairwise(widths[1:-1])), False]
    return LinearPCN(weights, precisions=precisions[keep], multipliers=multipliers, skips=skips)


def critical_point(rng, name, case, *, samples=15, n_0=5, n_last=4, biases=False):
    """Targets that make random weights a critical point of the wanted case, by the gradients they give."""
    units = int(rng.integers(1, 3)) if case == "iii" else 2
    net = lower_layers(rng, n_0, units, n_last, rank=int(rng.integers(0, 2)) if case == "i" else None)
    readout = rng.standard_normal((n_last, units))
    if case in ("ii", "ii'"):
        readout = np.outer(readout[:, 0], rng.standard_normal(units)) * rng.integers(0, 2)
    x = rng.standard_normal((samples, n_0))
    if biases:
        net = net.replace(biases=[rng.standard_normal(n) for n in net.widths[1:]])
    h = np.asarray(feedforward(net, x)[-2])
    readout /= max(1.0, np.max(np.abs(h @ readout.T)) / 2)
    net = net.replace(weights=[*net.weights[:-1], readout / net.multipliers[-1]])
    out = np.asarray(feedforward(net, x)[-1])
    # gradients that the output layer does not see and that no (used) input tells
    forbidden = np.column_stack([readout, np.ones(n_last)]) if name == "cross-entropy" else readout
    used = x if case == "ii'" else h
    if biases:
        used = np.column_stack([used, np.ones(samples)])
    g = rng.standard_normal((samples, n_last))
    g -= g @ forbidden @ np.linalg.pinv(forbidden, rcond=1e-10)
    g -= used @ np.linalg.pinv(used, rcond=1e-10) @ g
    size = rng.uniform(0.05, 0.95) / np.max(np.abs(g))
    if name == "cross-entropy":
        p = softmax(out, axis=1)
        y = p - g * size * np.min(p)
    elif name == "mse":
        y = out - g * size * 5
    else:
        g *= 0.7 * size  # the slope of a pseudo-Huber loss is below its width
        y = out - g / np.sqrt(1 - (g / 0.7) ** 2)
    return net, Data(x, y)


def hard_labels(rng, *, informed, biases=False):
    """Equal rows of A_L; without information every label occurs at x and at -x. With biases the output's is
    the logarithm of the frequencies.
    """
    classes, n_0, units = int(rng.integers(2, 5)), 4, int(rng.integers(1, 3))
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=8)])
    x = rng.standard_normal((len(labels), n_0))
    if not informed:
        x, labels = np.concatenate([x, -x]), np.concatenate([labels, labels])
    data = Data(x, np.eye(classes)[labels])
    net = lower_layers(rng, n_0, units, classes)
    first = net.weights[0]
    if informed:
        _, singular, rows = np.linalg.svd(((data.y.mean(axis=0) if biases else 1 / classes) - data.y).T @ x)
        null = rows[int(np.sum(singular > 1e-10)) :]
        first = first @ null.T @ null
    readout = np.ones((classes, 1)) * rng.standard_normal((1, units))
    net = net.replace(weights=[first, *net.weights[1:-1], readout])
    if biases:
        shifts = [rng.standard_normal(n) for n in net.widths[1:-1]]
        net = net.replace(biases=[*shifts, np.log(data.y.mean(axis=0)) + rng.standard_normal()])
    return net, data


def agrees(net, data, output, case):
    """Sign, direction and, of minima, the rank of the dense Hessian; the sign of the form."""
    energy = EnvelopeEnergy(data, output)
    form = envelope_form(net, data, output)
    assert form.case == case
    # the direction: curvature by an independent product, and by differences of the gradient
    product = energy.hvp(net, form.direction)
    curvature = sum(np.sum(d * p) for d, p in zip(form.direction, product, strict=True))
    scale = abs(form.predicted) * form.scale / abs(form.value)
    assert abs(form.curvature - curvature) <= 1e3 * EPS * scale
    assert abs(form.curvature - form.predicted) <= 1e-9 * scale
    values = np.linalg.eigvalsh(energy.hessian(net))
    zero = 1e-10 * np.max(np.abs(values))
    point = classify_critical_point(energy, net, gradient_tolerance=1e-9)
    if form.value < 0:
        assert values[0] < -zero, (form, values[0])
        assert values[0] <= form.curvature * (1 - 1e-9)
        assert point.kind == "strict saddle"
        assert point.escape.curvature == form.curvature < 0
    else:
        assert values[0] > -zero, (form, values[0])
        best = energy.infimum(net) if output == "mse" else None
        assert point.kind == ("global minimum" if best == pytest.approx(point.value) else "local minimum")
    return np.sign(form.value), int(np.sum(values > zero))


@pytest.mark.claim("moreau-envelope")
@pytest.mark.claim("convex-loss-landscape")
@pytest.mark.parametrize("name", ["cross-entropy", "pseudo-huber", "mse"])
@pytest.mark.parametrize("case", ["i", "ii", "ii'", "iii"])
def test_the_form_has_the_sign_of_the_dense_hessian_in_every_case(name, case):
    rng = np.random.default_rng(10 * list(LOSSES).index(name) + len(case))
    signs = []
    for _ in range(16):
        net, data = critical_point(rng, name, case)
        sign, rank = agrees(net, data, LOSSES[name], case)
        signs.append(sign)
        if sign > 0:
            # zero only along the manifold of critical points: gauge, unread features, the softmax's constant
            units = net.widths[-2]
            read = np.linalg.matrix_rank(
                net.maps[-1] - np.mean(net.maps[-1], axis=0) * (name == "cross-entropy")
            )
            outputs = net.widths[-1] - (name == "cross-entropy")
            assert rank == outputs * units + read * (net.widths[0] - units)
    if case in ("i", "ii"):
        assert set(signs) == {-1}
    else:
        assert set(signs) == {-1, 1}


@pytest.mark.claim("moreau-envelope")
@pytest.mark.claim("convex-loss-landscape")
@pytest.mark.parametrize("name", ["cross-entropy", "pseudo-huber", "mse"])
@pytest.mark.parametrize("case", ["i", "ii", "ii'", "iii"])
def test_with_biases_the_form_of_centred_rows_has_the_sign_of_the_dense_hessian(name, case):
    rng = np.random.default_rng(10 * list(LOSSES).index(name) + len(case) + 4)
    signs = []
    for _ in range(16):
        net, data = critical_point(rng, name, case, biases=True)
        sign, rank = agrees(net, data, LOSSES[name], case)
        signs.append(sign)
        if sign > 0:  # the output's bias adds as many positive curvatures as there are outputs
            units, outputs = net.widths[-2], net.widths[-1] - (name == "cross-entropy")
            read = np.linalg.matrix_rank(
                net.maps[-1] - np.mean(net.maps[-1], axis=0) * (name == "cross-entropy")
            )
            assert rank == outputs * units + read * (net.widths[0] - units) + outputs
    assert set(signs) == ({-1} if case in ("i", "ii") else {-1, 1})


@pytest.mark.claim("cross-entropy-landscape")
@pytest.mark.parametrize("informed", [True, False])
def test_with_biases_critical_points_predict_the_frequencies_and_the_covariance_decides(informed):
    rng = np.random.default_rng(4)
    signs = []
    for _ in range(40):
        net, data = hard_labels(rng, informed=informed, biases=True)
        energy, p, weight = EnvelopeEnergy(data), data.y.mean(axis=0), net.precisions[-1].value
        # J A_L = 0, softmax(b_L) = p and <(p - e_y) h^T> = 0 make it critical, at the entropy of the labels
        assert max(np.max(np.abs(g)) for g in energy.gradient(net)) <= 1e-13
        assert energy.value(net) == pytest.approx(-weight * np.sum(p * np.log(p)), rel=1e-13)
        sign, _ = agrees(net, data, "cross-entropy", envelope_form(net, data).case)
        signs.append(sign)
        if informed:
            assert sign == -1
            continue
        h = np.asarray(feedforward(net, data.x)[-2])
        noise = np.zeros((net.widths[0], net.widths[0]))
        for matrix, precision in zip(net.maps[:-1], net.precisions, strict=False):
            noise = matrix @ noise @ matrix.T + np.linalg.inv(precision.matrix(matrix))
        # no threshold in the classes is left: the covariance against the noise of the hidden units
        bound = np.cov(h.T, bias=True).reshape(noise.shape) - weight * noise
        assert (np.linalg.eigvalsh(bound)[0] >= 0) == (sign > 0)
    assert informed or set(signs) == {-1, 1}


@pytest.mark.claim("cross-entropy-landscape")
def test_with_biases_no_point_is_critical_where_the_condition_fails_or_a_class_is_absent():
    rng = np.random.default_rng(5)
    net, data = hard_labels(rng, informed=True, biases=True)
    energy = EnvelopeEnergy(data)

    def slope(other, at=energy):
        return max(np.max(np.abs(g)) for g in at.gradient(other))

    shifted = net.replace(biases=[*net.biases[:-1], net.biases[-1] + 0.1 * np.eye(net.widths[-1])[0]])
    tilted = net.replace(weights=[*net.weights[:-1], net.weights[-1] + 0.1 * np.eye(*net.maps[-1].shape)])
    turned = net.replace(weights=[rng.standard_normal(net.weights[0].shape), *net.weights[1:]])
    assert slope(net) <= 1e-13
    assert min(slope(shifted), slope(tilted), slope(turned)) > 1e-3
    # with a class that no sample has, its logit falls for ever: the gradient vanishes nowhere
    wider = net.replace(
        weights=[*net.weights[:-1], np.vstack([net.weights[-1], net.weights[-1][:1]])],
        biases=[*net.biases[:-1], np.append(net.biases[-1], -3.0)],
    )
    absent = EnvelopeEnergy(Data(data.x, np.pad(data.y, ((0, 0), (0, 1)))))
    deeper = wider.replace(biases=[*net.biases[:-1], np.append(net.biases[-1], -8.0)])
    assert 0 < slope(deeper, absent) < slope(wider, absent)
    assert absent.value(deeper) < absent.value(wider)


@pytest.mark.claim("cross-entropy-landscape")
@pytest.mark.parametrize("informed", [True, False])
def test_with_hard_labels_the_form_is_that_of_the_theorem(informed):
    rng = np.random.default_rng(3)
    signs = []
    for _ in range(40):
        net, data = hard_labels(rng, informed=informed)
        form = envelope_form(net, data)
        weight, classes = net.precisions[-1].value, net.widths[-1]  # the loss's
        assert EnvelopeEnergy(data).value(net) == pytest.approx(weight * np.log(classes), rel=1e-13)
        sign, _ = agrees(net, data, "cross-entropy", form.case)
        signs.append(sign)
        if informed:
            assert sign == -1
            continue
        h, noise = data.x, np.zeros((net.widths[0], net.widths[0]))
        for matrix, precision in zip(net.maps[:-1], net.precisions, strict=False):
            h = h @ matrix.T
            noise = matrix @ noise @ matrix.T + np.linalg.inv(precision.matrix(matrix))
        centred = np.eye(classes) - 1 / classes
        spread = centred @ np.diag(data.y.mean(axis=0)) @ centred
        bound = h.T @ h / len(h) - weight * classes * np.linalg.eigvalsh(spread)[-1] * noise
        assert (np.linalg.eigvalsh(bound)[0] >= 0) == (sign > 0)
    assert informed or set(signs) == {-1, 1}


@pytest.mark.claim("cross-entropy-landscape")
def test_inputs_that_say_nothing_leave_a_spurious_minimum():
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    data = Data(x, np.eye(2)[[0, 1, 0, 1]])
    energy = EnvelopeEnergy(data)
    net = LinearPCN([[[1.5]], [[0.2], [0.2]]])
    point = classify_critical_point(energy, net)
    assert (point.kind, point.form.case, point.index) == ("local minimum", "ii'", 0)
    assert point.value == pytest.approx(np.log(2))
    assert energy.infimum(net) == 0.0
    # descent from nearby comes back to log 2, and from far away goes below it
    rng = np.random.default_rng(0)
    near = net.replace(weights=[w + 0.1 * rng.standard_normal(w.shape) for w in net.weights])
    path = gradient_descent(energy, near, 0.5, 400, record=400)
    assert float(energy.value(net.unflatten(path.weights[-1]))) == pytest.approx(np.log(2), rel=1e-9)
    far = LinearPCN([[[0.1]], [[5.0], [-5.0]]])
    assert float(energy.value(far)) < 0.5
    # a feature below the threshold, or an input that tells something, opens a way out
    low = classify_critical_point(energy, LinearPCN([[[0.9]], [[0.2], [0.2]]]))
    assert (low.kind, low.form.case) == ("strict saddle", "ii'")
    told = Data(np.column_stack([x, [1.0, 0.0, 0.0, 0.0]]), data.y)
    told_net = LinearPCN([[[1.5, 0.0]], [[0.2], [0.2]]])
    point = classify_critical_point(EnvelopeEnergy(told), told_net)
    assert (point.kind, point.form.case) == ("strict saddle", "ii")


@pytest.mark.claim("convex-loss-landscape")
def test_a_narrow_spurious_minimum_of_pseudo_huber_is_recognised():
    y = np.array([[1.0, 0.0], [0.0, 1.3]])
    # each line fits one target, and the other sample pays for its own
    for kept, miss in ((1, 1.0), (0, 1.3)):
        readout = np.eye(2)[:, [kept]]
        net = LinearPCN([(y @ readout).T, readout])
        data, loss = Data(np.eye(2), y), pseudo_huber(0.2)
        point = classify_critical_point(EnvelopeEnergy(data, loss), net)
        assert (point.kind, point.form.case) == ("local minimum", "iii")
        assert point.value == pytest.approx(0.5 * 0.2**2 * (np.hypot(1, miss / 0.2) - 1), rel=1e-14)
        assert EnvelopeEnergy(data, loss).infimum(net) is None


def test_with_squared_errors_it_is_the_form_of_the_squared_error():
    rng = np.random.default_rng(8)
    for case in ("i", "ii", "ii'", "iii"):
        for _ in range(6):
            net, data = critical_point(rng, "mse", case)
            ours, theirs = envelope_form(net, data, "mse"), second_order_form(net, data)
            assert ours.case == theirs.case == case
            assert np.sign(ours.value) == np.sign(theirs.value)
            bounds = [f.infimum(net) for f in (EnvelopeEnergy(data, "mse"), EquilibratedEnergy(data))]
            assert bounds[0] == bounds[1]


@pytest.mark.parametrize("name", ["cross-entropy", "pseudo-huber"])
def test_where_every_sample_is_at_its_minimum_the_point_is_a_global_minimum(name):
    rng = np.random.default_rng(2)
    net = LinearPCN.random((4, 2, 3), rng=rng)
    x = rng.standard_normal((10, 4))
    out = x @ net.maps[0].T @ net.maps[1].T
    data = Data(x, softmax(out, axis=1) if name == "cross-entropy" else out)
    energy = EnvelopeEnergy(data, LOSSES[name])
    assert classify_critical_point(energy, net).kind == "global minimum"
    with pytest.raises(ValueError, match="Got none: a global minimum"):
        envelope_form(net, data, LOSSES[name])


def test_what_is_not_critical_is_refused():
    rng = np.random.default_rng(2)
    net, data = critical_point(rng, "cross-entropy", "iii")
    moved = net.replace(weights=[w + 0.1 for w in net.weights])
    with pytest.raises(ValueError, match="`net` must be a critical point"):
        envelope_form(moved, data)
    with pytest.raises(ValueError, match="`net` must have at least two layers"):
        envelope_form(LinearPCN.zeros((5, 4)), data)


@pytest.mark.claim("cross-entropy-landscape")
@pytest.mark.parametrize("inputs", [0.0, 1.0])
def test_the_origin_is_strict_even_without_inputs(inputs):
    data = Data(inputs * np.eye(3), np.eye(3))
    form = envelope_form(LinearPCN.zeros((3, 2, 3)), data)
    assert form.case == "i"
    # u v^T in A_L: minus the largest eigenvalue of <g g^T>, J / 3
    assert form.curvature == pytest.approx(-1 / 3, rel=1e-12)


def test_a_form_too_large_for_a_dense_matrix_is_applied_in_blocks(monkeypatch):
    net, data = critical_point(np.random.default_rng(5), "pseudo-huber", "iii")
    dense = envelope_form(net, data, LOSSES["pseudo-huber"])
    monkeypatch.setattr(certificates, "DENSE_FORM", 2)
    monkeypatch.setattr(envelope_forms, "BLOCK", 1)
    iterated = envelope_form(net, data, LOSSES["pseudo-huber"])
    assert iterated.value == pytest.approx(dense.value, rel=1e-9)


def test_a_bias_moves_the_threshold_of_a_spurious_minimum():
    """Classes of frequencies 3/4 and 1/4 that the input does not tell: C lambda_max(J diag(p) J) = 1 for both
    without biases, and Cov(h) against M = 1 with them, where the mean of h does not count.
    """
    data = Data([[1.0]] * 4 + [[-1.0]] * 4, np.eye(2)[[0, 0, 0, 1] * 2])
    for size, kind in ((0.9, "strict saddle"), (1.1, "local minimum")):
        net = LinearPCN([[[size]], [[0.2], [0.2]]], biases=[[3.0], np.log([0.75, 0.25])])
        point = classify_critical_point(EnvelopeEnergy(data), net)
        assert (point.kind, point.form.case) == (kind, "ii'")
        assert point.value == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    fitted = Data(data.x, np.tile([0.75, 0.25], (8, 1)))
    assert classify_critical_point(EnvelopeEnergy(fitted), net).kind == "global minimum"
