"""Pictures of the mosaic, before and after, made while a run has the pixels.

`mosaic_pictures` says which there are and what they show, `previewing` has them made by tasks,
`picture_drawing` draws them. Start with `previewing`.
"""
