"""Compiled programs that are kept on disk, so that the next process need not compile them again."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import jax

#: Bytes that the cache may take before what was used longest ago is removed.
MAX_SIZE = 2**30


def enable_compilation_cache(path: str | os.PathLike[str] | None = None) -> Path:
    """Keep compiled programs on disk, from now on and for all processes that call this.

    Compiling takes several seconds of a first fit. With a cache it is done once for each combination of a model's kind, a
    method and a shape of data, on each machine; another process then reads what it needs in milliseconds. The command line does this
    by itself.

    This sets JAX's own configuration, so that other programs of this process that JAX compiles are kept too. Nothing else in
    the package changes that configuration.

    Parameters
    ----------
    path : path, optional
        Folder, which is made where it is missing. None: that of ``JAX_COMPILATION_CACHE_DIR`` where it is set, else
        ``bayesnmf`` in the user's cache folder.

    Returns
    -------
    pathlib.Path
        The folder. It takes up to 1 GiB, and can be deleted at any time.

    Raises
    ------
    OSError
        When the folder cannot be made or written.

    Examples
    --------
    >>> import bayesnmf as bn
    >>> folder = bn.enable_compilation_cache()  # doctest: +SKIP
    """
    from jax.experimental.compilation_cache.compilation_cache import reset_cache
    from platformdirs import user_cache_path

    given = path if path is not None else os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = Path(given) if given else user_cache_path("bayesnmf", appauthor=False) / "compiled"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(
            f"the compilation cache {folder} cannot be written: give another path"
        )
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MAX_SIZE)
    # Many small programs take long together.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    # A damaged entry is compiled again, which is no news to a user.
    for action in ("reading", "writing"):
        warnings.filterwarnings("ignore", f"Error {action} persistent compilation cache entry")
    reset_cache()  # JAX looks for a cache once, when it first compiles
    return folder
