"""How far each source of an exposure lies from the mosaic of all the others."""
