"""The zoo: every model against the contract, and each one against its paper's formulas."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.stats
import small
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import log_density
from numpyro.optim import Adam

from bayesnmf.data import Matrix
from bayesnmf.model import Program
from bayesnmf.zoo import check_contract, list_models, load_model
from bayesnmf.zoo import load as zoo
from bayesnmf.zoo.load import PARTS

NAMES = list_models().index.tolist()
MODELS = Path(zoo.__file__).parents[2] / "models"


@functools.cache
def drawn(name):
    """Return the values of a draw from a model's defaults, by site."""
    program = load_model(name)

    @jax.jit
    def draw(key):
        trace = handlers.trace(handlers.seed(program, key)).get_trace(shape=(4, 3))
        return {name: site["value"] for name, site in trace.items() if site["type"] == "sample"}

    return {name: np.asarray(value) for name, value in draw(jax.random.key(1)).items()}


# -- every model ------------------------------------------------------------------------------


def test_the_list_and_the_readme_have_every_file():
    assert sorted(path.stem for path in MODELS.glob("*.py")) == NAMES
    table = (MODELS / "README.md").read_text(encoding="utf-8")
    for name, summary in list_models()["summary"].items():
        assert f"`{name}`" in table
        assert summary.endswith(".")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_components", [1, 3])
def test_a_model_meets_the_contract(name, n_components):
    program = load_model(name, n_components=n_components)
    assert program.reference == name
    again = load_model(program.reference, **program.options)
    assert again.options == {"n_components": n_components}
    check_contract(again)


@pytest.mark.parametrize("name", NAMES)
def test_missing_cells_change_nothing_bit_for_bit(name):
    program = load_model(name)
    sites = dict(drawn(name))
    V = sites.pop("V").astype(float)
    mask = np.ones((4, 3), dtype=bool)
    mask[[0, 2], [1, 0]] = False

    @jax.jit
    def density(V):
        return jax.value_and_grad(lambda s: log_density(program, (V,), {}, s)[0])(sites)

    results = []
    for value in (0.25, 9e5, np.nan):
        edited = np.where(mask, V, value)
        results.append(density(Matrix.of(edited, mask=None if np.isnan(value) else mask).values))
    for value, gradient in results:
        assert np.isfinite(value)
        assert value == results[0][0]
        for site in sites:
            assert np.isfinite(gradient[site]).all()
            np.testing.assert_array_equal(gradient[site], results[0][1][site])
    assert density(V)[0] != results[0][0]


@pytest.mark.numpyro_promotion
@pytest.mark.parametrize("name", small.short_of(list(NAMES), "cemgil2009"))
def test_nuts_and_svi_run(name):
    program = load_model(name)
    V = drawn(name)["V"].astype(float)
    V[1, 2] = np.nan
    mcmc = MCMC(NUTS(program), num_warmup=5, num_samples=5, progress_bar=False)
    mcmc.run(jax.random.key(0), V)
    draws = mcmc.get_samples()
    assert (draws["W"].shape, draws["H"].shape) == ((5, 4, 2), (5, 2, 3))
    svi = SVI(program, AutoNormal(program), Adam(0.01), Trace_ELBO())
    result = svi.run(jax.random.key(0), 5, V, progress_bar=False)
    for values in (draws["W"], draws["H"], result.losses):
        assert np.isfinite(values).all()


# -- each model against its paper -------------------------------------------------------------


def test_cemgil2009_log_density(float64):
    """Cemgil (2009): t ~ G(a, scale b/a), v likewise, x ~ Poisson([TV])."""
    program = load_model("cemgil2009", shape_W=1.7, mean_W=0.6, shape_H=0.4, mean_H=5.0)
    rng = np.random.default_rng(0)
    T, E = rng.gamma(1, 1, (4, 2)), rng.gamma(1, 3, (2, 3))
    X = rng.poisson(T @ E).astype(float)
    X[2, 1] = np.nan
    expected = scipy.stats.gamma.logpdf(T, 1.7, scale=0.6 / 1.7).sum()
    expected += scipy.stats.gamma.logpdf(E, 0.4, scale=5.0 / 0.4).sum()
    expected += np.nansum(scipy.stats.poisson.logpmf(X, T @ E))
    density, _ = log_density(program, (X,), {}, {"W": T, "H": E})
    assert float(density) == pytest.approx(expected, rel=1e-12)


def test_schmidt2009_log_density(float64):
    """Schmidt et al. (2009): exponential a and b, inverse-gamma sigma^2, normal x."""
    program = load_model("schmidt2009", rate_W=0.5, rate_H=3.0, k=2.5, theta=1.4)
    rng = np.random.default_rng(0)
    A, B, variance = rng.exponential(2, (4, 2)), rng.exponential(0.3, (2, 3)), 0.7
    X = rng.normal(A @ B, np.sqrt(variance))
    X[0, 2] = np.nan
    expected = np.log(0.5) * A.size - 0.5 * A.sum() + np.log(3.0) * B.size - 3.0 * B.sum()
    expected += scipy.stats.invgamma.logpdf(variance, 2.5, scale=1.4)
    expected += np.nansum(scipy.stats.norm.logpdf(X, A @ B, np.sqrt(variance)))
    density, _ = log_density(program, (X,), {}, {"W": A, "H": B, "variance": variance})
    assert float(density) == pytest.approx(expected, rel=1e-12)


def prior_draws(program, count=4000):
    draws = Predictive(program, num_samples=count)(jax.random.key(3), shape=(2, 3))
    return {name: np.asarray(values, float) for name, values in draws.items()}


def assert_mean(values, expected):
    """Independent draws have the expected mean; 4.4 standard errors is a chance of 1e-5."""
    assert abs(values.mean() - expected) < 4.4 * values.std() / np.sqrt(values.size)


def test_cemgil2009_prior_predictive_moments():
    draws = prior_draws(load_model("cemgil2009", shape_W=2.0, mean_W=1.5, shape_H=4.0, mean_H=3.0))
    W, H, V = draws["W"][:, 0, 0], draws["H"][:, 1, 2], draws["V"][:, 1, 1]
    for factor, mean, shape in ((W, 1.5, 2.0), (H, 3.0, 4.0)):
        assert_mean(factor, mean)
        assert_mean((factor - mean) ** 2, mean**2 / shape)
    # Two independent products of gammas, and Poisson noise around their sum.
    mean = 2 * 1.5 * 3.0
    product_variance = (1.5 * 3.0) ** 2 * ((1 + 1 / 2.0) * (1 + 1 / 4.0) - 1)
    assert_mean(V, mean)
    assert_mean((V - mean) ** 2, mean + 2 * product_variance)


def test_schmidt2009_prior_predictive_moments():
    draws = prior_draws(load_model("schmidt2009", rate_W=2.0, rate_H=0.5, k=6.0, theta=10.0))
    assert_mean(draws["W"][:, 1, 0], 0.5)
    assert_mean(draws["H"][:, 0, 1], 2.0)
    assert_mean(draws["variance"], 10.0 / 5.0)
    V = draws["V"][:, 0, 2]
    assert_mean(V, 2 * 0.5 * 2.0)
    # A product of two exponentials of mean 1 has a variance of 2 * 2 - 1.
    assert_mean((V - 2.0) ** 2, 2.0 + 2 * 3.0)


# -- what load_model refuses ------------------------------------------------------------------

DOCSTRING = (
    '"""A model.\n\n'
    + "".join(f"{part}\n{'-' * len(part)}\nText, doi:10.1234/5.\n\n" for part in PARTS)
    + '"""\n'
)
BODY = """
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from bayesnmf.model.mean import observations, product


def model(V=None, shape=None, n_components=2, *, rate=1.0):
    n, m = shape if V is None else V.shape
    W = numpyro.sample("W", dist.Exponential(rate).expand([n, n_components]).to_event(2))
    H = numpyro.sample("H", dist.Exponential(rate).expand([n_components, m]).to_event(2))
    observed, values = observations(V, 1.0)
    with handlers.mask(mask=observed):
        numpyro.sample("V", dist.Poisson(product(W, H)), obs=values)
"""


@pytest.fixture
def write(tmp_path):
    def writer(old="", new="", docstring=DOCSTRING):
        assert old in docstring + BODY
        path = tmp_path / "mine.py"
        path.write_text((docstring + BODY).replace(old, new) if old else docstring + BODY)
        return path

    return writer


def refused(path, error=ValueError, **options):
    with pytest.raises(error) as caught:
        load_model(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_file_of_your_own(write, monkeypatch):
    path = write()
    monkeypatch.chdir(path.parent)
    program = load_model("./mine.py", rate=2.0, n_components=3)
    assert Path(program.reference).is_absolute()
    assert load_model(program.reference, **program.options).options == program.options
    assert not (path.parent / "__pycache__").exists()


def test_an_edited_file_is_read_again(write):
    load_model(write(), rate=2.0)
    assert "pace=1.0" in refused(write("rate=1.0", "pace=1.0"), rate=2.0)


def test_factors_may_be_functions_of_other_sites(write):
    doubled = 'numpyro.sample("half", dist.Exponential(rate).expand([n, n_components]).to_event(2))'
    plain = doubled.replace("half", "W")
    load_model(write(plain, f'numpyro.deterministic("W", 2 * {doubled})'))
    text = refused(write(plain, f'numpyro.deterministic("W", -{doubled})'))
    assert "'W' may be negative" in text


def test_unknown_names_list_the_zoo():
    for name, error in (("cemgil2010", ValueError), ("absent.py", FileNotFoundError)):
        text = refused(name, error)
        assert name in text
        for known in NAMES:
            assert known in text


def test_unknown_options_list_the_valid_ones():
    text = refused("cemgil2009", rank=3)
    assert "'rank'" in text
    assert "n_components=2, shape_W=1.0, mean_W=1.0, shape_H=1.0, mean_H=1.0" in text
    assert "number or a string" in refused("cemgil2009", shape_W=np.ones(3))
    for value in (0, 1.5, True, "2"):
        assert "n_components must be" in refused("cemgil2009", n_components=value)
    assert "shape_W=-1.0" in refused("cemgil2009", shape_W=-1.0)


@pytest.mark.parametrize("part", PARTS)
def test_a_docstring_without_a_part_is_refused(write, part):
    text = refused(write(docstring=DOCSTRING.replace(part + "\n", "Something\n")))
    assert repr(part) in text
    heading = f"{part}\n{'-' * len(part)}\n"
    empty = DOCSTRING.replace(heading + "Text, doi:10.1234/5.\n", heading)
    assert repr(part) in refused(write(docstring=empty))


def test_a_paper_has_a_doi_or_is_called_unpublished(write):
    assert "no DOI" in refused(write(docstring=DOCSTRING.replace("doi:10.1234/5", "2009")))
    load_model(write(docstring=DOCSTRING.replace("doi:10.1234/5", "unpublished")))


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("def model(", "def program(", ("no function 'model'",)),
        ("V=None, shape=None", "shape=None, V=None", ("V first",)),
        ("n_components=2", "rank=2", ("V first", "rank")),
        ("rate=1.0", "rate", ("'rate'", "no default")),
        ("import jax.numpy as jnp", "import no_such_module", ("line 21 fails", "no_such_module")),
        ("n, m = shape", "n, m == shape", ("does not run with its default options", "NameError")),
        ("    n, m = shape", "  return n, m = = 3", ("line 29", "invalid syntax")),
        ('sample("H"', 'sample("basis"', ("no site 'H'",)),
        ("    W = ", "    n_components += 1; W = ", ("'W' has shape (4, 3)", "must be (4, 2)")),
        ('"W", dist.Exponential(rate)', '"W", dist.Normal(0.0, rate)', ("'W' may be negative",)),
        (", obs=values", "", ("'V' is not conditioned",)),
        ("mask=observed", "mask=True", ("missing add", "log density")),
    ],
)
def test_breaches_are_named(write, old, new, parts):
    text = refused(write(old, new))
    for part in parts:
        assert part in text


def test_a_file_without_docstring_or_text(write, tmp_path):
    assert "no docstring" in refused(write(docstring="# nothing\n"))
    path = tmp_path / "binary.py"
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refused(path)


def test_a_missing_zoo_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "bayesnmf" / "zoo" / "load.py"))
    assert "none (its folder is not installed)" in refused("cemgil2009")
    assert list_models().empty


def test_the_package_is_looked_at_before_the_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "bayesnmf" / "zoo" / "load.py"))
    for folder, name in (
        (tmp_path / "models", "outer"),
        (tmp_path / "bayesnmf/zoo/models", "inner"),
    ):
        folder.mkdir(parents=True)
        (folder / f"{name}.py").write_text(DOCSTRING + BODY)
        assert list_models().index.tolist() == [name]


def test_check_contract_takes_a_function_of_the_session():
    def two(V=None, shape=None, n_components=2):
        raise RuntimeError("two\nlines")

    with pytest.raises(ValueError, match=r"model two does not run .*RuntimeError: two lines"):
        check_contract(Program(two))
