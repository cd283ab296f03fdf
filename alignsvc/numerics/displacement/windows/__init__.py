"""What is compared: cutouts of an exposure beside templates of the others, in its seeing.

`chip_frames` makes them for a chip, `pairs` is what every step works on. Start with `chip_frames`.
"""
