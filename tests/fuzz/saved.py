"""Damage saved results: what loads must be what was saved, and all else is refused in a sentence."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import bayesnmf as bn
from bayesnmf.posterior import archive as storage
from bayesnmf.posterior import checksums
from fuzz import results
from fuzz.worker import Worker

#: Seconds that the loading of one small file may take.
LIMIT = 20.0
#: What bad input may raise.
SENTENCES = (ValueError, TypeError, OSError, MemoryError)

type Random = np.random.Generator


def run(n: int, seed: int) -> list[str]:
    """Load `n` damaged results in a child process, and return a line for each failure."""
    failures = []
    with tempfile.TemporaryDirectory() as folder, Worker("fuzz.saved", LIMIT) as worker:
        originals = results.save_all(Path(folder))
        for case in range(n):
            rng = np.random.default_rng((seed, case))
            original = originals[case % len(originals)]
            path = Path(folder, f"case{case}{original.suffix}")
            kind = _damage(original, path, rng)
            same = "any" if kind.startswith("edit") else "same"
            answer = worker.judge(f"{same}\t{original}\t{path}")
            if answer:
                failures.append(f"case {case} of seed {seed}, {original.name}, {kind}: {answer}")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return failures


# -- in the child -----------------------------------------------------------------------------------


def judge(line: str) -> str:
    """Return what is wrong with how a damaged result loads, if anything is."""
    wanted, original, path = line.split("\t")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = bn.load(path)
        except SENTENCES as error:
            text = str(error)
            sentence = path in text and "\n" not in text
            return "" if sentence else f"{type(error).__name__} is no sentence: {text!r}"
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
        if wanted == "any":
            return _used(loaded)
    return "" if results.same(loaded, _original(original)) else "other numbers were loaded"


def _used(loaded: bn.Fit | bn.RankSelection) -> str:
    """Return what goes wrong when an edited result is used, except refusals."""
    try:
        fit = loaded if isinstance(loaded, bn.Fit) else loaded.best_fit
        _ = repr(loaded), fit.summary(), bn.check(fit), fit.V
    except SENTENCES:
        return ""
    except BaseException as error:
        return f"when used, {type(error).__name__}: {error}"
    return ""


@functools.cache
def _original(path: str) -> bn.Fit | bn.RankSelection:
    return bn.load(path)


# -- damage -----------------------------------------------------------------------------------------


def _damage(original: Path, path: Path, rng: Random) -> str:
    """Write a damaged copy, and return the kind of damage."""
    kind = rng.choice(["bytes", "bytes", "files", "edit"])
    if kind == "edit":
        return f"edit: {_edited(original, path, rng)}"
    if original.is_dir():
        shutil.copytree(original, path)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        if kind == "files":
            return _shuffled(files, rng)
        target = files[rng.integers(len(files))]
    else:
        shutil.copy(original, path)
        target = path
    name, change = _BYTES[rng.integers(len(_BYTES))]
    target.write_bytes(change(bytearray(target.read_bytes()), rng))
    return f"{name} in {target.name}"


def _flipped(data: bytearray, rng: Random) -> bytes:
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(data)


def _flipped_at_the_start(data: bytearray, rng: Random) -> bytes:
    """Flip a bit of what readers look at first."""
    data[rng.integers(min(len(data), 2048))] ^= 1 << rng.integers(8)
    return bytes(data)


def _cut(data: bytearray, rng: Random) -> bytes:
    return bytes(data[: rng.integers(len(data))])


def _extended(data: bytearray, rng: Random) -> bytes:
    return bytes(data) + rng.bytes(rng.integers(1, 300))


def _zeroed(data: bytearray, rng: Random) -> bytes:
    start = rng.integers(len(data))
    data[start : start + 64] = bytes(len(data[start : start + 64]))
    return bytes(data)


def _swapped(data: bytearray, rng: Random) -> bytes:
    size = min(32, len(data) // 2)
    a, b = rng.integers(len(data) - size + 1, size=2)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    return bytes(data)


_BYTES: list[tuple[str, Callable[[bytearray, Random], bytes]]] = [
    ("bits flipped", _flipped),
    ("a bit flipped at the start", _flipped_at_the_start),
    ("cut", _cut),
    ("extended", _extended),
    ("zeroed", _zeroed),
    ("swapped", _swapped),
]


def _shuffled(files: list[Path], rng: Random) -> str:
    """Remove a file of a store, or let two exchange their contents."""
    a, b = (files[i] for i in rng.integers(len(files), size=2))
    if rng.random() < 0.5:
        a.unlink()
        return f"{a.name} removed"
    ours, theirs = a.read_bytes(), b.read_bytes()
    a.write_bytes(theirs)
    b.write_bytes(ours)
    return f"{a.name} and {b.name} exchanged"


# -- edits, with a checksum that fits: by another program that knows the format ---------------------


def _edited(original: Path, path: Path, rng: Random) -> str:
    """Save a changed tree with a checksum that fits."""
    attributes = (storage.MODEL_ATTRIBUTE, storage.SWEEP_ATTRIBUTE)
    tree = storage.read(original, attributes)
    mark = attributes[1] if attributes[1] in tree.attrs else attributes[0]
    name, change = _EDITS[rng.integers(len(_EDITS))]
    change(tree, mark, rng)
    if path.suffix == ".nc":
        tree.to_netcdf(path, engine="h5netcdf")
    else:
        tree.to_zarr(path, consolidated=False, zarr_format=3)
    checksums.seal(path)
    return name


def _other_text(tree: xr.DataTree, mark: str, rng: Random) -> None:
    text = tree.attrs[mark]
    start = rng.integers(len(text))
    tree.attrs[mark] = text[:start] + rng.choice(["", "}", "9e999", '"', "[" * 5000, "null"])


def _other_value(tree: xr.DataTree, mark: str, rng: Random) -> None:
    """Replace one value somewhere in the record."""
    record = json.loads(tree.attrs[mark])
    node, key = record, rng.choice(list(record))
    while isinstance(node[key], dict) and node[key] and rng.random() < 0.7:
        node = node[key]
        key = rng.choice(list(node))
    node[key] = [None, -1, 10**400, "array", [], {}, True, 1e308, {"name": "gamma"}][
        rng.integers(9)
    ]
    tree.attrs[mark] = json.dumps(record)


def _other_attribute(tree: xr.DataTree, mark: str, rng: Random) -> None:
    name = rng.choice(["method", "converged", "message", "seed", "bayesnmf_version", mark])
    if rng.random() < 0.5:
        tree.attrs.pop(name, None)
    else:
        tree.attrs[name] = [7, "text", 1.5, [1, 2]][rng.integers(4)]


def _group(tree: xr.DataTree, rng: Random) -> xr.DataTree:
    groups = [node for node in tree.subtree if node.dataset.data_vars]
    return groups[rng.integers(len(groups))]


def _without_group(tree: xr.DataTree, mark: str, rng: Random) -> None:
    group = _group(tree, rng)
    del group.parent[group.name]  # type: ignore[union-attr, arg-type]


def _without_variable(tree: xr.DataTree, mark: str, rng: Random) -> None:
    group = _group(tree, rng)
    name = rng.choice([str(name) for name in group.dataset.variables])
    group.dataset = group.to_dataset().drop_vars(name)


def _shorter(tree: xr.DataTree, mark: str, rng: Random) -> None:
    group = _group(tree, rng)
    dim = rng.choice([str(dim) for dim in group.dataset.dims])
    group.dataset = group.to_dataset().isel({dim: slice(0, rng.integers(0, 2))})


def _renamed(tree: xr.DataTree, mark: str, rng: Random) -> None:
    group = _group(tree, rng)
    name = rng.choice([str(name) for name in group.dataset.dims])
    group.dataset = group.to_dataset().rename({name: "other"})


def _another_type(tree: xr.DataTree, mark: str, rng: Random) -> None:
    group = _group(tree, rng)
    data = group.to_dataset()
    name = rng.choice([str(name) for name in data.data_vars])
    group.dataset = data.assign({name: data[name].astype(rng.choice(["int32", "str", "complex"]))})


_EDITS: list[tuple[str, Callable[[xr.DataTree, str, Random], None]]] = [
    ("record cut", _other_text),
    ("value of the record", _other_value),
    ("attribute", _other_attribute),
    ("group removed", _without_group),
    ("variable removed", _without_variable),
    ("dimension cut", _shorter),
    ("dimension renamed", _renamed),
    ("type changed", _another_type),
]
