"""One run: from a plan, through the passes, to corrections, a mosaic and a report.

Its rooms, each of which knows only those before it: `records`, `planning`, `stages`, `pictures`,
`needs`, `reducer`, `mending`, `loop`, `extension`, `status`, `seeing`, `report`, `finishing`,
`driving`, `verbs`. Start with `driving.service`, which begins a run and goes on with it, or with
`loop.passes`, which is the loop itself.
"""
