"""Gaussian noise of unknown variance with exponential factors: Bayesian least-squares NMF.

Paper
-----
Schmidt, M. N., Winther, O. and Hansen, L. K. (2009). Bayesian non-negative matrix
factorization. Independent Component Analysis and Signal Separation, LNCS 5441, 540-547.
doi:10.1007/978-3-642-00599-2_68

Generative process
------------------
The paper writes X = A B + E. For row i, component n, column j::

    a_in ~ Exponential(rate alpha)
    b_nj ~ Exponential(rate beta)
    sigma^2 ~ InverseGamma(k, theta)
    x_ij ~ Normal(sum over n of a_in b_nj, variance sigma^2)

where InverseGamma(k, theta) has a density proportional to (sigma^2)^(-k-1) exp(-theta/sigma^2).

Symbols
-------
=======  ========  ===================  ====================================
symbol   site      shape                prior
=======  ========  ===================  ====================================
a_in     W         row x component      Exponential(rate_W)
b_nj     H         component x column   Exponential(rate_H)
sigma^2  variance  scalar               InverseGamma(k, theta)
x_ij     V         row x column         Normal((WH)_ij, sqrt(variance)), observed
=======  ========  ===================  ====================================

The paper's alpha and beta are the options rate_W and rate_H; k and theta keep their names.

Limitations
-----------
- The rates are given numbers, one for a whole factor; the paper allows one for each entry.
- The defaults are proper but suit data of order 1: the prior mean of WH is
  n_components / (rate_W * rate_H), and theta is in squared units of V. Set them to the scale
  of V. Rates, k and theta of 0, the defaults of the first author's sampler, are improper and
  are not offered.
- Noise has one variance and may make cells negative, which counts and proportions cannot be.
- W and H are identified only up to scale, as far as the priors allow, and permutation.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesnmf.model.mean import observations, product


def model(V=None, shape=None, n_components=2, *, rate_W=1.0, rate_H=1.0, k=1.0, theta=1.0):
    """Run the model of Schmidt, Winther and Hansen.

    Parameters
    ----------
    V : array of shape (n_rows, n_columns), optional
        Real numbers; NaN means missing. None: drawn from the model.
    shape : tuple of int, optional
        Shape of V where it is not given.
    n_components : int
        Number of components.
    rate_W, rate_H : float
        Rates of the exponential priors.
    k, theta : float
        Shape and scale of the inverse-gamma prior on the noise variance.
    """
    n_rows, n_columns = shape if V is None else V.shape
    rows = numpyro.plate("row", n_rows, dim=-2)
    columns = numpyro.plate("column", n_columns, dim=-1)
    components = numpyro.plate("component", n_components, dim=-1)
    with rows, components:
        W = numpyro.sample("W", dist.Exponential(rate_W))
    with components:
        H = numpyro.sample("H", dist.Exponential(rate_H).expand([n_columns]).to_event(1))
    variance = numpyro.sample("variance", dist.InverseGamma(k, theta))
    observed, values = observations(V, placeholder=0.0)
    with rows, columns, handlers.mask(mask=observed):
        numpyro.sample("V", dist.Normal(product(W, H), jnp.sqrt(variance)), obs=values)
