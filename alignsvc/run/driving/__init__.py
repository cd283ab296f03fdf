"""A run from outside: begin it and go on with it, under a lease, until it has ended.

`service` is the way in: `begin`, `resume`. `plans` makes the plan of a run in its directory,
`making_room` sees whose that is, `configuration` stores what `resume` goes by. `wheel` surrounds a
driver's work with signs of life, its log, and an end that the journal knows of; `keeping` gives
those signs and hears of a cancel. Start with `service`.
"""
