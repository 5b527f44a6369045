"""From a start to an optimum: start values, steps, acceleration, certificate."""
