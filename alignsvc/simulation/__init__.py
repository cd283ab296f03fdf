"""Skies with known truth: exposures drawn from settings, and how well a run recovers them."""
