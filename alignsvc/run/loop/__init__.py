"""The loop of passes, what comes before its first and what after its last.

`driver.run_loop` goes from the journal's end to the last pass, `passes.run_pass` is one of them.
Before: exposures far off are found (`bootstrapping`, `start_search`), all together are tied to the
catalogue (`catalogue_tie`). After: `method_agreement` and `held_out` say what to think of the
result. Start with `passes`.
"""
