"""Sources of a run's chips placed by models: ``method: model``.

`mosaic_sources` tells what sources are, `model_stars` which stars teach a chip its profile,
`model_on_chip` places all of them. Start with `model_on_chip`.
"""
