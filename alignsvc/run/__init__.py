"""One run: plan, passes, journal's state, end and report."""
