"""The stages that a pass is made of: each makes tasks, runs them and takes up what they say.

`running` hands tasks over and is what all use; `mosaicking`, `cataloguing`, `rejecting`, `telling`
and `measuring` are the stages in the order of a pass; `loop_state` is what goes from one to the
next, `solved_table` and `history` what is kept of it. `scene_workers` hands over the parts of a
model fit in the same way, without a run. Start with `running`, then `mosaicking`.
"""
