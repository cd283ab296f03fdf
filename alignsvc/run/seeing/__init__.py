"""What people see of a run, live or ended, from its store alone."""
