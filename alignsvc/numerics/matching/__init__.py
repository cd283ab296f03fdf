"""Which sources of two exposures are the same, when headers are far off."""
