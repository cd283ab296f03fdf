"""Runs that go on where a finished one ended: what is taken along, and what stays as it is."""
