"""From the peak on: the displacement that fits best, and what it is worth.

`refine` has the ways to go on, `information` says what each source tells. Start with `refine`.
"""
