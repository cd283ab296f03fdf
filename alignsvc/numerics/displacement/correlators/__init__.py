"""The family of correlators: how the likeness of two cutouts is scored at whole-pixel lags."""
