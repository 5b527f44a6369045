"""Poisson counts with gamma factors: the Bayesian form of Kullback-Leibler NMF.

Paper
-----
Cemgil, A. T. (2009). Bayesian inference for nonnegative matrix factorisation models.
Computational Intelligence and Neuroscience 2009, 785152. doi:10.1155/2009/785152

Generative process
------------------
The paper writes X = T V, with templates T and excitations V. For row i, component k, column j::

    t_ik ~ Gamma(shape a_t, scale b_t / a_t)
    v_kj ~ Gamma(shape a_v, scale b_v / a_v)
    s_ikj ~ Poisson(t_ik v_kj)
    x_ij = sum over k of s_ikj

so b_t and b_v are prior means, and a small shape makes a factor sparse. The sources s are
summed out here: x_ij ~ Poisson(sum over k of t_ik v_kj).

Symbols
-------
======  ====  ===================  ==================================
symbol  site  shape                prior
======  ====  ===================  ==================================
t_ik    W     row x component      Gamma(shape_W, shape_W / mean_W)
v_kj    H     component x column   Gamma(shape_H, shape_H / mean_H)
x_ij    V     row x column         Poisson((WH)_ij), observed
======  ====  ===================  ==================================

The second number of a Gamma is its rate. The paper's a_t, b_t, a_v, b_v are the options
shape_W, mean_W, shape_H, mean_H.

Limitations
-----------
- The hyperparameters are given numbers, one for a whole factor. The paper also has one for each
  entry, row or column, and learns them by maximising its variational bound.
- The prior mean of WH is n_components * mean_W * mean_H whatever the data: set the means to the
  scale of V.
- A Poisson cell has a variance equal to its mean; counts that scatter more make the model look
  for components in the excess.
- W and H are identified only up to scale, as far as the priors allow, and permutation.
"""

import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesnmf.model.mean import observations, product


def model(V=None, shape=None, n_components=2, *, shape_W=1.0, mean_W=1.0, shape_H=1.0, mean_H=1.0):
    """Run Cemgil's model.

    Parameters
    ----------
    V : array of shape (n_rows, n_columns), optional
        Counts; NaN means missing. None: drawn from the model.
    shape : tuple of int, optional
        Shape of V where it is not given.
    n_components : int
        Number of components.
    shape_W, mean_W, shape_H, mean_H : float
        Shape and mean of the gamma priors.
    """
    n_rows, n_columns = shape if V is None else V.shape
    rows = numpyro.plate("row", n_rows, dim=-2)
    columns = numpyro.plate("column", n_columns, dim=-1)
    components = numpyro.plate("component", n_components, dim=-1)
    with rows, components:
        W = numpyro.sample("W", dist.Gamma(shape_W, shape_W / mean_W))
    with components:
        excitations = dist.Gamma(shape_H, shape_H / mean_H).expand([n_columns])
        H = numpyro.sample("H", excitations.to_event(1))
    observed, counts = observations(V, placeholder=0.0)
    with rows, columns, handlers.mask(mask=observed):
        numpyro.sample("V", dist.Poisson(product(W, H)), obs=counts)
