"""For all tests: what the shell that starts them could make differ."""

import os
import signal

from hypothesis import settings

# In CI hypothesis draws the same examples each time, so that green stays green.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# A shell without job control lets what it starts in the background ignore Ctrl-C, and children
# inherit that: drivers that tests interrupt would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
