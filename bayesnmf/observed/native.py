"""Calls of native code from compiled code: XLA calls a function of machine code, and no Python runs.

Machine code is made by Numba when an operation first meets its types of numbers, and kept on disk.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp
import numba

from bayesnmf.arrays import Array
from bayesnmf.observed import call_frame, handlers, row_loops, work
from bayesnmf.observed.stored_rows import Compressed

#: Functions that XLA may call while this process lives, by name.
_registered: dict[str, Any] = {}


_lock = Lock()


def contract_values(rows: Compressed, y: Array) -> Array:
    """Return ``sum_j v_ij y_kj``; see :mod:`bayesnmf.observed.sparse_ops` for all of these."""
    return _call("contract_values", rows, (y,), ((len(y), rows.n_rows),))[0]


def contract_ratio(rows: Compressed, x: Array, y: Array, floor: float) -> Array:
    """Return ``sum_j (v_ij / L_ij) y_kj``."""
    return _call("contract_ratio", rows, _lifted(x, y, floor), (x.shape,))[0]


def contract_ratio_both(rows: Compressed, x: Array, y: Array, floor: float) -> tuple[Array, Array]:
    """Return ``sum_j (v_ij / L_ij) y_kj`` and ``sum_i (v_ij / L_ij) x_ki``."""
    (n_components, n), n_parts = y.shape, 1 if rows.n_stored < work.FEW else handlers.PARTS
    shapes = x.shape, (n_components, n_parts * n)
    of_x, parts = _call("contract_ratio_both", rows, _lifted(x, y, floor), shapes)
    return of_x, jnp.sum(parts.reshape(n_components, n_parts, n), axis=1)


def contract_change(rows: Compressed, x: Array, y: Array, step: Array, floor: float) -> Array:
    """Return ``sum_j (v_ij D_ij / L_ij**2) y_kj``."""
    return _call("contract_change", rows, (*_lifted(x, y, floor), step), (x.shape,))[0]


def share_products(rows: Compressed, x: Array, y: Array, floor: float) -> Array:
    """Return ``sum_j v_ij s_ijk s_ijl`` for every pair k >= l."""
    n_pairs = len(x) * (len(x) + 1) // 2
    return _call("share_products", rows, _lifted(x, y, floor), ((n_pairs, rows.n_rows),))[0]


def sum_log(rows: Compressed, x: Array, y: Array, floor: float) -> Array:
    """Return ``sum_j v_ij log L_ij`` of every row."""
    return _call("sum_log", rows, _lifted(x, y, floor), (x.shape[1:],))[0]


def sweep(
    rows: Compressed,
    x: Array,
    y: Array,
    linear: Array,
    log_coefficient: Array,
    floor: float,
    known: int,
) -> tuple[Array, Array, Array]:
    """Do one sweep of coordinate descent on every row."""
    coefficient = jnp.asarray(log_coefficient, x.dtype)
    coefficient = coefficient.reshape((1,) * (2 - coefficient.ndim) + coefficient.shape)
    penalty = linear, coefficient, jnp.asarray(known, jnp.int32)
    shapes = x.shape, x.shape, x.shape[1:]
    new, slope, log_sum = _call("sweep", rows, (*_lifted(x, y, floor), *penalty), shapes)
    return new, slope, log_sum


def _lifted(x: Array, y: Array, floor: float) -> tuple[Array, Array, Array]:
    return x, y, jnp.asarray(floor, x.dtype)


def _call(
    name: str, rows: Compressed, arguments: tuple[Array, ...], shapes: tuple[tuple[int, ...], ...]
) -> tuple[Array, ...]:
    """Call an operation on rows and arguments, the first of which is a factor.

    Tables lie in memory the last axis first, as the loops take them. XLA sees to that, mostly
    without a copy.
    """
    stored, dtype = (rows.starts, rows.indices, rows.values), arguments[0].dtype
    target = _target(name, dtype.name, tuple(part.dtype.name for part in stored))
    order = tuple((1, 0) if jnp.ndim(a) == 2 else None for a in (*stored, *arguments))
    called = jax.ffi.ffi_call(
        target,
        tuple(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes),
        vmap_method="sequential",
        input_layouts=order,
        output_layouts=tuple((1, 0) if len(shape) == 2 else None for shape in shapes),
    )
    return tuple(called(*stored, *arguments))


def _target(name: str, factor: str, kinds: tuple[str, ...]) -> str:
    """Return the name by which XLA knows an operation on some types of numbers, once it does."""
    target = "_".join(("bayesnmf", name, factor, *kinds))
    with _lock:
        if target not in _registered:
            types = tuple(getattr(numba.types, kind) for kind in (factor, *kinds))
            function = getattr(handlers, name)(types[0], types[1:], _stamp())
            handler = numba.cfunc(numba.int64(numba.int64), cache=True)(function)
            capsule = jax.ffi.pycapsule(handler.address)
            jax.ffi.register_ffi_target(target, capsule, platform="cpu", api_version=1)
            _registered[target] = handler
    return target


@cache
def _stamp() -> str:
    """Return a digest of the code that handlers call, of which Numba's cache knows nothing."""
    files = (Path(str(module.__file__)) for module in (call_frame, row_loops, work))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
