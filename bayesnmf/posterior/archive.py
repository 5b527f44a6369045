"""A tree on disk: netCDF or Zarr, with a checksum, written as a whole or not at all."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from bayesnmf.posterior import checksums
from bayesnmf.posterior.output_files import (
    RESULTS,
    is_result,
    replacing,
    require_target,
    require_zarr,
    set_aside,
)

#: Attribute of the tree's root that marks a bayesnmf result and holds its model.
MODEL_ATTRIBUTE = "bayesnmf_model"


#: Attribute of the root that marks a sweep over ranks, and holds what was asked.
SWEEP_ATTRIBUTE = "bayesnmf_rank_selection"


#: A result that claims to be this much larger in memory than on the disk is not one.
MAX_EXPANSION, SMALL = 200, 1 << 30


def write(tree: xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Write a tree to `path`: ``.nc`` (HDF5 netCDF) or ``.zarr``, with a checksum.

    A result appears under its name only when it is complete, so that an interrupted save leaves
    an earlier one in place.
    """
    path = Path(path)
    require_target(path, RESULTS, "cannot save to")
    try:
        with replacing(path) as private:
            if path.suffix == ".zarr":
                tree.to_zarr(private, mode="w", consolidated=False, zarr_format=3)
            else:
                _write_netcdf(tree, private)
            checksums.seal(private)
    except OSError as error:
        # Private names mean nothing to the user.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(
            f"cannot save to {path}: the format cannot hold something in this result ({reason})"
        ) from error


def _write_netcdf(tree: xr.DataTree, path: Path) -> None:
    with _Disk(path, "w+") as file:
        try:
            tree.to_netcdf(file, engine="h5netcdf")
        finally:
            if file.error is not None:
                raise file.error


class _Disk(io.FileIO):
    """A file that keeps an error of the disk for later.

    HDF5 cannot close a file whose writing failed, and crashes when Python ends. So it never hears of
    a full disk, closes, and the error is raised after that.
    """

    error: BaseException | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        try:
            done = 0
            while done < len(view):
                done += super().write(view[done:]) or 0
        except BaseException as error:
            self.error = self.error or error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except BaseException as error:
            self.error = self.error or error
            return size or 0


def read(
    path: str | os.PathLike[str],
    attributes: tuple[str, ...] = (MODEL_ATTRIBUTE,),
    what: str = "a bayesnmf result (write one with fit.save or bayesnmf fit --out)",
    *,
    trust: bool = False,
) -> xr.DataTree:
    """Read a tree that :func:`write` wrote, into memory.

    Parameters
    ----------
    path : path
    attributes : tuple of str
        Attributes of the root, any of which marks such a tree.
    what : str
        What it is, for the error.
    trust : bool, default False
        Whether to read a file that has no checksum.

    Raises
    ------
    FileNotFoundError
        When there is nothing at `path`.
    ValueError
        When it holds something else, or is damaged.
    """
    path = Path(path)
    if not path.exists() and path.suffix == ".zarr" and is_result(set_aside(path)):
        path = set_aside(path)  # a save was killed at the moment between two names
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    wrong = f"{path} is not {what}"
    zarr = path.is_dir()
    if not zarr and not path.is_file():
        raise ValueError(f"{wrong}: a pipe or a device may have no end")
    if zarr:
        require_zarr()
    _require_whole(path, wrong, trust)
    options: dict[str, Any] = {"engine": "zarr", "consolidated": False, "zarr_format": 3}
    if not zarr:
        # Named, or xarray warns of a plain HDF5 file before it can be refused.
        options = {"engine": "h5netcdf", "phony_dims": "access"}
    with naming(path, wrong), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files beside the store's own
        with xr.open_datatree(path, **options) as opened:
            _require_proportion(opened, path)
            tree = opened.load()
    tree.attrs.pop(checksums.ATTRIBUTE, None)
    if not any(name in tree.attrs for name in attributes):
        raise ValueError(_sweep_in(path) if SWEEP_ATTRIBUTE in tree.attrs else wrong)
    return tree


def _sweep_in(path: Path) -> str:
    """Say that a file holds a sweep over ranks, and how to get a fit from it."""
    return (
        f"{path} is a sweep over ranks, not a fit: bayesnmf report takes it, and "
        f"bn.load({str(path)!r}).best_fit is the fit of the chosen rank, which its save method "
        "writes to a file"
    )


def _require_whole(path: Path, wrong: str, trust: bool) -> None:
    """Raise unless the checksum fits, before a reader that trusts its input sees the file."""
    state = checksums.state(path)
    if state == "changed":
        raise ValueError(
            f"{path} has changed since it was saved (its checksum does not fit), so its numbers may be "
            "wrong: take another copy of it, or fit again"
        )
    if state == "absent" and not trust:
        raise ValueError(
            f"{wrong}, or it was cut short or changed by another program: it has no checksum. If you "
            f"know that it is whole, bn.load({str(path)!r}, trust=True) reads it"
        )


def _require_proportion(opened: xr.DataTree, path: Path) -> None:
    """Raise when a small file claims arrays that no memory holds."""
    claimed = sum(
        int(variable.nbytes)
        for node in opened.subtree
        for variable in node.dataset.variables.values()
    )
    stored = checksums.size_of(path)
    if claimed > max(SMALL, MAX_EXPANSION * stored):
        raise ValueError(f"{stored:,} bytes claim to hold {claimed:,}")


@contextmanager
def naming(path: str | os.PathLike[str], wrong: str | None = None) -> Iterator[None]:
    """Turn whatever a reader raises into one sentence that names the file.

    Readers of HDF5, Zarr, netCDF and JSON raise errors of many types on files that are damaged.

    Parameters
    ----------
    path : path
    wrong : str, optional
        The beginning of the sentence; None: that the file is damaged.

    Raises
    ------
    ValueError
        In the place of any other error but MemoryError.
    """
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"{path} does not fit into memory") from error
    except Exception as error:
        reason = " ".join(f"{error}".split())[:300] or type(error).__name__
        lead = f"{path} is damaged" if wrong is None else wrong
        raise ValueError(f"{lead} ({reason})") from error
