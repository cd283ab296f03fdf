"""Spline surfaces through small planes, shifted by parts of a pixel, and sums over them."""
