"""From pixels of chips to sums on the grid: calibration, resampling, merging, leaving one out."""
