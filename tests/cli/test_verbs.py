"""The path that a user takes: fit, check and plot."""

from __future__ import annotations

import pytest
from cli.command import run

import bayesnmf as bn
from bayesnmf.posterior import fitting, output_files

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
def test_fit_check_and_plot(counts, ending):
    fit_file = counts.with_name("fit" + ending)
    fitted = run("fit", counts, "--rank", 2, "--method", "map", "--out", fit_file)
    assert (fitted.status, fitted.err) == (0, "")
    assert "5 rows x 4 columns, missing cells: 1" in fitted.out
    assert "alpha 0." in fitted.out
    assert "converged after" in fitted.out
    assert fitted.out.endswith(f"Saved to {fit_file}\n")
    assert "nan" not in fitted.out.casefold()

    checked = run("check", fit_file)
    assert (checked.status, checked.err) == (0, "")
    assert "converged" in checked.out

    plotted = run("plot", fit_file)
    image = counts.with_name("fit-components.png")
    assert plotted == (0, f"{image}\n", "")
    assert image.read_bytes().startswith(PNG)


def test_plot_writes_the_kind_and_the_name_that_are_asked_for(map_file):
    image = map_file.with_name("fits.pdf")
    assert run("plot", map_file, "--kind", "reconstruction", "--out", image) == (
        0,
        f"{image}\n",
        "",
    )
    assert image.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("kind", ["top_columns", "loadings"])
def test_plot_draws_every_kind(map_file, kind):
    image = map_file.with_name(f"{map_file.stem}-{kind}.png")
    assert run("plot", map_file, "--kind", kind) == (0, f"{image}\n", "")
    assert image.read_bytes().startswith(PNG)


@pytest.mark.numpyro_promotion
def test_check_has_exit_status_1_where_it_cannot_judge(counts):
    fit_file = counts.with_name("fit.nc")
    options = ("--warmup", 10, "--samples", 10, "--chains", 1, "--seed", 3)
    fitted = run("fit", counts, "--rank", 1, *options, "--out", fit_file)
    assert (fitted.status, fitted.err) == (1, "")
    assert "95%" in fitted.out  # intervals, since there are draws
    result = bn.load(fit_file)
    assert (result.method, result.tree.attrs["seed"]) == ("mcmc", 3)
    assert dict(result.tree["posterior"].sizes)["draw"] == 10
    checked = run("check", fit_file)
    assert (checked.status, checked.err) == (1, "")
    assert checked.out.startswith("Cannot judge convergence")
    assert "log density" in checked.out


def test_a_result_that_cannot_be_saved_is_rescued_and_named(counts, tmp_path, monkeypatch):
    save, temporary = bn.Fit.save, tmp_path / "temporary"
    temporary.mkdir()

    def fail(fit, path):
        if path.name == "fit.nc":
            raise OSError(28, "No space left on device", str(path))
        save(fit, path)

    monkeypatch.setattr(bn.Fit, "save", fail)
    monkeypatch.setattr(output_files.tempfile, "tempdir", str(temporary))
    fit_file = counts.with_name("fit.nc")
    outcome = run("fit", counts, "--rank", 2, "--method", "map", "--out", fit_file)
    (rescue,) = temporary.glob("*/rescue.nc")
    error = outcome.error()
    assert error.startswith(
        f"could not save to {fit_file} (No space left on device). The result is"
    )
    assert str(rescue) in error
    assert bn.load(rescue).converged


def test_fit_that_has_not_converged_says_it_once_and_has_exit_status_1(counts):
    fit_file = counts.with_name("fit.nc")
    options = ("--method", "map", "--max-iter", 3, "--starts", 1, "--out", fit_file)
    fitted = run("fit", counts, "--rank", 2, *options)
    assert (fitted.status, fitted.err) == (1, "")
    assert fitted.out.count("not converged") == 1
    assert not bn.load(fit_file).converged  # saved all the same
    assert run("check", fit_file).status == 1
    assert run("fit", counts, "--rank", 2, *options, "--quiet") == (1, "", "")


def test_fit_that_was_interrupted_saves_what_it_has_and_has_exit_status_130(counts, monkeypatch):
    def interrupted(*given, **options):
        result = whole(*given, **options)
        result.tree.attrs["interrupted"] = 1
        return result

    whole, fit_file = fitting.fit_silently, counts.with_name("fit.nc")
    monkeypatch.setattr(fitting, "fit_silently", interrupted)
    fitted = run("fit", counts, "--rank", 2, "--method", "map", "--out", fit_file)
    assert (fitted.status, fitted.err) == (130, "bayesnmf: interrupted\n")
    assert f"Saved to {fit_file}" in fitted.out
    assert bn.load(fit_file).interrupted


def test_empty_components_are_one_line_on_standard_error(counts):
    shares = counts.with_name("shares.csv")
    shares.write_text("a,b,c\n0.2,0.3,0.5\n0.1,0.3,0.6\n0.3,0.3,0.4\n")
    fitted = run("fit", shares, "--rank", 2, "--method", "map", "--out", counts.with_name("f.nc"))
    (line,) = fitted.err.splitlines()
    assert line.startswith("bayesnmf: warning: 1 of 2 components is empty: the poisson likelihood")


def test_quiet_prints_nothing(counts):
    fit_file = counts.with_name("fit.nc")
    options = ("--rank", 1, "--method", "map", "--out", fit_file, "--quiet")
    assert run("fit", counts, *options) == (0, "", "")


def test_method_options_reach_the_method(counts):
    fit_file = counts.with_name("fit.nc")
    options = ("--method", "map", "--max-iter", 3, "--starts", 2, "--solver", "mu", "--tol", 0)
    priors = ("--prior-w", "exponential", "--prior-h", "gamma")
    assert run("fit", counts, "--rank", 2, *options, *priors, "--out", fit_file).status == 1
    result = bn.load(fit_file)
    assert result.tree.attrs["n_iter"] == 3
    assert len(result.tree.attrs["objectives"]) == 2
    assert (result.model.prior_W.name, result.model.prior_H.name) == ("exponential", "gamma")


def test_rank_above_both_sides_is_a_warning(counts):
    fitted = run("fit", counts, "--rank", 6, "--method", "map", "--out", counts.with_name("fit.nc"))
    assert fitted.status == 0
    line, *_ = fitted.err.splitlines()
    assert line.startswith("bayesnmf: warning: 6 components for a matrix of shape (5, 4)")


def test_map_accepts_fractions_and_says_that_it_is_a_quasi_likelihood(tmp_path):
    data = tmp_path / "fractions.csv"
    data.write_text("a,b,c\n0.5,1,2\n3,4,5\n1,1,2\n")
    fitted = run("fit", data, "--rank", 1, "--method", "map", "--out", tmp_path / "fit.nc")
    assert (fitted.status, fitted.err) == (0, "")
    assert "quasi-likelihood" in fitted.out
