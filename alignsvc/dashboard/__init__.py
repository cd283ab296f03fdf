"""Looking at runs in notebooks and on the pages of a scheduler: from the run store alone."""
