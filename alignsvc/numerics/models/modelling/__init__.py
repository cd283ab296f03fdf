"""What `fit_scene` does about a fit: settings, a start, what was found, and what to doubt of it.

Start with `scene_modelling`, which has the steps in order.
"""
