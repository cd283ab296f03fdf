"""What a run will need of memory, time and disk, computed from its plan alone.

`task_needs` is a task's need by the sizes of what it allocates, `prediction` the sum over a run,
`worker_memory` the comparison with the workers that there are. Start with `prediction`.
"""
