"""The only code that touches bytes: FITS, zarr, tables, receipts, journal, lease."""
