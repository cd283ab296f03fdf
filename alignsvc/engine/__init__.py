"""Where tasks run: the only code that knows dask."""
