"""Random matrices are validated and fitted by MAP, and damaged data files are read.

Nothing may come out but a fit with a finite objective, or a `ValueError`, `TypeError`, `OSError` or
`MemoryError` with one sentence; nothing may crash the process or keep it busy for long.
"""

from __future__ import annotations

import gzip
import io
import itertools
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse
import xarray as xr

import bayesnmf as bn
from bayesnmf.data import Matrix
from bayesnmf.posterior import fitting

#: The one shape that is fitted, so that each program compiles once; others are only validated.
SHAPE, RANK = (6, 5), 2
#: What bad input may raise.
EXPECTED = (ValueError, TypeError, OSError, MemoryError)
#: Longest message, and seconds for a batch of damaged files to be read by a process of its own.
LONGEST, LIMIT = 600, 120.0
#: Damaged files in a batch.
BATCH = 50
LIKELIHOODS = ("poisson", "gaussian")


def run(n: int, seed: int) -> list[str]:
    """Try `n` random matrices and half as many damaged files, and describe each failure."""
    return [*matrices(n, seed), *damaged_files(max(n // 2, 1), seed)]


# -- matrices -----------------------------------------------------------------------------------


def matrices(n: int, seed: int) -> list[str]:
    """Try random matrices; each failure names the seed of its case."""
    failures = []
    for case in range(n):
        rng = np.random.default_rng((seed, case))
        V, what = random_matrix(rng)
        model = bn.NMF(RANK, LIKELIHOODS[case % len(LIKELIHOODS)])
        fault = _fault(lambda V=V, model=model: _through(V, model))
        if fault:
            failures.append(f"matrix {(seed, case)}, {what}, {model.likelihood.name}: {fault}")
    return failures


def _through(V: Any, model: bn.NMF) -> None:
    """Validate a matrix and, if it has the one shape, fit it."""
    method = bn.MAP(n_init=1, max_iter=30)
    if not scipy.sparse.issparse(V):
        matrix: Any = fitting.matrix_for(V, model, method)
    else:
        fitting.matrix_for(V, model, method)  # sparse, by the full check
        matrix = Matrix.of(V)  # dense, since each number of stored cells would compile anew
    if matrix.shape != SHAPE:
        return
    fit = bn.fit(matrix, model, method, progress=False)
    objective = fit.tree.attrs["objective"]
    if not np.isfinite(objective):
        raise AssertionError(f"the objective of a fit is {objective}")


def _fault(attempt: Callable[[], Any]) -> str | None:
    """Return what is wrong with how an attempt ended; None if nothing is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attempt()
    except EXPECTED as error:
        return _badly_said(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None


def _badly_said(error: BaseException) -> str | None:
    text = str(error)
    if not text or "\n" in text or len(text) > LONGEST:
        return f"the message of {type(error).__name__} is no sentence: {text[:200]!r}"
    return None


def random_matrix(rng: np.random.Generator) -> tuple[Any, str]:
    """Return a matrix, often a bad one, and what it is."""
    shape = SHAPE if rng.random() < 0.7 else _choice(rng, SHAPES)
    values, numbers = _numbers(rng, shape)
    if values.ndim != 2:
        return values, f"{numbers} of shape {shape}"
    name = _choice(rng, list(CONTAINERS))
    return CONTAINERS[name](rng, values), f"{numbers} of shape {shape} as {name}"


SHAPES = [(0, 3), (3, 0), (0, 0), (1, 4), (5, 1), (1, 1), (6,), (), (2, 3, 2), (2, 2)]


def _choice(rng: np.random.Generator, options: list[Any]) -> Any:
    return options[rng.integers(len(options))]


def _numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """Return numbers of some kind and scale, perhaps with missing or odd cells."""
    values = np.asarray(rng.gamma(0.7, size=shape))
    kind = _choice(
        rng,
        [
            "scaled",
            "counts",
            "bool",
            "zeros",
            "negative",
            "float32",
            "int8",
            "uint64",
            "half",
            "long",
            "mixed scales",
            "constant",
        ],
    )
    scale = 10.0 ** rng.uniform(-320, 308)
    with np.errstate(all="ignore"):
        made: dict[str, Callable[[], np.ndarray]] = {
            "scaled": lambda: values * scale,
            "counts": lambda: rng.poisson(3 * values),
            "bool": lambda: values > 0.5,
            "zeros": lambda: np.zeros(shape),
            "negative": lambda: values - 1.0,
            "float32": lambda: (values * 10.0 ** rng.uniform(-44, 38)).astype(np.float32),
            "int8": lambda: np.asarray(50 * values).clip(0, 100).astype(np.int8),
            "uint64": lambda: np.asarray(values * 2.0**58).astype(np.uint64),
            "half": lambda: values.astype(np.float16),
            "long": lambda: values.astype(np.longdouble) * np.longdouble(scale),
            "mixed scales": lambda: values * 10.0 ** rng.uniform(-300, 300, shape),
            "constant": lambda: np.full(shape, scale),
        }
        values = np.asarray(made[kind]())
    if values.dtype.kind == "f" and values.size and rng.random() < 0.4:
        odd = _choice(rng, [np.nan, np.nan, np.inf, -np.inf, -0.0, 5e-324, -1.0])
        values = values.copy()
        with np.errstate(all="ignore"):
            values[rng.random(shape) < _choice(rng, [0.1, 0.5, 1.0])] = odd
        kind = f"{kind} with {odd}"
    return values, kind


def _objects(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    mixed = values.astype(object)
    odd = _choice(
        rng,
        [
            None,
            pd.NA,
            pd.NaT,
            "7",
            b"7",
            Decimal("0.5"),
            Fraction(1, 3),
            10**400,
            2j,
            True,
            np.float32(2),
            [1],
            {},
            np.ones(1),
            pd.Timestamp("2020"),
            pd.Timedelta(3),
            Decimal("NaN"),
            Decimal("1e999"),
            "x" * 10_000,
        ],
    )
    for index in np.ndindex(mixed.shape):
        if rng.random() < 0.2:
            mixed[index] = odd
    return mixed


_LABELS = [
    "a",
    "",
    "a" * 10_000,
    "\0",
    "\x1b[1m",
    "<b>$x$",
    "a\nb",
    "é😀",
    7,
    7.5,
    np.nan,
    None,
    ("a", 1),
    True,
    pd.Timestamp("2020"),
    "\ud800",
]


def _frame(rng: np.random.Generator, values: Any) -> pd.DataFrame:
    def labels(size: int) -> pd.Index:
        chosen = np.empty(size, object)
        chosen[:] = [_choice(rng, _LABELS) for _ in range(size)]
        return pd.Index(chosen, tupleize_cols=False, dtype=object)

    return pd.DataFrame(values, labels(values.shape[0]), labels(values.shape[1]))


def _nullable(rng: np.random.Generator, values: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(values.astype(np.float64)).astype("Float64")
    return frame.mask(rng.random(values.shape) < 0.2)


def _sparse(rng: np.random.Generator, values: np.ndarray) -> Any:
    """Return a sparse matrix of any format, sound or malformed."""
    if values.dtype in (np.float16, np.longdouble):
        values = values.astype(np.float64)
    form = _choice(rng, ["csr", "csc", "coo", "bsr", "dok", "lil", "dia"])
    kept = np.where(rng.random(values.shape) < 0.4, values, np.zeros((), values.dtype))
    matrix = getattr(scipy.sparse, f"{form}_{_choice(rng, ['array', 'matrix'])}")(kept)
    if rng.random() < 0.5:
        _spoil(rng, matrix)
    return matrix


def _spoil(rng: np.random.Generator, matrix: Any) -> None:
    """Damage the index arrays of a sparse matrix."""
    if matrix.format == "dok":
        matrix._dict[_choice(rng, [(99, 0), (0, -1), "ab", (0, 0, 0), (0.5, 0)])] = 1
        return
    names = {"coo": ["coords", "data"], "dia": ["offsets", "data"], "lil": ["rows", "data"]}
    name = _choice(rng, names.get(matrix.format, ["indices", "indptr", "data"]))
    part = getattr(matrix, name)
    if name == "coords":
        part = tuple(np.array(index) for index in part)
        matrix.coords = part
        part = part[rng.integers(2)]
    elif rng.random() < 0.3:
        setattr(matrix, name, _choice(rng, [None, part[:-1], part[:0], [1, 2], 3]))
        return
    if part.size and part.dtype.kind in "iu":
        part.flat[rng.integers(part.size)] = _choice(rng, [-1, -(2**31), 2**31 - 1, 6, 99, 0])
    elif part.size and part.dtype == object:
        part[rng.integers(part.size)] = _choice(rng, [None, [99], [-1, 0], ["x"], [0] * 50])


def _annotated(rng: np.random.Generator, values: np.ndarray) -> anndata.AnnData:
    """Return an AnnData, whose matrix may be dense or sparse, in X or in none."""
    if values.dtype in (np.float16, np.longdouble):
        values = values.astype(np.float64)
    kind = _choice(rng, ["dense", "csr_matrix", "csc_matrix"])
    X = values if kind == "dense" else getattr(scipy.sparse, kind)(values)
    if rng.random() < 0.1:
        return anndata.AnnData(None, layers={"raw": X}, shape=values.shape)
    return anndata.AnnData(X)


CONTAINERS: dict[str, Callable[[np.random.Generator, np.ndarray], Any]] = {
    "array": lambda rng, values: values,
    "Fortran order": lambda rng, values: np.asfortranarray(values),
    "list": lambda rng, values: values.tolist(),
    "objects": _objects,
    "frame": _frame,
    "frame of objects": lambda rng, values: _frame(rng, _objects(rng, values)),
    "nullable frame": _nullable,
    "DataArray": lambda rng, values: xr.DataArray(values, dims=["a", "b"]),
    "masked": lambda rng, values: np.ma.masked_array(values, rng.random(values.shape) < 0.3),
    "sparse": _sparse,
    "sparse again": _sparse,
    "sparse frame": lambda rng, values: pd.DataFrame(values.astype(float)).astype(
        pd.SparseDtype(float, 0.0)
    ),
    "AnnData": _annotated,
    "text": lambda rng, values: values.astype(str),
    "dict": lambda rng, values: dict(enumerate(values)),
    "dates": lambda rng, values: np.zeros(
        values.shape, _choice(rng, ["M8[s]", "m8[s]", "c16", "S1"])
    ),
}


# -- damaged files ------------------------------------------------------------------------------


def damaged_files(n: int, seed: int) -> list[str]:
    """Read damaged files in processes of their own, and describe each failure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in range(n):
            rng = np.random.default_rng((seed, case, 1))
            ending = list(SOUND)[case % len(SOUND)]
            (folder / f"{case:05d}.{ending}").write_bytes(mutated(rng, _sound(ending)))
        paths = sorted(folder.iterdir())
        return [f"damaged file {(seed, path.name)}: {fault}" for path, fault in _read_apart(paths)]


def mutated(rng: np.random.Generator, content: bytes) -> bytes:
    """Return content with bytes flipped, removed, repeated, cut off, or overwritten."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(len(data))) if data else 0
        size = int(2 ** rng.uniform(0, 6))
        kind = int(rng.integers(6))
        if kind == 0 and data:
            data[start] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[start : start + size] = bytes(rng.integers(0, 256, size, dtype=np.uint8))
        elif kind == 2:
            del data[start : start + size]
        elif kind == 3:
            data[start:start] = data[start : start + size]
        elif kind == 4:
            del data[max(start, 1) :]
        else:
            data[start : start + size] = bytes([_choice(rng, [0, 255, 57])]) * size
    return bytes(data)


def _sound(ending: str) -> bytes:
    return SOUND[ending]()


_FRAME = pd.DataFrame(
    np.random.default_rng(1).poisson(3.0, (40, 6)), [f"s{i}" for i in range(40)], list("ABCDEF")
)


def _stream(write: Callable[[Any], Any]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def _h5ad(X: Any) -> bytes:
    data = anndata.AnnData(X, _FRAME.index.to_frame(name="name"), _FRAME.T.iloc[:, :0])
    data.layers["raw"] = X
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_h5ad(Path(folder) / "data.h5ad")
        return (Path(folder) / "data.h5ad").read_bytes()


_CSR = scipy.sparse.csr_array(_FRAME.to_numpy())
SOUND: dict[str, Callable[[], bytes]] = {
    "npz": lambda: _stream(lambda s: scipy.sparse.save_npz(s, _CSR, compressed=False)),
    "Npz": lambda: _stream(lambda s: np.savez_compressed(s, V=_FRAME.to_numpy(float))),
    "NPZ": lambda: _stream(lambda s: scipy.sparse.save_npz(s, _CSR.tocoo())),
    "npy": lambda: _stream(lambda s: np.save(s, _FRAME.to_numpy())),
    "parquet": lambda: _stream(_FRAME.to_parquet),
    "Parquet": lambda: _stream(_FRAME.reset_index().iloc[:, ::-1].to_parquet),
    "h5ad": lambda: _h5ad(_CSR.astype(np.float32)),
    "H5ad": lambda: _h5ad(_FRAME.to_numpy(float)),
    "mtx": lambda: _stream(lambda s: scipy.io.mmwrite(s, _CSR)),
    "csv": lambda: _FRAME.to_csv().encode(),
    "txt": lambda: _FRAME.to_csv(sep="\t").encode(),
    "csv.gz": lambda: gzip.compress(_FRAME.to_csv().encode(), mtime=0),
}

#: Reads the files that it is given, and prints how each ended; a crash shows by what is missing.
_READER = f"""
import sys, time, warnings
from bayesnmf import files
from bayesnmf.data import Matrix
warnings.simplefilter("ignore")
for path in sys.argv[1:]:
    begin, said = time.perf_counter(), "well"
    try:
        Matrix.of(files.read(path))
    except (ValueError, TypeError, OSError, MemoryError) as error:
        text = str(error)
        if not text or "\\n" in text or len(text) > {LONGEST}:
            said = f"the message of {{type(error).__name__}} is no sentence: {{text[:200]!r}}"
    except Exception as error:
        said = f"{{type(error).__name__}}: {{str(error)[:200]!r}}"
    if time.perf_counter() - begin > 10:
        said = f"took {{time.perf_counter() - begin:.0f}} seconds"
    print(" ".join(said.split()), flush=True)
"""


def _read_apart(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Read files in batches, each in a process of its own, and yield those that end badly."""
    for batch in itertools.batched(paths, BATCH):
        rest = list(batch)
        while rest:
            said, end = _read_in_process(rest)
            for path, fault in zip(rest, said, strict=False):
                if fault != "well":
                    yield path, fault
            if len(said) < len(rest):
                yield rest[len(said)], end
            rest = rest[len(said) + 1 :]


def _read_in_process(paths: list[Path]) -> tuple[list[str], str]:
    """Return what a process says of each file, and how it ended if it did not reach the last."""
    command = [sys.executable, "-c", _READER, *map(str, paths)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
        text = out.decode() if isinstance(out, bytes) else out
        return text.splitlines(), f"was not read within {LIMIT:.0f} seconds"
    return (
        done.stdout.splitlines(),
        f"the process ended with status {done.returncode}: {done.stderr[-300:]!r}",
    )
