"""The likelihood of sources in the pixels of many exposures, and its fit, in one piece or in parts.

`scene` says what is fitted, `scene_windows` works on pixels, `scene_problem` puts equations
together, `scene_fit` searches; `parted_fit` is the same of parts that lie elsewhere. Start with
`scene_fit`.
"""
