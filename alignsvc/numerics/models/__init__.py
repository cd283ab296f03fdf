"""Parametric models of sources fitted to the pixels of many exposures at once."""
