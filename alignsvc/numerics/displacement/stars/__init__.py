"""Stars placed by a profile that the chip's own stars give, where no template is sharp enough.

`star_methods` says what such a way has to do, `sharp_stars` is one. Start with `star_methods`.
"""
