"""Where a run stands, for whoever does not drive it: from its store alone, live or ended.

`run_status` is what ``alignsvc status`` says, `listing` one line for each run, `watching` follows
a live one, `explaining` tells the story of one exposure. `progress`, `pace` and the modules about
time say how far it is and how long it still takes. Start with `run_status`.
"""
