"""Chains side by side: on several devices, and in threads on one."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

QUICK_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
FIT = """
import sys
import jax
import numpy as np
import bayesnmf as bn
method = bn.MCMC(num_warmup=30, num_samples=30, num_chains=3)
fit = bn.fit(np.arange(30.0).reshape(6, 5), bn.NMF(2), method, progress=False)
np.save(sys.argv[1], fit.tree["posterior/W"].to_numpy())
print(len(jax.local_devices()))
"""


@pytest.mark.long
def test_draws_do_not_depend_on_the_number_of_devices(tmp_path):
    found = []
    for number in (1, 2):
        flags = f"--xla_force_host_platform_device_count={number} {QUICK_TO_COMPILE}"
        done = subprocess.run(
            [sys.executable, "-c", FIT, tmp_path / "W.npy"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "XLA_FLAGS": flags},
        )
        assert done.stdout == f"{number}\n"
        found.append(np.load(tmp_path / "W.npy"))
    np.testing.assert_array_equal(*found)
