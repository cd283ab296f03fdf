"""From displacements to corrections with covariances, in a gauge; when to stop."""
