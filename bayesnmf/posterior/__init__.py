"""From draws to a fit: aligned, labelled, judged, saved."""
