"""BlockTridiagonal against dense numpy, scipy, torch and JAX; spectra against closed forms."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds
from tolerances import EPS, assert_close

from pctheory.linalg import BlockTridiagonal, lower_factor, qr_root, solve_lower, thin_qr
from pctheory.linalg.spectrum import SpectrumEnds


def dense(diagonal, lower):
    """H written out block by block."""
    starts = np.cumsum([0, *(len(d) for d in diagonal)])
    full = np.zeros((starts[-1], starts[-1]))
    for l, block in enumerate(diagonal):
        full[starts[l] : starts[l + 1], starts[l] : starts[l + 1]] = block
    for l, block in enumerate(lower):
        full[starts[l + 1] : starts[l + 2], starts[l] : starts[l + 1]] = block
        full[starts[l] : starts[l + 1], starts[l + 1] : starts[l + 2]] = block.T
    return full


def positive_definite(sizes, rng, gain=1.0):
    """Blocks of J^T J for a random block-bidiagonal J."""
    own = [np.eye(n) + 0.3 * rng.standard_normal((n, n)) for n in sizes]
    down = [gain * rng.standard_normal((b, a)) for a, b in pairwise(sizes)]
    diagonal = [j.T @ j for j in own]
    for l, j in enumerate(down):
        diagonal[l] = diagonal[l] + j.T @ j
    return diagonal, [j.T @ d for j, d in zip(own[1:], down, strict=True)]


@st.composite
def cases(draw, max_blocks=6):
    """H, its dense form, its condition, a generator."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=max_blocks))
    rng = np.random.default_rng(draw(seeds))
    blocks = positive_definite(sizes, rng, gain=draw(st.floats(0.0, 2.0)))
    full = dense(*blocks)
    return BlockTridiagonal(*blocks), full, np.linalg.cond(full), rng


def indefinite(sizes, rng):
    diagonal = [rng.standard_normal((n, n)) for n in sizes]
    lower = [rng.standard_normal((b, a)) for a, b in pairwise(sizes)]
    return [d + d.T for d in diagonal], lower


def path_graph(num_blocks):
    return BlockTridiagonal([[[2.0]]] * num_blocks, [[[-1.0]]] * (num_blocks - 1))


# Products


@given(cases())
def test_products_splits_and_dense_forms_agree_with_the_matrix_written_out(case):
    H, full, _, rng = case
    rows = rng.standard_normal((3, len(full)))
    assert H.shape == full.shape
    assert_close(H.to_dense(), full, size=1)
    scale = np.abs(full).sum(axis=1).max() * np.abs(rows).max()
    assert_close(H.matvec(rows), rows @ full, size=len(full), scale=scale)
    assert [part.shape for part in H.split(rows)] == [(3, n) for n in H.sizes]
    np.testing.assert_array_equal(H.join(H.split(rows)), rows)
    operator = H.as_linear_operator()
    assert_close(operator @ rows.T, full @ rows.T, size=len(full), scale=scale)
    assert_close(operator @ rows[0], full @ rows[0], size=len(full), scale=scale)
    assert_close(operator.H @ rows[0], full @ rows[0], size=len(full), scale=scale)
    assert_close(H.shifted(0.7).to_dense(), full + 0.7 * np.eye(len(full)), size=1)


# The factor


@given(cases())
def test_the_factor_times_its_transpose_is_the_matrix(case):
    H, full, _, _ = case
    factor = H.cholesky().to_dense()
    assert_close(factor @ factor.T, full, size=len(full), scale=np.linalg.norm(full, 2))


@given(cases(), st.integers(0, 4))
def test_solve_inverts_the_matrix(case, num_rows):
    H, full, kappa, rng = case
    rows = rng.standard_normal((num_rows, len(full)))
    before = rows.copy()
    solution = H.cholesky().solve(rows)
    np.testing.assert_array_equal(rows, before)  # the in-place steps work on copies
    np.testing.assert_array_equal(H.to_dense(), BlockTridiagonal(H.diagonal, H.lower).to_dense())
    assert_close(solution, np.linalg.solve(full, rows.T).T, size=len(full), kappa=kappa)
    scale = np.linalg.norm(full, 2) * np.max(np.abs(solution), initial=0)
    assert_close(
        H.matvec(solution), rows, size=len(full) ** 1.5, scale=scale
    )  # the residual knows no condition


@given(cases())
def test_logdet_is_that_of_the_dense_matrix(case):
    H, full, kappa, _ = case
    sign, expected = np.linalg.slogdet(full)
    assert sign == 1
    scale = max(1.0, np.abs(np.log(np.linalg.eigvalsh(full))).max())
    assert_close(H.cholesky().logdet(), expected, size=len(full), kappa=kappa, scale=scale)


@given(cases())
def test_inverse_blocks_are_those_of_the_dense_inverse(case):
    H, full, kappa, _ = case
    inverse = np.linalg.inv(full)
    starts = np.cumsum([0, *H.sizes])
    diagonal, lower = H.cholesky().inverse_blocks()
    options = {"size": len(full), "kappa": kappa, "scale": np.linalg.norm(inverse, 2)}
    assert (len(diagonal), len(lower)) == (H.num_blocks, H.num_blocks - 1)
    for l, block in enumerate(diagonal):
        here = slice(starts[l], starts[l + 1])
        assert_close(block, inverse[here, here], **options)
        np.testing.assert_array_equal(block, block.T)
        if l < len(lower):
            assert_close(lower[l], inverse[starts[l + 1] : starts[l + 2], here], **options)


@given(cases(max_blocks=3))
def test_single_precision_stays_single(case):
    H, full, kappa, rng = case
    single = BlockTridiagonal(
        [d.astype(np.float32) for d in H.diagonal], [e.astype(np.float32) for e in H.lower]
    )
    rows = rng.standard_normal((2, len(full)))
    factor = single.cholesky()
    solution = factor.solve(rows)
    assert solution.dtype == single.matvec(rows).dtype == factor.inverse_blocks()[0][0].dtype == np.float32
    eps = float(np.finfo(np.float32).eps)
    assert_close(solution, np.linalg.solve(full, rows.T).T, size=len(full), kappa=kappa, eps=eps)


def test_one_row_out_of_a_batch_is_solved_like_the_batch(rng):
    H = BlockTridiagonal(*positive_definite([4, 2, 5], rng))
    rows = np.asfortranarray(rng.standard_normal((6, 11)))  # rows in the other memory order, and strided
    whole = H.cholesky().solve(rows)
    kappa = np.linalg.cond(H.to_dense())
    assert_close(H.cholesky().solve(rows[::2]), whole[::2], size=11, kappa=kappa)
    assert_close(H.cholesky().solve([rows[1].tolist()]), whole[1:2], size=11, kappa=kappa)


# The spectrum


@given(cases(), st.integers(0, 2**31), st.booleans())
def test_extreme_eigenvalues_are_those_of_the_dense_matrix(case, pick, definite):
    H, full, _, rng = case
    if not definite:
        blocks = indefinite(H.sizes, rng)
        H, full = BlockTridiagonal(*blocks), dense(*blocks)
    k = 1 + pick % len(full)
    found, expected = H.extreme_eigenvalues(k), np.linalg.eigvalsh(full)
    scale = np.abs(expected).max()
    assert_close(found.smallest, expected[:k], size=len(full), scale=scale)
    assert_close(found.largest, expected[::-1][:k], size=len(full), scale=scale)
    assert max(found.smallest_residuals.max(), found.largest_residuals.max()) <= 16 * len(full) * EPS * scale
    for rows in (found.smallest_vectors, found.largest_vectors):
        assert_close(rows @ rows.T, np.eye(k), size=len(full) ** 1.5)


@pytest.mark.parametrize("num_blocks", [1, 2, 7, 401])
def test_the_path_graph_has_eigenvalues_two_minus_two_cosines(num_blocks):
    expected = 2 - 2 * np.cos(np.arange(1, num_blocks + 1) * np.pi / (num_blocks + 1))
    k = 1 if num_blocks > 400 else min(num_blocks, 3)
    found = path_graph(num_blocks).extreme_eigenvalues(k)
    assert_close(found.smallest, expected[:k], size=num_blocks, scale=4.0)
    assert_close(found.largest, expected[::-1][:k], size=num_blocks, scale=4.0)
    # det = num_blocks + 1; pivots 1 + 1/j carry eps each, amplified at most num_blocks times down the
    # recursion
    assert_close(
        path_graph(num_blocks).cholesky().logdet(), np.log(num_blocks + 1), size=num_blocks**2, scale=1.0
    )


@pytest.mark.parametrize("definite", [True, False])
def test_lanczos_and_dense_eigenvalues_agree_on_a_large_matrix(definite, rng):
    sizes = [40 + 5 * (l % 4) for l in range(10)]
    blocks = positive_definite(sizes, rng, gain=0.2) if definite else indefinite(sizes, rng)
    found, expected = BlockTridiagonal(*blocks).extreme_eigenvalues(3), np.linalg.eigvalsh(dense(*blocks))
    scale, size = np.abs(expected).max(), sum(sizes)
    assert size > 400
    assert_close(found.smallest, expected[:3], size=size, scale=scale)
    assert_close(found.largest, expected[::-1][:3], size=size, scale=scale)
    again = BlockTridiagonal(*blocks).extreme_eigenvalues(3)
    np.testing.assert_array_equal(found.smallest_vectors, again.smallest_vectors)  # deterministic


def test_every_copy_of_a_multiple_eigenvalue_is_found(rng):
    depth, width = 9, 60  # orthogonal maps: each 2 - 2 cos(k pi / depth) `width` times
    maps = [np.linalg.qr(rng.standard_normal((width, width)))[0] for _ in range(depth - 2)]
    H = BlockTridiagonal([2 * np.eye(width)] * (depth - 1), [-a for a in maps])
    found, size = H.extreme_eigenvalues(4), width * (depth - 1)
    assert size > 400
    assert_close(found.smallest, np.full(4, 2 - 2 * np.cos(np.pi / depth)), size=size, scale=4.0)
    assert_close(found.largest, np.full(4, 2 + 2 * np.cos(np.pi / depth)), size=size, scale=4.0)
    assert_close(found.smallest_vectors @ found.smallest_vectors.T, np.eye(4), size=size)


def chain(gains, depth):
    """H = J^T J with J = I - diag(gains) below the diagonal, and the smallest eigenvalue of each unit's own
    chain.

    J^{-1} has the entries gain^(i - j), so that its largest singular value is known to eps: gain^59 is about
    1e18.
    """
    gains = np.asarray(gains)
    H = BlockTridiagonal(
        [np.diag(1 + gains**2)] * (depth - 1) + [np.eye(len(gains))], [-np.diag(gains)] * (depth - 1)
    )
    steps = np.subtract.outer(np.arange(depth), np.arange(depth))
    powers = [np.where(steps >= 0, g ** np.maximum(steps, 0), 0.0) for g in gains]
    return H, np.sort([np.linalg.norm(power, 2) ** -2 for power in powers])


@pytest.mark.parametrize(
    "k, gains", [(1, [2.0]), (3, [2.0, 1.5, 1.25]), (2, [2, 1.75, 1.5, 1.375, 1.25, 1.125, 1])]
)
def test_exponentially_small_eigenvalues_keep_their_relative_precision_where_the_factor_is_exact(k, gains):
    H, expected = chain(gains, 60)  # dyadic gains: the pivots are exactly 1
    found, expected = H.extreme_eigenvalues(k), expected[:k]
    assert 1e-40 < expected[0] < 1e-30
    # deflation leaves eps of the first pair on both sides of the inverse: eps^2 / lambda_1 beside 1 /
    # lambda_i
    limits = 16 * H.shape[0] * (EPS * (1 + max(gains) ** 2) + EPS**2 * expected / expected[0])
    assert np.all(np.abs(found.smallest / expected - 1) <= limits)
    assert_close(H.cholesky().logdet(), 0.0, size=1, scale=1.0)


def test_rounded_entries_move_small_eigenvalues_by_eps_of_the_largest():
    H, expected = chain([1.2, 1.3, 1.4, 1.6, 1.7, 1.8, 1.9], 60)  # 1 + gain^2 is rounded now
    found = H.extreme_eigenvalues(2)
    assert H.shape[0] > 400
    assert expected[0] < 1e-30
    assert_close(found.smallest, expected[:2], size=H.shape[0], scale=found.largest[0])
    assert found.smallest_residuals.max() <= 16 * H.shape[0] * EPS * found.largest[0]
    with pytest.raises(ValueError, match="must be positive definite"):  # H as stored is not, by that much
        H.cholesky()


def test_elimination_from_the_first_block_would_lose_these_eigenvalues():
    depth = 60
    diagonal = np.full(depth, 5.0)
    diagonal[-1] = 1.0
    pivot = diagonal[0]
    for value in diagonal[1:]:
        pivot = value - 4.0 / pivot
    assert abs(pivot) <= 16 * EPS  # exactly 4^-59, about 3e-36: nothing is left of it
    reverse = BlockTridiagonal(diagonal[:, None, None], [[[-2.0]]] * (depth - 1)).cholesky()
    np.testing.assert_array_equal([c.item() for c in reverse.pivots], np.ones(depth))


# Other array libraries


def torch_blocks(blocks, **options):
    return [[torch.tensor(b, **options) for b in part] for part in blocks]


def value_through_blocks(H, rows, weights, xp_sum):
    factor = H.cholesky()
    diagonal, lower = factor.inverse_blocks()
    covariances = sum(xp_sum(b * b) for b in (*diagonal, *lower))
    return (
        xp_sum(weights * factor.solve(rows))
        + factor.logdet()
        + covariances
        + xp_sum(weights * H.matvec(rows))
    )


@given(cases(max_blocks=4))
def test_torch_gradients_agree_with_dense_autograd(case):
    H, full, kappa, rng = case
    rows, weights = torch.tensor(rng.standard_normal((2, 3, len(full))))
    leaves = torch_blocks((H.diagonal, H.lower), requires_grad=True)
    flat = [*leaves[0], *leaves[1]]
    diagonal = [(d + d.T) / 2 for d in leaves[0]]
    twin = BlockTridiagonal(diagonal, leaves[1])
    value = value_through_blocks(twin, rows, weights, torch.sum)

    starts = np.cumsum([0, *H.sizes])
    matrix = torch.zeros(full.shape, dtype=torch.float64)
    mask = torch.zeros(full.shape, dtype=torch.float64)
    for l, d in enumerate(diagonal):
        here = slice(starts[l], starts[l + 1])
        matrix = matrix.index_put(
            tuple(torch.meshgrid(*[torch.arange(starts[l], starts[l + 1])] * 2, indexing="ij")), d
        )
        mask[here, here] = 1
        if l < len(leaves[1]):
            below = torch.meshgrid(
                torch.arange(starts[l + 1], starts[l + 2]),
                torch.arange(starts[l], starts[l + 1]),
                indexing="ij",
            )
            matrix = matrix.index_put(below, leaves[1][l]).index_put((below[1].T, below[0].T), leaves[1][l].T)
            mask[below] = 1
    inverse = torch.linalg.inv(matrix)
    solution = torch.linalg.solve(matrix, rows.T).T
    expected = (
        torch.sum(weights * solution)
        + torch.logdet(matrix)
        + torch.sum(mask * inverse**2)
        + torch.sum(weights * (rows @ matrix))
    )
    norm = np.linalg.norm(inverse.detach().numpy(), 2)
    strength = float(torch.sum(rows.abs()) * torch.sum(weights.abs()))
    scale = strength * (norm + np.linalg.norm(full, 2)) + len(full) * (1 + np.log(kappa) + norm**2)
    assert_close(value.item(), expected.item(), size=len(full), kappa=kappa, scale=scale)
    # each derivative is a product of two solutions, or of three inverses
    scale = strength * (norm**2 + 1) + norm + 2 * len(full) * norm**3
    for ours, theirs in zip(
        torch.autograd.grad(value, flat, retain_graph=True), torch.autograd.grad(expected, flat), strict=True
    ):
        assert_close(ours, theirs, size=len(full), kappa=kappa, scale=scale)


def test_jax_values_and_gradients_agree_with_numpy_and_torch(rng):
    blocks = positive_definite([2, 1], rng)
    rows, weights = rng.standard_normal((2, 3, 3))
    kappa = np.linalg.cond(dense(*blocks))

    def of(diagonal, lower):
        return value_through_blocks(
            BlockTridiagonal(diagonal, lower), jnp.asarray(rows), jnp.asarray(weights), jnp.sum
        )

    leaves = torch_blocks(blocks, requires_grad=True)
    value = value_through_blocks(
        BlockTridiagonal(*leaves), *torch.tensor(np.stack([rows, weights])), torch.sum
    )
    expected = torch.autograd.grad(value, [*leaves[0], *leaves[1]])
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, blocks)
        H = BlockTridiagonal(*arrays)
        for ours, theirs in (
            (H.cholesky().solve(jnp.asarray(rows)), BlockTridiagonal(*blocks).cholesky().solve(rows)),
            (H.matvec(rows.tolist()), BlockTridiagonal(*blocks).matvec(rows)),
        ):
            assert isinstance(ours, jax.Array)
            assert_close(ours, theirs, size=3, kappa=kappa)
        assert_close(of(*arrays), value.item(), size=3, kappa=kappa)
        gradient = jax.jit(jax.grad(of, argnums=(0, 1)))(*arrays)
        scale = max(float(g.abs().max()) for g in expected)
        for ours, theirs in zip(jax.tree.leaves(gradient), expected, strict=True):
            assert_close(ours, theirs, size=3, kappa=kappa, scale=scale)


def test_eigenvalues_of_torch_blocks_are_numpy_numbers(rng):
    blocks = positive_definite([3, 2], rng)
    found = BlockTridiagonal(*torch_blocks(blocks, requires_grad=True)).extreme_eigenvalues(2)
    expected = BlockTridiagonal(*blocks).extreme_eigenvalues(2)
    np.testing.assert_array_equal(found.smallest, expected.smallest)
    assert isinstance(found.largest, np.ndarray)


# Edges and errors


def test_no_blocks_is_the_empty_matrix():
    H = BlockTridiagonal([], [])
    rows = np.zeros((3, 0))
    assert H.shape == (0, 0)
    assert H.to_dense().shape == (0, 0)
    assert H.matvec(rows).shape == H.cholesky().solve(rows).shape == (3, 0)
    assert H.split(rows) == ()
    assert H.cholesky().logdet() == 0
    assert H.cholesky().inverse_blocks() == ((), ())
    assert H.cholesky().to_dense().shape == H.shifted(1.0).shape == (0, 0)
    assert H.as_linear_operator().shape == (0, 0)
    assert H.matvec(torch.zeros((3, 0))).shape == (3, 0)
    with pytest.raises(ValueError, match="`k` must be at most the order of the matrix, 0"):
        H.extreme_eigenvalues()
    with pytest.raises(ValueError, match="`parts` must hold at least one block"):
        H.join([])


def test_one_block_is_an_ordinary_matrix():
    H = BlockTridiagonal([[[4.0, 2.0], [2.0, 2.0]]], [])
    assert_close(H.cholesky().logdet(), np.log(4.0), size=2, kappa=7)
    assert_close(H.cholesky().inverse_blocks()[0][0], [[0.5, -0.5], [-0.5, 1.0]], size=2, kappa=7)


def test_reprs_are_one_line():
    assert repr(path_graph(2)) == "BlockTridiagonal(2 blocks of order [1, 1], float64)"
    assert repr(path_graph(40)) == "BlockTridiagonal(40 blocks of order [1, 1, 1, 1, ..., 1, 1], float64)"
    assert repr(BlockTridiagonal([], [])) == "BlockTridiagonal(0 blocks of order [])"
    assert repr(path_graph(2).cholesky()) == f"BlockTridiagonalCholesky({path_graph(2)!r})"
    assert "SpectrumEnds(1 to 3, residuals" in repr(path_graph(2).extreme_eigenvalues())


ONE, TWO = np.eye(1), np.eye(2)


@pytest.mark.parametrize(
    "diagonal, lower, message",
    [
        (
            [ONE, ONE],
            [],
            r"`lower` must have one block fewer than `diagonal`: 1 for 2 diagonal blocks. Got 0",
        ),
        ([], [ONE], r"`lower` must have one block fewer than `diagonal`: 0 for 0"),
        ([np.ones((1, 2))], [], r"`diagonal\[0\]` must be square. Got shape \(1, 2\)"),
        ([ONE, TWO], [np.ones((1, 2))], r"`lower\[0\]` must have shape \(2, 1\).*Got \(1, 2\)"),
        ([[[1.0, 0.5], [0.4, 1.0]]], [], r"`diagonal\[0\]` must be symmetric. Got .* 1.0e-01"),
        ([[[np.nan]]], [], r"`diagonal\[0\]` must be finite"),
        ([ONE, ONE], [[[np.inf]]], r"`lower\[0\]` must be finite"),
        ([np.ones(3)], [], r"`diagonal\[0\]` must be a two-dimensional array"),
    ],
)
def test_malformed_blocks_are_refused(diagonal, lower, message):
    with pytest.raises(ValueError, match=message):
        BlockTridiagonal(diagonal, lower)


def test_mixed_libraries_are_refused():
    with pytest.raises(TypeError, match="`diagonal and lower` must all be arrays of one library"):
        BlockTridiagonal([ONE, torch.eye(1)], [ONE])
    with pytest.raises(TypeError, match="must all be arrays of one library"):
        path_graph(1).matvec(torch.ones((1, 1)))


def test_half_and_extended_precision_are_refused():
    wrong = [np.float16] if np.finfo(np.longdouble).eps == EPS else [np.float16, np.longdouble]
    for dtype in wrong:
        with pytest.raises(TypeError, match=r"`diagonal\[0\]` must be a real array of float32, float64"):
            BlockTridiagonal([np.eye(2, dtype=dtype)], [])


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor, jnp.asarray])
def test_the_block_where_definiteness_fails_is_named(library):
    with jax.enable_x64(True):
        blocks = [library(np.array([[v]])) for v in (1.0, -1.0, 1.0)]
        zero = library(np.zeros((1, 1)))
        with pytest.raises(
            ValueError, match=r"must be positive definite.*stops at `diagonal\[1\]` of 3 blocks"
        ):
            BlockTridiagonal(blocks, [zero, zero]).cholesky()


@pytest.mark.parametrize("rows", [np.ones(2), np.ones((1, 3)), [[1.0, np.nan]]])
def test_malformed_rows_are_refused(rows):
    with pytest.raises(ValueError, match="`rows` must"):
        path_graph(2).matvec(rows)
    with pytest.raises(ValueError, match="`rows` must"):
        path_graph(2).cholesky().solve(rows)


def test_malformed_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`parts` must have shapes \(B, n_l\)"):
        path_graph(2).join([np.ones((1, 1)), np.ones((2, 1))])
    with pytest.raises(ValueError, match="`k` must be at most the order of the matrix, 2. Got 3"):
        path_graph(2).extreme_eigenvalues(3)
    with pytest.raises(ValueError, match="`k` must be 1 or more"):
        path_graph(2).extreme_eigenvalues(0)
    with pytest.raises(TypeError, match="`sigma` must be a real number"):
        path_graph(2).shifted("1")


def test_the_ends_of_a_spectrum_print_their_worst_residual():
    one, two = np.array([0.5, 1.0]), np.eye(2)
    ends = SpectrumEnds(one, 4 * one[::-1], two, two, np.array([1e-12, 2e-12]), np.array([3e-9, 1e-13]))
    assert repr(ends) == "SpectrumEnds(0.5 to 4, residuals <= 3.0e-09)"


# Dense kernels


ORDERS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.longdouble])
@pytest.mark.parametrize("lower_order", ["C", "F"])
@pytest.mark.parametrize("rows_order", ORDERS)
@pytest.mark.parametrize("transposed", [False, True])
def test_triangular_solves_do_not_depend_on_the_order_in_memory(
    dtype, lower_order, rows_order, transposed, rng
):
    if dtype == np.longdouble:  # no kernel: LAPACK refuses it
        with pytest.raises(TypeError):
            solve_lower(np.eye(2, dtype=dtype), np.ones((1, 2), dtype=dtype))
        return
    lower = np.tril(rng.standard_normal((5, 5))) + 3 * np.eye(5)
    rows = rng.standard_normal((3, 5))
    above = np.triu(rng.standard_normal((5, 5)), 1)  # is not to be read
    array = ORDERS[rows_order](rows.astype(dtype))
    before = array.copy()
    solved = solve_lower(ORDERS[lower_order]((lower + above).astype(dtype)), array, transposed=transposed)
    expected = np.linalg.solve(lower.T if transposed else lower, rows.T).T
    kappa = np.linalg.cond(lower)
    assert solved.dtype == dtype
    assert_close(solved, expected, size=5, kappa=kappa, eps=np.finfo(dtype).eps)
    assert np.array_equal(array, before)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (300, 3), (90, 70)])
def test_thin_qr_factors_into_orthonormal_columns_and_a_triangle(dtype, shape, rng):
    columns = rng.standard_normal(shape).astype(dtype)
    before = columns.copy()
    for array in (columns, np.asfortranarray(columns), torch.tensor(columns)):
        q, r = thin_qr(array)
        q, r = np.asarray(q), np.asarray(r)
        assert q.dtype == r.dtype == dtype
        eps = np.finfo(dtype).eps
        assert_close(q @ r, columns, size=sum(shape), eps=eps)
        assert_close(q.T @ q, np.eye(shape[1]), size=sum(shape), eps=eps)
        assert np.array_equal(r, np.triu(r))
        assert np.array_equal(np.asarray(qr_root(array)), r)
    assert np.array_equal(columns, before)


@pytest.mark.parametrize("library", [np.asarray, torch.tensor, jnp.asarray])
def test_the_factor_of_a_matrix_is_lower_or_none(library, rng):
    root = np.tril(rng.standard_normal((4, 4))) + 3 * np.eye(4)
    block = (root @ root.T).astype(np.float32)
    factor = np.asarray(lower_factor(library(block)))
    assert factor.dtype == np.float32
    assert_close(factor @ factor.T, block, size=16, eps=np.finfo(np.float32).eps)
    assert np.array_equal(factor, np.tril(factor))
    assert lower_factor(library(block - 100 * np.eye(4, dtype=np.float32))) is None
