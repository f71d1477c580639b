"""What objects show of themselves: `.plot()` in the colours of the figures, and tables in notebooks."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

import pctheory as pt
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss
from pctheory.plotting import COLOURS, Relief, Stage
from pctheory.trust_region import cosines


@pytest.fixture
def problem():
    net = LinearPCN.random((3, 4, 4, 2), skips=True, precisions=[np.ones(4), 2 * np.eye(4), 1.0], rng=0)
    return net, Data.teacher(np.eye(2, 3), 20, noise=0.1, rng=1)


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    plt.close("all")


def colours(ax):
    return [to_hex(line.get_color()) for line in ax.get_lines()]


@pytest.mark.parametrize(("objective", "role"), [(MSELoss, "bp"), (EquilibratedEnergy, "pc")])
def test_a_line_through_a_landscape_has_the_colour_of_its_objective(problem, objective, role):
    net, data = problem
    piece = pt.landscape_slice(objective(data), net, dimensions=1, num=11)
    ax = piece.plot()
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), piece.values)
    assert colours(ax) == [COLOURS[role]]
    with pytest.raises(ValueError, match="must have two directions"):
        piece.surface()


def test_a_plane_shows_paths_where_they_lie(problem):
    net, data = problem
    loss = MSELoss(data)
    piece = pt.landscape_slice(loss, net, "random", num=11, rng=0)
    inside = net.flatten() + np.array([[0.3, -0.2], [0.1, 0.7]]) @ np.stack(
        [net.join(d) for d in piece.directions]
    )
    np.testing.assert_allclose(piece.project(inside), [[0.3, -0.2], [0.1, 0.7]], atol=1e-12)
    way = pt.gradient_descent(loss, net, 0.05, 5)
    away = (way.weights - net.flatten()) - piece.project(way) @ np.stack(
        [net.join(d) for d in piece.directions]
    )
    for direction in piece.directions:  # what is left is across the plane
        np.testing.assert_allclose(away @ net.join(direction), 0, atol=1e-12)
    ax = piece.plot(None, way, pt.gradient_descent(EquilibratedEnergy(data), net, 0.05, 5))
    assert {COLOURS["bp"], COLOURS["pc"]} <= set(colours(ax))
    assert piece.surface().name == "3d"
    with pytest.raises(ValueError, match="one row per point"):
        piece.project(np.zeros((2, 3)))


def test_a_trajectory_shows_its_objective_or_others(problem):
    net, data = problem
    way = pt.gradient_descent(EquilibratedEnergy(data), net, 0.05, 5)
    assert colours(way.plot()) == [COLOURS["pc"]]
    ax = way.plot(None, MSELoss(data), EquilibratedEnergy(data))
    assert colours(ax) == [COLOURS["bp"], COLOURS["pc"]]
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), way.values(MSELoss(data)))


def test_plots_show_the_numbers_of_their_objects(problem):
    net, data = problem
    eq = pt.equilibrium(net, data)
    bars = [bar.get_height() for bar in eq.plot().patches]
    assert sum(bars) == pytest.approx(float(eq.energy))
    hessian = pt.activity_hessian(net)
    np.testing.assert_array_equal(hessian.plot().get_images()[0].get_array(), hessian.to_dense())
    origin = pt.origin_hessian(EquilibratedEnergy(data), net.widths)
    shown = [line.get_ydata() for line in origin.plot().get_lines() if len(line.get_ydata()) > 2]
    np.testing.assert_array_equal(shown[0], origin.eigenvalues())
    curve = pt.tradeoff_curve(data, 1, [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(curve.plot().get_lines()[0].get_xdata(), curve.reconstruction)
    ends = pt.extreme_eigenvalues(MSELoss(data), net, k=2)
    found = np.concatenate([line.get_ydata() for line in ends.plot().get_lines() if line.get_marker() == "o"])
    np.testing.assert_array_equal(found, [*ends.smallest, *ends.largest[::-1]])
    field = pt.mean_field_training(data, 2, num_steps=3, learning_rate=0.1)
    np.testing.assert_array_equal(field.plot().get_lines()[0].get_ydata(), field.losses)


def test_a_plot_goes_into_given_axes(problem):
    net, data = problem
    ax = plt.figure().add_subplot()
    assert pt.equilibrium(net, data).plot(ax) is ax
    assert plt.get_fignums() == [1]


def test_a_training_run_shows_its_losses(problem):
    torch = pytest.importorskip("torch")
    from pctheory.nn import PC, PCN, Newton, TrainingSettings, train

    _, data = problem
    rows = Data(torch.tensor(data.x, dtype=torch.float32), torch.tensor(data.y, dtype=torch.float32))
    settings = TrainingSettings(PC(Newton()), steps=3, batch_size=5, metrics_every=1)
    result = train(PCN((3, 4, 2), rng=0), rows, settings, test=rows)
    ax = result.plot()
    assert set(colours(ax)) == {COLOURS["pc"]}
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), result.metrics["loss"])


def test_a_relief_is_a_rotated_plane_painted_from_the_back():
    stage = Stage(2, 2)
    relief = Relief(stage, stage.figure.add_subplot())
    flat, levels, points = np.zeros((5, 5)), np.array([0.0, 1.0]), np.array([[0.3, -0.4], [-0.8, 0.1]])
    relief.set(flat, levels, azimuth=0, elevation=90)  # from above
    seen = relief.line(points, np.zeros(2)) / points
    np.testing.assert_allclose(seen, np.full((2, 2), seen[0, 0]), rtol=1e-12)
    relief.set(flat, levels, azimuth=30, elevation=20)
    np.testing.assert_allclose(relief._view @ relief._view.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(relief._view) == pytest.approx(-1, rel=1e-12)  # right, up and away
    foot, head = (relief.line(points, np.full(2, height)) for height in (0.0, 1.0))
    np.testing.assert_allclose((head - foot)[:, 0], 0, atol=1e-15)
    assert np.all(head[:, 1] > foot[:, 1])
    facets = [path.vertices[:4, 1].mean() for path in relief.facets.get_paths()]
    assert np.all(np.diff(facets) <= 1e-12)  # of a flat floor the front is lowest


def text(html):
    return re.sub(r"<[^>]+>", " ", html)


def test_a_network_shows_its_layers(problem):
    net, _ = problem
    html = net._repr_html_()
    assert "LinearPCN, 3 layers" in html
    assert "3, 4, 4, 2" in text(html)
    assert html.count("<rect") == 4
    assert html.count("<path") == 1  # one skip
    assert re.search(r"precisions\s+vector, matrix, 1", text(html))
    assert "in every layer" in LinearPCN.zeros((2, 2, 2))._repr_html_()
    deep = LinearPCN.random((8, *[16] * 100, 4), rng=0)._repr_html_()
    assert len(deep) < 30_000
    assert "max-width:100%" in deep


def test_an_equilibrium_shows_loss_energy_and_spectrum(problem):
    net, data = problem
    eq = pt.equilibrium(net, data)
    shown = text(eq._repr_html_())
    assert f"{float(pt.loss(net, data)):.6g}" in shown
    assert f"{float(eq.energy):.6g}" in shown
    assert f"{np.linalg.eigvalsh(eq.rescaling)[0]:.4g}" in shown
    assert "20 samples" in shown
    flat = pt.equilibrium(LinearPCN.zeros((3, 4, 2)), data)
    assert re.search(r"eigenvalues of S\s+1 in every direction", text(flat._repr_html_()))
    wide = LinearPCN.random((3, 4, 80), rng=0)
    assert (
        "eigenvalues of S" not in pt.equilibrium(wide, Data(np.ones((2, 3)), np.ones((2, 80))))._repr_html_()
    )


def test_an_equilibrium_of_tensors_shows_itself_without_a_warning(problem):
    torch = pytest.importorskip("torch")
    net, data = problem
    own = LinearPCN([torch.tensor(np.array(w), requires_grad=True) for w in net.weights])
    eq = pt.equilibrium(own, Data(torch.tensor(data.x), torch.tensor(data.y)))
    assert "loss" in eq._repr_html_()
    assert f"energy={float(eq.energy.detach()):.6g}" in repr(eq)
    assert "torch" in own._repr_html_()


def test_a_critical_point_shows_its_certificate(problem):
    _, data = problem
    point = pt.classify_critical_point(EquilibratedEnergy(data), LinearPCN.zeros((3, 4, 4, 2)))
    shown = text(point._repr_html_())
    assert "Critical point: strict saddle" in shown
    assert f"{point.escape.curvature:.6g} by a Hessian-vector product" in shown
    assert "way out" not in pt.classify_critical_point(MSELoss(data), point.net)._repr_html_()


def test_a_trajectory_shows_a_small_line_of_its_values(problem):
    net, data = problem
    way = pt.gradient_descent(MSELoss(data), net, 0.05, 300)
    html = way._repr_html_()
    assert f"{way.values()[-1]:.6g}" in html
    assert len(re.search(r"points='([^']+)'", html)[1].split()) == 60


def test_a_claim_shows_statement_assumptions_source_and_evidence():
    claim = pt.claims["strict-saddles"]
    html = claim._repr_html_()
    assert all(part in html for part in (claim.title, claim.where, *claim.evidence, *claim.figures))


def test_directions_are_a_dict_that_knows_its_angles(problem):
    net, data = problem
    found = pt.update_directions(net, data)
    assert isinstance(found, dict)
    angles, expected = found.angles(), cosines(found)
    assert angles["gd"]["pc"] == pytest.approx(np.degrees(np.arccos(expected["gd"]["pc"])))
    assert found.angles(found["pc"])["gd"] == pytest.approx(angles["gd"]["pc"])
    assert angles["gd"]["gd"] == pytest.approx(0, abs=2e-6)
    assert "degrees between" in found._repr_html_()
    origin = pt.update_directions(LinearPCN.zeros((3, 4, 4, 2)), data)
    assert np.isnan(origin.angles()["gd"]["pc"])
