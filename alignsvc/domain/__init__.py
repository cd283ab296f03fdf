"""Frozen values that every layer speaks in. Conventions: 0-based pixels, integers at centres;
arrays ``[y, x]``, coordinates ``(x, y)``; boxes half-open; mask ``True`` = bad."""
