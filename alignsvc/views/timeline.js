// When each stage ran, and how much of that was work of its tasks.

// Room for names at the left: the same for all that has this time axis, so that they can be compared.
const TIME_LEFT = 130;

// What is shown of a part of the picture that has not come yet.
const NO_TASKS = { start_s: 0, lanes: [], n_workers: 0, kinds: [], single: { lane: [], kind: [], began: [] }, sums: { lane: [], kind: [], began: [] }, rate: null, notes: [] };
const NO_WORKERS = { start_s: 0, samples: { time: [], known: [], busy: [], driver_mb: [], lowest_mb: [], median_mb: [], highest_mb: [], limit_mb: [] }, notes: [] };

// The part of a picture that tells of tasks, workers and failures.
function workOf({ tasks = NO_TASKS, workers = NO_WORKERS, failures = [] }) { return { tasks, workers, failures }; }

// The time of a run, in a unit that suits its length: for all drawings over time.
function runTime(view) {
  const { stages, now_s: now } = view.picture, { tasks, workers } = workOf(view.picture);
  const ends = stages.map((one) => one.ended_s ?? (one.lost ? one.began_s : now));
  const began = stages.map((one) => one.began_s);
  const { single, sums } = tasks;
  for (const [k, at] of single.began.entries()) { began.push(tasks.start_s + at); ends.push(tasks.start_s + at + single.seconds[k]); }
  for (const [k, at] of sums.began.entries()) { began.push(tasks.start_s + at); ends.push(Math.min(now, tasks.start_s + at + sums.width[k])); }
  for (const at of workers.samples.time) if (at !== null) { began.push(workers.start_s + at); ends.push(workers.start_s + at); }
  const [start] = extent(began), [, end] = extent(ends);
  if (start === undefined) return null;
  const length = Math.max(end - start, 1e-3);
  const [unit, name] = length < 300 ? [1, "s"] : length < 18000 ? [60, "min"] : [3600, "h"];
  const since = new Date(start * 1000).toISOString().replace("T", " ").slice(0, 19);
  return { start, of: (time) => (time - start) / unit, axis: { low: 0, high: length / unit, name: `since ${since} UTC [${name}]` } };
}

function timeline(view) {
  return new Plane("Time of each stage", 60, (on) => {
    const stages = view.picture.stages;
    if (!stages.length) return nothing(on, "no stage has begun");
    const names = [...new Set(stages.map((one) => one.stage))];
    const height = MARGIN.top + MARGIN.bottom + 24 * names.length;
    if (on.height !== height) { on.height = height; return on.redraw(); }
    const time = runTime(view);
    on.axes(time.axis, { low: names.length - 0.5, high: -0.5, name: "", ticks: names.map((_, k) => k), label: (k) => names[k].replaceAll("_", " ") });
    for (const one of stages) {
      const stop = one.ended_s ?? (one.lost ? one.began_s : view.picture.now_s);
      const x0 = on.x(time.of(one.began_s)), x1 = Math.max(on.x(time.of(stop)), x0 + 2);
      const y = on.y(names.indexOf(one.stage));
      on.pen.fillStyle = one.failed || one.lost ? COLOURS.failed : one.ended_s === null ? COLOURS.going : COLOURS.aligned;
      on.pen.fillRect(x0, y - 8, x1 - x0, 16);
      const how = one.lost ? "its driver was lost" : one.ended_s === null ? "going on" : `${number(stop - one.began_s, 3)} s`;
      const failed = one.failed ? `, ${one.failed} failed` : "";
      const memory = one.peak_bytes ? `, at most ${Math.round(one.peak_bytes / 1e6)} MB a process` : "";
      on.spot((x0 + x1) / 2, y, `pass ${one.pass} ${one.stage}: ${one.tasks} tasks${failed}, ${how}, ${number(one.work_s, 3)} s of work${memory}`, null, (x1 - x0) / 2);
    }
  }, TIME_LEFT);
}
