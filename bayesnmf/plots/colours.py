"""Colours that people with any colour vision can tell apart, and patterns where these run out."""

from __future__ import annotations

#: Six colours of Okabe and Ito for components, blue and orange first. Their yellow is too pale for lines.
COMPONENTS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


#: What is drawn as one: the sum of small components.
OTHERS = "#C8C8C8"


#: Patterns of bars and dashes of lines of the first six components, the next six, and so on.
HATCHES, DASHES = ("", "////", "....", "xxxx"), ("-", "--", ":", "-.")


#: The six classes of substitutions in the hues that the field knows (COSMIC draws light blue, black,
#: red, grey, green and pink), from the colours of Okabe and Ito. Red and green of COSMIC, its grey and its
#: pink look alike to many.
CLASSES = {
    "C>A": "#56B4E9",
    "C>G": "#000000",
    "C>T": "#D55E00",
    "T>A": "#C8C8C8",
    "T>C": "#009E73",
    "T>G": "#CC79A7",
}


def component_colour(k: int) -> str:
    """Return the colour of component k, which every sixth component has.

    References
    ----------
    Okabe, M. & Ito, K. (2008). Color universal design: how to make figures and presentations that are
    friendly to colorblind people. https://jfly.uni-koeln.de/color/

    Examples
    --------
    >>> component_colour(0), component_colour(7)
    ('#0072B2', '#E69F00')
    """
    return COMPONENTS[k % len(COMPONENTS)]


def hatch_of(k: int) -> str:
    """Return the pattern that bars of component k have, none for the first six."""
    return HATCHES[k // len(COMPONENTS) % len(HATCHES)]


def dashes_of(k: int) -> str:
    """Return the dashes that lines of component k have, none for the first six."""
    return DASHES[k // len(COMPONENTS) % len(DASHES)]
