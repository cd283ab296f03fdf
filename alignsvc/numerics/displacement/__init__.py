"""How far each source of an exposure lies from the mosaic of all the others.

Rooms: `splines` (surfaces, and sums over them), `windows` (what is compared), `correlation` and its
family `correlators`, `fitting` (from the peak on), `stars` (placed by the chip's own profile).
Start with `measure`.
"""
