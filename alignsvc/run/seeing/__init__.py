"""What people see of a run, live or ended, from its store alone.

`picture` is all that is shown at a time, `exposure_detail` what is shown of one exposure; modules
that end in ``_json`` write them down for pages. `parts` and `served_parts` cut that into pieces
that a page asks for, and `scheduler_page` serves them from a dask scheduler. Start with `picture`.
"""

#: Module that a dask scheduler loads to show runs: what ``dask scheduler --preload`` names.
SCHEDULER_PAGE = f"{__name__}.scheduler_page"
