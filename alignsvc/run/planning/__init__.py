"""What a run is going to do, known before any pixel is read.

Headers are read (`reading_headers`), looked through (`inspecting`) and arranged on grids
(`making`); the outcome is a `plan.Plan`. Here is also what a plan says of an earlier run and of
its tiles, the order of work on the sky, and whether inputs are still what they were. Start with
`plan`, then `making.make_plan`.
"""
