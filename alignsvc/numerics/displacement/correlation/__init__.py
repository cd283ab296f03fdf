"""Sums over all lags of two planes, and the peak of a map of them: see `correlators`."""
