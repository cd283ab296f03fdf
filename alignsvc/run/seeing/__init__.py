"""What people see of a run, live or ended, from its store alone."""

#: Module that a dask scheduler loads to show runs: what ``dask scheduler --preload`` names.
SCHEDULER_PAGE = f"{__name__}.scheduler_page"
