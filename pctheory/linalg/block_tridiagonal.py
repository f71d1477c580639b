r"""Symmetric block-tridiagonal matrices with unequal blocks: products, factor, inverse blocks, spectrum.

.. math:: H = \begin{pmatrix} D_1 & E_1^T & \\ E_1 & D_2 & E_2^T \\ & E_2 & \ddots \end{pmatrix},
          \qquad D_l \in \mathbb R^{n_l \times n_l}, \quad E_l \in \mathbb R^{n_{l+1} \times n_l}.

Elimination runs from the last block to the first. For the activity Hessian of a predictive coding network
every pivot :math:`C_l C_l^T` is then at least :math:`\Pi_l`: it is the layer's own precision plus the
curvature of the energy of the layers above, minimised over their activities. In the other order pivots can be
as small as the smallest eigenvalue. In both, H must be positive definite as stored, and rounding its entries
moves its eigenvalues by :math:`\varepsilon \lambda_{\max}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj, is_numpy_namespace
from scipy.sparse.linalg import LinearOperator

from .. import _check
from .._check import Array
from ._kernels import ArrayAPI, Lapack, dense, identity
from .spectrum import SpectrumEnds, extreme_pairs

__all__ = ["BlockTridiagonal", "BlockTridiagonalCholesky"]


@dataclass(frozen=True, eq=False, repr=False)
class BlockTridiagonal:
    r"""A symmetric block-tridiagonal matrix H, in the array library of its blocks.

    Parameters
    ----------
    diagonal : m arrays (n_l, n_l)
        :math:`D_1, \dots, D_m`, symmetric up to rounding, which is removed. With m = 0 the matrix is 0 x 0.
    lower : m - 1 arrays (n_{l+1}, n_l)
        :math:`E_1, \dots, E_{m-1}`, below the diagonal.

    Notes
    -----
    Vectors are rows: a batch is (B, n) with :math:`n = \sum_l n_l`. Products cost :math:`O(B \sum_l n_l^2)`,
    the factorisation :math:`O(\sum_l n_l^3)`. Both are differentiable in the blocks, in torch and JAX.
    `product` and `BlockTridiagonalCholesky.substitute` are `matvec` and `solve` without checks, for loops.

    Examples
    --------
    >>> H = BlockTridiagonal([[[2.0]], [[2.0]]], [[[-1.0]]])
    >>> H.matvec([[1.0, 0.0]])
    array([[ 2., -1.]])
    >>> H.cholesky().solve([[1.0, 1.0]])
    array([[1., 1.]])
    """

    diagonal: Sequence[Array]
    lower: Sequence[Array]

    def __post_init__(self) -> None:
        diagonal = _check.matrices(self.diagonal, "diagonal")
        lower = _check.matrices(self.lower, "lower")
        if len(lower) != max(len(diagonal) - 1, 0):
            raise ValueError(
                f"`lower` must have one block fewer than `diagonal`: {max(len(diagonal) - 1, 0)} for "
                f"{len(diagonal)} diagonal blocks. Got {len(lower)}."
            )
        for l, block in enumerate(diagonal):
            if block.shape[0] != block.shape[1]:
                raise ValueError(f"`diagonal[{l}]` must be square. Got shape {tuple(block.shape)}.")
        for l, block in enumerate(lower):
            expected = (diagonal[l + 1].shape[0], diagonal[l].shape[0])
            if tuple(block.shape) != expected:
                raise ValueError(
                    f"`lower[{l}]` must have shape {expected}: it maps block {l} to block {l + 1}. Got "
                    f"{tuple(block.shape)}."
                )
        if diagonal:
            xp = _check.same_namespace([*diagonal, *lower], "diagonal and lower")
            dtype = xp.result_type(*diagonal, *lower)
            diagonal = [
                _symmetric(xp.astype(block, dtype), f"diagonal[{l}]") for l, block in enumerate(diagonal)
            ]
            lower = [xp.astype(block, dtype) for block in lower]
        object.__setattr__(self, "diagonal", tuple(diagonal))
        object.__setattr__(self, "lower", tuple(lower))

    @property
    def num_blocks(self) -> int:
        """Number m of diagonal blocks."""
        return len(self.diagonal)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Orders (n_1, ..., n_m) of the diagonal blocks."""
        return tuple(block.shape[0] for block in self.diagonal)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n) with n = n_1 + ... + n_m."""
        return sum(self.sizes), sum(self.sizes)

    def plot(self, ax: Any = None) -> Any:
        """The matrix as a picture, white at zero, with the borders of its blocks.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            A new figure's by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from ..plotting import plot_blocks

        return plot_blocks(_check.to_numpy(self.to_dense(), "blocks"), self.sizes, ax)

    def __repr__(self) -> str:
        sizes = [str(n) for n in self.sizes]
        if len(sizes) > 8:
            sizes[4:-2] = ["..."]
        dtype = f", {self.diagonal[0].dtype}" if self.diagonal else ""
        return f"BlockTridiagonal({self.num_blocks} blocks of order [{', '.join(sizes)}]{dtype})"

    def split(self, rows: Array) -> tuple[Array, ...]:
        """Cut rows (B, n) into their blocks, a tuple of m arrays (B, n_l)."""
        return self.split_rows(self.checked_rows(rows))

    def join(self, parts: Sequence[Array]) -> Array:
        """Rows (B, n) from their blocks, m >= 1 arrays (B, n_l): the inverse of `split`.

        Returns
        -------
        (B, n)
            One vector a row.

        Raises
        ------
        ValueError
            If there are no parts, or their shapes do not fit.
        """
        parts = [_check.matrix(part, f"parts[{l}]") for l, part in enumerate(parts)]
        if not parts:
            raise ValueError(
                "`parts` must hold at least one block, which has B rows. Got none: nothing tells B."
            )
        shapes = [tuple(part.shape) for part in parts]
        if shapes != [(shapes[0][0], n) for n in self.sizes]:
            raise ValueError(
                f"`parts` must have shapes (B, n_l) with n_l = {self.sizes} and one B. Got {shapes}."
            )
        return _check.same_namespace(parts, "parts").concat(parts, axis=1)

    def matvec(self, rows: Array) -> Array:
        r"""Products :math:`v \mapsto H v` of rows, (B, n) -> (B, n)."""
        return self.product(self.checked_rows(rows))

    def to_dense(self) -> Array:
        """H as one (n, n) array."""
        _check.memory(self.shape[0] ** 2, "to_dense", "use `matvec` or `as_linear_operator`")
        return dense(self.diagonal, self.lower, [block.T for block in self.lower])

    def shifted(self, sigma: float) -> BlockTridiagonal:
        r""":math:`H + \sigma I`."""
        sigma = _check.real(sigma, "sigma")
        return BlockTridiagonal([block + sigma * identity(block) for block in self.diagonal], self.lower)

    def as_linear_operator(self) -> LinearOperator:
        """H as a scipy operator on numpy float64 columns, for iterative solvers."""
        host = self.to_numpy()

        def matmat(columns: Array) -> Array:
            return host.product(columns.T).T

        def matvec(vector: Array) -> Array:
            return matmat(vector.reshape(-1, 1))[:, 0]

        return LinearOperator(
            self.shape, matvec=matvec, rmatvec=matvec, matmat=matmat, rmatmat=matmat, dtype=np.float64
        )

    def cholesky(self) -> BlockTridiagonalCholesky:
        r"""The factor U of :math:`H = U U^T`, by block elimination from the last block to the first.

        .. math:: C_l C_l^T = D_l - X_l X_l^T, \qquad X_l = E_l^T C_{l+1}^{-T}

        Cost :math:`\sum_l (n_l^3/3 + n_{l+1}^2 n_l + n_{l+1} n_l^2)` multiply-adds. In numpy LAPACK and BLAS
        work in place; elsewhere the library's own `cholesky` and `solve` are used, which are differentiable.

        Returns
        -------
        BlockTridiagonalCholesky

        Raises
        ------
        ValueError
            If H is not positive definite to working precision.
        """
        kernel = self.kernel
        pivots: list[Array] = []
        couplings: list[Array] = []
        for l in reversed(range(self.num_blocks)):
            if pivots:
                couplings.append(kernel.solve(pivots[-1], kernel.own(self.lower[l].T)))
            pivot = kernel.pivot(self.diagonal[l], couplings[-1] if couplings else None)
            if pivot is None:
                raise ValueError(
                    "The block-tridiagonal matrix must be positive definite. Got one whose elimination "
                    f"stops at `diagonal[{l}]` of {self.num_blocks} blocks: check the blocks, or add to the "
                    "diagonal with `shifted`."
                )
            pivots.append(pivot)
        return BlockTridiagonalCholesky(self, tuple(pivots[::-1]), tuple(couplings[::-1]))

    def extreme_eigenvalues(self, k: int = 1) -> SpectrumEnds:
        r"""The k smallest and the k largest eigenvalues of H, with eigenvectors and residual norms.

        Parameters
        ----------
        k : int
            1 to n.

        Returns
        -------
        SpectrumEnds

        Raises
        ------
        ValueError
            If `k` is not in this range.

        Notes
        -----
        Up to order 400 (or for k near n) from the singular values of the dense Cholesky factor, which find an
        eigenvalue :math:`\lambda` to :math:`O(\varepsilon \sqrt{\lambda \lambda_{\max}})`. Above, and for the
        small end of a matrix of condition beyond 1e8, by Lanczos on the products (largest) and on the solves
        (smallest: the reciprocals of the largest eigenvalues of the inverse keep the relative precision of
        the factor). Pairs found are deflated and the iteration repeated until nothing better turns up,
        because one Krylov space holds one copy of a multiple eigenvalue; that adds a relative error of order
        :math:`\varepsilon^2 \lambda_i / \lambda_1` to the i-th. Rounding the entries of H already moves its
        eigenvalues by :math:`\varepsilon \lambda_{\max}`: below that they are right only where the factor
        happens to be exact. An H without a Cholesky factor is shifted first. Deterministic. Not
        differentiable: numpy float64.

        Examples
        --------
        >>> found = BlockTridiagonal([[[2.0]], [[2.0]]], [[[-1.0]]]).extreme_eigenvalues()
        >>> found.smallest.round(12), found.largest.round(12)
        (array([1.]), array([3.]))
        """
        size = self.shape[0]
        if _check.count(k, "k", 1) > size:
            raise ValueError(f"`k` must be at most the order of the matrix, {size}. Got {k}.")
        host = self.to_numpy()
        small, small_rows, large, large_rows = extreme_pairs(host, int(k))
        return SpectrumEnds(
            small,
            large,
            small_rows,
            large_rows,
            np.linalg.norm(host.product(small_rows) - small[:, None] * small_rows, axis=1),
            np.linalg.norm(host.product(large_rows) - large[:, None] * large_rows, axis=1),
        )

    def checked_rows(self, rows: Array) -> Array:
        """Rows (B, n), checked, in the library and the dtype of the blocks.

        Returns
        -------
        (B, n)
            The same rows.

        Raises
        ------
        ValueError
            If they have another shape, or entries that are not finite.
        """
        if not self.diagonal:
            rows = _check.as_array(rows, "rows")
        else:
            like = self.diagonal[0]
            xp = array_namespace(like)
            if not is_array_api_obj(rows):
                rows = xp.asarray(_check.to_numpy(rows, "rows"), device=device(like))
            xp = _check.same_namespace([like, _check.as_array(rows, "rows")], "the blocks and `rows`")
            rows = xp.astype(rows, like.dtype)
        if rows.ndim != 2 or rows.shape[1] != self.shape[0]:
            raise ValueError(
                f"`rows` must have shape (B, {self.shape[0]}), one vector a row. Got {tuple(rows.shape)}."
            )
        return _check.finite(rows, "rows")

    def split_rows(self, rows: Array) -> tuple[Array, ...]:
        """`split` without checks."""
        return tuple(rows[:, start:stop] for start, stop in pairwise(accumulate(self.sizes, initial=0)))

    def product(self, rows: Array) -> Array:
        """`matvec` without checks."""
        parts = self.split_rows(rows)
        if not parts:
            return rows
        result = [part @ block for part, block in zip(parts, self.diagonal, strict=True)]
        for l, block in enumerate(self.lower):
            result[l] = result[l] + parts[l + 1] @ block
            result[l + 1] = result[l + 1] + parts[l] @ block.T
        return array_namespace(rows).concat(result, axis=1)

    def to_numpy(self) -> BlockTridiagonal:
        """The same matrix in numpy float64."""
        return BlockTridiagonal.unchecked(
            [_check.to_numpy(block, "diagonal") for block in self.diagonal],
            [_check.to_numpy(block, "lower") for block in self.lower],
        )

    @classmethod
    def unchecked(cls, diagonal: Sequence[Array], lower: Sequence[Array]) -> BlockTridiagonal:
        """A matrix from blocks of one library and dtype that fit and are symmetric, without checks."""
        matrix = object.__new__(cls)
        object.__setattr__(matrix, "diagonal", tuple(diagonal))
        object.__setattr__(matrix, "lower", tuple(lower))
        return matrix

    @property
    def kernel(self) -> Lapack | ArrayAPI:
        """The dense operations of the elimination."""
        if not self.diagonal:
            return ArrayAPI(np)
        xp = array_namespace(*self.diagonal)
        return Lapack(self.diagonal[0].dtype) if is_numpy_namespace(xp) else ArrayAPI(xp)


@dataclass(frozen=True, eq=False, repr=False)
class BlockTridiagonalCholesky:
    r"""The block upper bidiagonal U of :math:`H = U U^T`: :math:`U_{ll} = C_l`, :math:`U_{l,l+1} = X_l`.

    Attributes
    ----------
    matrix : BlockTridiagonal
        H.
    pivots : m arrays (n_l, n_l)
        :math:`C_l`, lower triangular.
    couplings : m - 1 arrays (n_l, n_{l+1})
        :math:`X_l`.
    """

    matrix: BlockTridiagonal
    pivots: tuple[Array, ...]
    couplings: tuple[Array, ...]

    def __repr__(self) -> str:
        return f"BlockTridiagonalCholesky({self.matrix!r})"

    def solve(self, rows: Array) -> Array:
        r"""Solutions of :math:`H x = b` for rows b, (B, n) -> (B, n)."""
        return self.substitute(self.matrix.checked_rows(rows))

    def logdet(self) -> Array:
        r""":math:`\log\det H = 2 \sum_l \sum_i \log (C_l)_{ii}`, a scalar of the blocks' library."""
        if not self.pivots:
            return np.float64(0.0)
        xp = array_namespace(*self.pivots)
        return 2 * xp.sum(xp.log(xp.concat([xp.linalg.diagonal(pivot) for pivot in self.pivots])))

    def inverse_blocks(self) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        r"""Diagonal blocks (n_l, n_l) and sub-diagonal blocks (n_{l+1}, n_l) of :math:`\Sigma = H^{-1}`.

        .. math:: \Sigma_{l+1,l} = -G_l \Sigma_{ll}, \qquad
                  \Sigma_{l+1,l+1} = (C_{l+1} C_{l+1}^T)^{-1} + G_l \Sigma_{ll} G_l^T, \qquad G_l =
                  C_{l+1}^{-T} X_l^T

        Returns
        -------
        diagonal : tuple of (n_l, n_l)
        lower : tuple of (n_{l+1}, n_l)

        Notes
        -----
        The recursion of Takahashi (and of the Rauch-Tung-Striebel smoother) only adds positive matrices, so
        that nothing cancels. It costs a few factorisations, and forms no other block of the inverse, which is
        full. For an activity Hessian these are posterior covariances (claim ``posterior``).

        Examples
        --------
        >>> H = BlockTridiagonal([[[2.0]], [[2.0]]], [[[-1.0]]])
        >>> diagonal, lower = H.cholesky().inverse_blocks()
        >>> [round(block.item() * 3, 12) for block in (*diagonal, *lower)]
        [2.0, 2.0, 1.0]
        """
        kernel = self.matrix.kernel
        diagonal: list[Array] = []
        lower: list[Array] = []
        for l, pivot in enumerate(self.pivots):
            root = kernel.solve(pivot, kernel.own(identity(pivot)))  # C^{-T}
            block = root @ root.T
            if l:
                gain = kernel.solve(pivot, kernel.own(self.couplings[l - 1]), transposed=True).T
                cross = gain @ diagonal[-1]
                lower.append(-cross)
                block = block + cross @ gain.T
                block = (block + block.T) / 2
            diagonal.append(block)
        return tuple(diagonal), tuple(lower)

    def to_dense(self) -> Array:
        """U as one (n, n) array."""
        below = [array_namespace(block).zeros_like(block.T) for block in self.couplings]
        return dense(self.pivots, below, self.couplings)

    def substitute(self, rows: Array) -> Array:
        """`solve` without checks."""
        if 0 in rows.shape:
            return rows
        kernel = self.matrix.kernel
        parts = list(self.matrix.split_rows(kernel.own(rows)))
        last = len(parts) - 1
        for l in reversed(range(len(parts))):  # y_l = C_l^{-1} (b_l - X_l y_{l+1})
            if l < last:
                parts[l] = kernel.subtract(parts[l], self.couplings[l], parts[l + 1])
            parts[l] = kernel.solve(self.pivots[l], parts[l])
        for l in range(len(parts)):  # x_l = C_l^{-T} (y_l - X_{l-1}^T x_{l-1})
            if l:
                parts[l] = kernel.subtract(parts[l], self.couplings[l - 1], parts[l - 1], transposed=True)
            parts[l] = kernel.solve(self.pivots[l], parts[l], transposed=True)
        return array_namespace(rows).concat(parts, axis=1)


def _symmetric(block: Array, name: str) -> Array:
    """(D + D^T) / 2, after refusing a D that is not symmetric up to rounding."""
    xp = array_namespace(block)
    tolerance = float(xp.finfo(block.dtype).eps) ** 0.5
    try:
        asymmetric = bool(xp.any(xp.abs(block - block.T) > tolerance * xp.max(xp.abs(block))))
    except (TypeError, RuntimeError):  # a traced array has no values to look at
        asymmetric = False
    if asymmetric:
        host = _check.to_numpy(block, name)
        raise ValueError(
            f"`{name}` must be symmetric. Got a block that differs from its transpose by "
            f"{np.max(np.abs(host - host.T)):.1e}: pass (D + D.T) / 2 if that is what you mean."
        )
    return 0.5 * block + 0.5 * block.T
