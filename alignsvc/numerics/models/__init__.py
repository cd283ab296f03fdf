"""Model fits: parametric sources and WCS corrections fitted to the pixels of many exposures."""
