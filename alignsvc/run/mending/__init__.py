"""What is done once a product turns out damaged or missing, or a loop begins anew.

`damage` says how often a driver goes back, `remaking` makes a past mosaic again, `segments` its map
of sources, `settled_products` looks through what settled passes left, and `beginning_anew` clears
away a loop that was given up. Start with `damage`.
"""
