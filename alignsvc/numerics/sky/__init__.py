"""Between pixels and the sky: corrected WCSs, pixel maps, footprints and grids."""
