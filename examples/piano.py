# %% [markdown]
# # Piano: notes from a spectrogram
#
# The power spectrogram of "Mary had a little lamb", played on a piano: three notes, C4, D4 and E4. Power of noise
# scatters in proportion to its mean, so the likelihood is a gamma distribution. Its MAP estimate with flat priors is
# Itakura-Saito NMF (Fevotte, Bertin and Durrieu 2009, doi:10.1162/neco.2008.04-08-771). Four components are the
# three notes and the sound of the hammers.

# %%
from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from real_data import FIGURES, find

import bayesnmf as bn

#: Fundamental frequencies of the tempered scale, in hertz.
NOTES = {"C4": 261.63, "D4": 293.66, "E4": 329.63}

# %% [markdown]
# ## Data
# Frames are rows, frequencies columns; 62.5 Hz lie between two columns.

# %%
recording = np.load(find("piano/piano_mary.npz"))
V = recording["power"].T.astype(float)
frequency = np.linspace(0.0, float(recording["fs"]) / 2, V.shape[1])

# %%
fit = bn.fit(V, bn.NMF(4, "gamma", "flat", "flat"), bn.MAP(n_init=3), progress=False)
print(fit.message)
W, H = fit.W.to_numpy(), fit.H.to_numpy()

# %% [markdown]
# ## Which component is which
# The spectrum around a fundamental is spread over two columns or three: its centre of mass gives the note. The
# hammer has no pitch; its power is spread over the most columns.


# %%
def width(spectrum: np.ndarray) -> float:
    """Return the number of columns over which power is spread: the exponential of its entropy."""
    share = spectrum[spectrum > 0] / spectrum.sum()
    return float(np.exp(-np.sum(share * np.log(share))))


def pitch(spectrum: np.ndarray) -> float:
    """Return the centre of mass of the strongest column and its neighbours, in hertz."""
    peak = int(spectrum.argmax())
    near = slice(max(peak - 1, 0), peak + 2)
    return float(np.sum(frequency[near] * spectrum[near]) / spectrum[near].sum())


widths = np.array([width(spectrum) for spectrum in H])
hammer = int(widths.argmax())
found = {}
for k in range(4):
    if k == hammer:
        print(f"hammer: spread over {widths[k]:.0f} columns")
        continue
    nearest = min(NOTES, key=lambda note: abs(NOTES[note] - pitch(H[k])))
    found[nearest] = k
    print(f"{nearest}: {pitch(H[k]):.0f} Hz, spread over {widths[k]:.1f} columns")

# %% [markdown]
# ## Picture


# %%
def figure() -> Figure:
    """Draw each component's spectrum, and its power in time."""
    grid, panels = plt.subplots(4, 2, figsize=(9, 7), layout="constrained", sharex="col")
    for (left, right), name in zip(panels, (*NOTES, "hammer"), strict=True):
        k = found[name] if name in NOTES else hammer
        left.semilogy(frequency, np.maximum(H[k], 1e-7), color="C0")
        left.set(ylabel=name, ylim=(1e-6, 1.5))
        if name in NOTES:
            left.axvline(NOTES[name], color="k", linewidth=0.8, linestyle="--")
        right.plot(W[:, k], color="C0", linewidth=0.9)
    panels[0, 0].set_title("share of power (dashed: the note)")
    panels[0, 1].set_title("power")
    panels[-1, 0].set_xlabel("frequency in Hz")
    panels[-1, 1].set_xlabel("frame")
    return grid


if __name__ == "__main__":
    figure().savefig(FIGURES / "gallery_piano.png", dpi=110)
