"""Runs that go on where a finished one ended: what is taken along, and what stays as it is.

`reading_earlier` reads the finished run, `extending` copies from it what the new one needs, so that
the old one can go. What a plan knows of it is `planning.earlier_run`. Start with `extending`.
"""
