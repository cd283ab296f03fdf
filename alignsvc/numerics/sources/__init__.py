"""Sky, background, detection and choice of sources."""
