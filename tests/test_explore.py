"""The scenes of `pctheory.explore`: what they compute against other roads, and their controls in Jupyter."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from scipy.linalg import expm
from strategies import problems, seeds

import pctheory as pt
from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss, gradient_descent
from pctheory.explore import (
    DIRECTIONS,
    METHODS,
    PROBLEMS,
    RULES,
    Inference,
    Plane,
    Sizes,
    TrustRegion,
    deformation,
    descent,
    direction,
    plane_of,
    problem,
    rule_path,
)
from pctheory.explore._paths import descents
from pctheory.explore._plane import grid_size
from pctheory.explore._widgets import panel
from pctheory.inference import activities_from_errors, error_gradient, error_hessian, inference_rate
from pctheory.plotting import Ground, Stage
from pctheory.plotting.theme import LANDSCAPE
from pctheory.trust_region import gauss_newton_matrix, gauss_newton_step, implied_radius

SCENES = {"Plane": Plane, "Inference": Inference, "TrustRegion": TrustRegion, "Sizes": Sizes}


def made(name):
    return Sizes() if name == "Sizes" else SCENES[name](*problem("random network"))


@given(problems())
def test_the_landscape_deforms_from_the_loss_to_the_equilibrated_energy(drawn):
    net, data = drawn
    rows = net.flatten() * np.array([[1.0], [0.5], [-0.3]])
    found = deformation(net, data.compress(), rows)
    for time, objective in ((0.0, MSELoss(data)), (math.inf, EquilibratedEnergy(data))):
        expected = objective.values(net, rows)
        np.testing.assert_allclose(found.at(time), expected, rtol=1e-10, atol=1e-12)


@given(problems(min_depth=2, max_depth=4, max_width=3, gain=(0.3, 1.2)))
def test_the_energy_after_a_time_is_that_of_the_flow_of_the_errors(drawn):
    net, data = drawn
    hessian = error_hessian(net) @ np.eye(sum(net.widths[1:-1]))
    zero = [np.zeros((data.num_samples, n)) for n in net.widths[1:-1]]
    slope = error_gradient(net, data, zero)  # of the mean
    start = np.concatenate([p.colour(s) for p, s in zip(net.precisions, slope, strict=False)], axis=1)
    time = 0.37
    flow = (expm(-time * hessian) - np.eye(len(hessian))) @ np.linalg.inv(hessian)  # w(t) = flow B slope
    whitened = data.num_samples * start @ flow.T
    cuts = np.cumsum(net.widths[1:-1])[:-1]
    errors = [p.unwhiten(w) for p, w in zip(net.precisions, np.split(whitened, cuts, axis=1), strict=False)]
    expected = float(pt.inference.error_energy(net, data, errors))
    assert float(deformation(net, data, net.flatten()).at(time)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_direction_is_a_unit_vector_or_refused_with_its_name(name):
    net, data = problem("chain of three")
    moved = net.unflatten(np.array([0.4, -0.7, 0.9]))
    if name == "escape":
        with pytest.raises(ValueError, match="`escape` must start at a strict saddle"):
            direction(moved, data, name)
        moved = net
    vector = direction(moved, data, name)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-14)
    if name.startswith(("sharpest", "softest")):
        objective = EquilibratedEnergy(data) if name.endswith("F*") else MSELoss(data)
        values, columns = np.linalg.eigh(objective.hessian(moved))
        expected = columns[:, -1 if name.startswith("sharpest") else 0]
        assert abs(vector @ expected) == pytest.approx(1, abs=1e-10)
        assert values[0] < values[-1]
    if name.startswith("gradient"):  # downhill
        objective = EquilibratedEnergy(data) if name.endswith("F*") else MSELoss(data)
        slope = moved.join(objective.gradient(moved))
        assert vector @ slope == pytest.approx(-np.linalg.norm(slope), rel=1e-12)
    if name == "escape":
        assert vector @ EquilibratedEnergy(data).hessian(net) @ vector < 0


def test_what_has_no_landscape_or_path_is_refused():
    net, data = problem("random network")
    with pytest.raises(ValueError, match=r"`vectors` must have shape \(..., 72\)"):
        deformation(net, data, np.zeros((3, 5)))
    for rule in RULES:
        with pytest.raises(ValueError, match="`steps` must be 0 or more"):
            rule_path(net, data, rule, 0.1, -1)


@pytest.mark.claim("envelope-gradient")
@given(problems(max_depth=5, max_width=4, gain=(0.3, 1.2)), seeds)
def test_both_descents_as_one_stack_are_those_on_the_exact_gradients(drawn, seed):
    net, data = drawn
    masks = [np.random.default_rng(seed).random(w.shape) < 0.2 for w in net.weights]
    masks[-1][0, 0] = False  # something learns
    for own in (net, net.replace(fixed=masks)):
        for found, objective in zip(
            descents(own, data, 0.01, 5), (MSELoss(data), EquilibratedEnergy(data)), strict=True
        ):
            exact = gradient_descent(objective, own, 0.01, 5).weights[: len(found)]
            np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-10 * np.max(np.abs(exact)))


def test_a_descent_that_runs_away_ends_and_leaves_the_other_alone():
    net, data = LinearPCN([[[3.0]], [[3.0]]]), Data([[1.0]], [[1.0]])
    loss, energy = descents(net, data, 0.5, 40)
    assert len(loss) < len(energy) == 41
    assert np.linalg.norm(loss[-1]) < 1e3
    exact = gradient_descent(EquilibratedEnergy(data), net, 0.5, 40).weights
    np.testing.assert_allclose(energy, exact, rtol=1e-10)


def test_two_directions_span_an_orthonormal_plane_or_are_refused():
    net, data = problem("random network")
    plane = plane_of(net, data, "gradient of F*", "random")
    np.testing.assert_allclose(plane @ plane.T, np.eye(2), atol=1e-13)
    with pytest.raises(ValueError, match="must not be parallel"):
        plane_of(net, data, "random", "random")
    with pytest.raises(ValueError, match="must not vanish"):
        plane_of(*problem("two weights"), "gradient of F*", "random")
    with pytest.raises(ValueError, match="two weights or more"):
        plane_of(LinearPCN([[[1.0]]]), Data([[1.0]], [[1.0]]), "random", "first weight")


@given(problems(max_depth=3, max_width=3))
def test_the_gauss_newton_step_solves_its_normal_equations(drawn):
    net, data = drawn
    gradient, matrix = net.join(MSELoss(data).gradient(net)), gauss_newton_matrix(net, data)
    for damping in (0.0, 0.5):
        step = net.join(gauss_newton_step(net, data, damping=damping))
        scale = np.linalg.norm(gradient) + np.linalg.norm(matrix, 2) * np.linalg.norm(step)
        np.testing.assert_allclose(
            (matrix + damping * np.eye(len(matrix))) @ step, -gradient, atol=1e-9 * scale + 1e-12
        )


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_leads_downhill(rule):
    net, data = problem("random network")
    path = rule_path(net, data, rule, 0.05, 10)
    objective = EquilibratedEnergy(data) if rule == "pc" else MSELoss(data)
    values = objective.values(net, path)
    assert len(path) == 11
    assert values[-1] < values[0]
    np.testing.assert_array_equal(path[0], net.flatten())
    if rule in ("gauss-newton", "trust-region"):
        step = gauss_newton_step(net, data, damping=0.0 if rule == "gauss-newton" else 1.0)
        np.testing.assert_allclose(path[1] - path[0], net.join(step) / 4, rtol=1e-9, atol=1e-14)


@given(problems(min_depth=2, max_depth=4, max_width=3, gain=(0.3, 1.2)))
def test_the_methods_of_inference_move_as_their_rules_say(drawn):
    net, data = drawn
    share, steps = 0.4, 3
    fixed = pt.equilibrium(net, data)
    for method in METHODS:
        found = descent(net, data, method)
        hidden = found.activities(share, steps)
        rows = np.concatenate(_stepped(net, data, method, share, steps)[1:-1], axis=1)
        scale = 1e-9 * inference_rate(net).condition * (1 + np.abs(rows).max())
        np.testing.assert_allclose(hidden, rows, atol=scale)
        parts = np.split(hidden, np.cumsum(net.widths[1:-1])[:-1], axis=1)
        gap = float(pt.energy(net, (data.x, *parts, data.y)) - fixed.energy)
        assert found.gaps(share, steps)[-1] == pytest.approx(gap, abs=scale)
        np.testing.assert_allclose(found.path(share, steps, 0)[-1], hidden[0], atol=scale)


def _stepped(net, data, method, share, steps):
    """The same by the definition of the method, one step after another."""
    if method == "newton":
        return pt.equilibrium(net, data).activities
    if method == "errors":
        values = np.linalg.eigvalsh(error_hessian(net) @ np.eye(sum(net.widths[1:-1])))
        errors = [np.zeros((data.num_samples, n)) for n in net.widths[1:-1]]
        for _ in range(steps):  # whitened: w -> w - g C^-1 dF/de
            slopes = error_gradient(net, data, errors)
            step = 2 * share / values[-1] * data.num_samples
            errors = [e - step * p.solve(s) for e, p, s in zip(errors, net.precisions, slopes, strict=False)]
        return activities_from_errors(net, data.x, errors)
    step = 2 * share / inference_rate(net).largest
    z = pt.inference.inference_start(net, data)
    for _ in range(steps):
        once = pt.relax(net, data, step, 1, start=z)
        if method == "heun":  # the mean of the slopes here and there
            twice = pt.relax(net, data, step, 1, start=once)
            once = tuple(a + 0.5 * (c - b) + 0.5 * (b - a) for a, b, c in zip(z, once, twice, strict=True))
        z = once
    return z


def test_the_trust_region_passes_predictive_coding_at_the_radius_of_inference():
    scene = made("TrustRegion")
    assert "to PC 0," in scene.note
    scene.move(radius=-2.0)
    assert scene.left[0] == pytest.approx(float(pt.loss(scene.net, scene.data)), rel=1e-12)
    assert np.all(np.diff(scene.left) <= 1e-12 * scene.left[0])
    assert scene.angles["backprop"][0] == pytest.approx(0, abs=1e-5)
    np.testing.assert_array_equal(scene.implied, implied_radius(scene.net, scene.data))
    with pytest.raises(ValueError, match="inference moves nothing"):
        TrustRegion(*problem("two weights"))
    with pytest.raises(ValueError, match="must have a hidden layer"):
        TrustRegion(LinearPCN([[[1.0]]]), Data([[1.0]], [[2.0]]))


def shown(scene, change):
    """What a scene hands to the ground of its first panel."""
    found = []
    ground = scene.grounds[0] if isinstance(scene, Plane) else scene.ground
    ground.set = lambda values, levels: found.append(values)
    change()
    return found[-1]


def test_the_plane_shows_the_loss_at_its_points():
    scene = made("Plane")
    values = shown(scene, lambda: scene.move(second="another random", extent=1.2))
    plane = plane_of(scene.net, scene.data, "first weight", "another random")
    axis = np.linspace(-1.2, 1.2, len(values))
    points = scene.net.flatten() + np.array([[axis[3], axis[7]], [axis[-1], axis[0]]]) @ plane
    expected = MSELoss(scene.data).values(scene.net, points)
    np.testing.assert_allclose([values[7, 3], values[0, -1]], expected, rtol=1e-10)


def test_the_ground_of_inference_is_the_energy_of_the_sample():
    scene = made("Inference")
    values = shown(scene, lambda: scene.move(sample=2))
    row = Data(scene.data.x[2:3], scene.data.y[2:3])
    axis = (
        np.linspace(-1, 1, len(values))
        * 1.4
        * np.linalg.norm(scene.descents["gd"].path(0.5, 0, 2) - scene._middle)
    )
    cuts = np.cumsum(scene.net.widths[1:-1])[:-1]
    for i, j in ((3, 7), (80, 0), (40, 60)):
        hidden = scene._middle + np.array([axis[i], axis[j]]) @ scene._axes
        value = float(pt.energy(scene.net, (row.x, *np.split(hidden[None], cuts, axis=1), row.y)))
        least = float(pt.equilibrium(scene.net, row).energy)
        assert values[j, i] == pytest.approx(value - least, rel=1e-9)


def test_the_ground_of_the_trust_region_is_the_loss_of_the_sample():
    net, data = problem("random network")
    net = net.replace(precisions=[2.0, np.linspace(1, 3, 6), np.array([[2.0, 0.5], [0.5, 1.0]])])
    scene = TrustRegion(net, data)
    values = shown(scene, lambda: scene.move(sample=3))
    axis = np.linspace(-scene._extent, scene._extent, len(values))
    cuts = np.cumsum(net.widths[1:-1])[:-1]
    for i, j in ((3, 7), (80, 0), (40, 60)):
        parts = np.split(np.array([[axis[i], axis[j]]]) @ scene._axes, cuts, axis=1)
        errors = [p.unwhiten(e) for p, e in zip(net.precisions, parts, strict=False)]
        left = scene.data.y[3:4] - activities_from_errors(net, scene.data.x[3:4], errors)[-1]
        assert values[j, i] == pytest.approx(
            0.5 * (left @ net.precisions[-1].value @ left.T).item(), rel=1e-9
        )


@pytest.mark.claim("limit-to-backprop")
def test_the_scene_of_sizes_says_what_the_library_says():
    scene = Sizes(depth=6, width=8, parameterisation="mupc", skips=True, precision=2.0)
    net = LinearPCN.random(
        (*[8] * 6, 4), parameterisation="mupc", skips=True, precisions=[*[2.0] * 5, 1.0], rng=0
    )
    largest = np.linalg.eigvalsh(pt.rescaling(net))[-1]
    mean = pt.expected_rescaling(net.widths, "mupc", skips=True, precisions=[*[2.0] * 5, 1.0])[0, 0]
    kappa = pt.condition_number(net), pt.condition_number(net, "errors")
    sizes = pt.limits.forward_rms(net.widths, "mupc", skips=True)
    np.testing.assert_allclose(scene.rms.get_ydata(), sizes, rtol=1e-12)
    time = pt.dynamics.escape_time((1,) * 6, 1e-3, 2.0, objective="energy")
    assert scene.times["energy"].get_ydata()[2] == pytest.approx(time, rel=1e-12)
    assert f"largest eigenvalue of S {largest:.3g} (mean of S {mean:.3g})" in scene.note
    assert f"condition number {kappa[0]:.3g} in the activities, {kappa[1]:.3g} in the errors" in scene.note


def other(control, value):
    """Another value of a control."""
    if hasattr(control, "options"):
        return next(o for o in control.options[::-1] if o != value)
    return (not value) if isinstance(value, bool) else control.low if value != control.low else control.high


@pytest.mark.parametrize("name", SCENES)
def test_every_control_moves_its_scene_from_jupyter(name):
    scene = made(name)
    if name == "Plane":
        scene.move(second="another random")
    box = panel(scene)
    for setting, control in scene.CONTROLS.items():
        before, note, kept = box.canvas.picture, box.note.value, scene.settings[setting]
        value = {"first": "random", "second": "gradient of F*"}.get(setting) or other(
            control, scene.settings[setting]
        )
        box.controls[setting].value = value
        assert scene.settings[setting] == value
        assert "<b>" not in box.note.value
        if setting not in ("azimuth", "elevation"):  # of the relief alone
            assert (box.canvas.picture, box.note.value) != (before, note), setting
        box.controls[setting].value = kept


def test_a_refused_setting_is_said_and_taken_back():
    box = panel(Plane(*problem("two weights")))
    box.controls["second"].value = "gradient of F*"
    assert "must not vanish" in box.note.value
    assert box.controls["second"].value == "last weight"
    box.controls["inference"].value = 1.0
    assert "F* at the point" in box.note.value


@pytest.mark.parametrize(
    ("name", "where", "settings"),
    [
        ("Plane", (0.12, 0.5), ("right", "up")),
        ("Inference", (0.5, 0.5), ("iterations",)),
        ("TrustRegion", (0.12, 0.7), ("radius",)),
        ("TrustRegion", (0.5, 0.5), ("radius",)),
    ],
)
def test_a_touch_of_the_picture_moves_the_scene(name, where, settings):
    scene = made(name)
    box = panel(scene)
    before = [scene.settings[s] for s in settings]
    box.canvas.pointer = [*where, 0.0, 0.0, 1.0]
    assert [scene.settings[s] for s in settings] != before
    assert [box.controls[s].value for s in settings] == [scene.settings[s] for s in settings]
    picture = box.canvas.picture
    box.canvas.pointer = [0.999, 0.001, 0.0, 0.0, 2.0]  # beside the panels
    assert box.canvas.picture == picture


def test_a_drag_turns_the_relief():
    box = panel(Plane(*problem("chain of three"), second="first weight", first="last weight", view="relief"))
    box.canvas.pointer = [0.12, 0.5, 0.1, 0.2, 1.0]
    assert box.controls["azimuth"].value == pytest.approx(35 - 18)
    assert box.controls["elevation"].value == pytest.approx(35 + 18)


def test_the_front_shows_every_scene_of_every_problem():
    front = pt.explore()
    chosen, place = front.children
    assert chosen.options == PROBLEMS
    for name in ("two weights", "random network"):
        chosen.value = name
        tab = place.children[0]
        for index in range(len(SCENES)):
            tab.selected_index = index
            assert len(tab.children[index].children) == 1


def test_the_front_takes_a_users_network_and_refuses_what_does_not_fit():
    net = LinearPCN.random((3, 4, 2), rng=0)
    tab = pt.explore(net)
    assert len(tab.children[0].children) == 1
    module = pytest.importorskip("torch").nn.Sequential()
    module.append(sys.modules["torch"].nn.Linear(3, 2, bias=False))
    assert Plane(module).net.widths == (3, 2)
    with pytest.raises(ValueError, match="`data` must have 3 columns of x and 2 of y"):
        Plane(net, Data([[1.0]], [[1.0]]))
    for scene in (Plane, Inference, TrustRegion, pt.explore):
        with pytest.raises(TypeError, match="`net` must be given"):
            scene(data=Data([[1.0]], [[1.0]]))
        with pytest.raises(ValueError, match="`net` must have no biases"):
            scene(LinearPCN([[[1.0]], [[2.0]]], biases=[[1.0], [0.0]]))
    with pytest.raises(ValueError, match="`inference` must lie between 0 and 1"):
        Plane(net).move(inference=2.0)
    with pytest.raises(ValueError, match="`setting` must be"):
        Plane(net).move(nonsense=1)


def test_a_grid_has_101_points_a_side_for_small_networks_and_fewer_for_large_ones():
    assert grid_size(2, 1) == 101
    assert grid_size(10_000, 10) == 25


def test_a_scene_is_a_figure_that_can_be_saved(tmp_path):
    scene = Plane(*problem("two weights"), view="relief")
    assert scene._repr_png_().startswith(b"\x89PNG")
    scene.figure.savefig(tmp_path / "plane.png")
    assert (tmp_path / "plane.png").stat().st_size > 10_000


def test_the_scenes_need_no_widgets():
    code = "import sys, pctheory as pt; pt.explore.Plane(); print('ipywidgets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_picture_after_many_moves_is_that_of_a_scene_made_so():
    """What is drawn in parts, text by text and view by view, is what is drawn at once."""
    net, data = problem("two weights")
    scene = Plane(net, data)
    for extent in (2.3, 0.7):
        scene.move(view="relief", extent=extent + 0.1)
        scene.move(right=0.4, up=-0.3, inference=0.8)
        scene.move(view="contours", steps=7)
        scene.move(extent=extent)
        fresh = Plane(net, data, **scene.settings)
        apart = scene.stage.pixels().astype(int) - fresh.stage.pixels()
        assert np.max(np.abs(apart)) <= 2, extent  # of 255: rounding of the lines


def test_colours_lie_at_the_points_of_their_grid():
    """The corners and the middle of a panel have the colours of the corners and the middle of the grid."""
    stage = Stage(2.0, 2.0)
    ax = stage.figure.subplots()
    ax.set_axis_off()
    ground = Ground(stage, ax)
    values = np.arange(9.0).reshape(3, 3)
    ground.set(values, np.linspace(0.0, 8.0, 9))
    ground.lines.set_visible(False)
    stage.refresh()
    pixels = stage.pixels()[::-1].astype(int)  # bottom row first
    colours = LANDSCAPE(values / 8.0, bytes=True)[..., :3].astype(int)
    left, bottom, right, top = (round(v) for v in ax.bbox.extents)
    for row, y in enumerate((bottom + 1, (bottom + top) // 2, top - 2)):
        for column, x in enumerate((left + 1, (left + right) // 2, right - 2)):
            assert np.max(np.abs(pixels[y, x] - colours[row, column])) <= 6, (row, column)
