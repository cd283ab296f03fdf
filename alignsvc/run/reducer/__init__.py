"""From measurements to corrections, chips, flux scales: the reducer of the loop.

The driver itself does this, on small tables and without pixels. `solving.solve` is a pass's solve;
`solve_group` is what one component hands it, `joint_solving` fits it, `joint_solution` says what
each exposure does then, `chips` and `cameras` add what chips and cameras have of their own,
`levelling` compares fluxes and skies. Start with `solving`.
"""
