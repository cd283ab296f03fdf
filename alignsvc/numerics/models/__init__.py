"""Model fits: parametric sources and WCS corrections fitted to the pixels of many exposures.

Here are unknowns, equations and the search, which know no pixel. Rooms: `light` and its families
`profiles` and `galaxies` (what sources look like), `scene` (the likelihood and its fit),
`modelling` (`fit_scene`, for people), `on_chip` (``method: model`` of a run).
"""
