"""From measurements to corrections, chips, flux scales: the reducer of the loop."""
