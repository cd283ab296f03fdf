"""What else can be asked of a run, one module a verb.

`checking`, `submitting`, `cancelling`, `retrying`, `applying` and `cleaning` do what ``alignsvc
check``, ``submit``, ... are for; `attaching` lets a run that is submitted twice follow the first,
and `describing` says in sentences what all of them return. ``run`` and ``resume`` are
`driving.service`; what only looks is `status`. Start with the verb you came for.
"""
