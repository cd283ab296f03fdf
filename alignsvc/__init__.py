"""alignsvc: distributed sub-pixel alignment of overlapping astronomical exposures."""
