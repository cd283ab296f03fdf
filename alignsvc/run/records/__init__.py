"""What a run leaves of itself, and how it is read again.

The journal's fold (`state`), what the journal says to people (`journal_view`, `published`), the
stored configuration (`stored`), the directory, the logs of driver and tasks, the events a driver
tells its listeners, and the result. No plan, no pixel. Start with `state`; `events` next.
"""
