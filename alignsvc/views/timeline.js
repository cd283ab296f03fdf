// When each stage ran, and how much of that was work of its tasks.

// Room for names at the left: the same for all that has this time axis, so that they can be compared.
const TIME_LEFT = 130;

// What is shown of a part of the picture that has not come yet.
const NO_TASKS = { start_s: 0, lanes: [], n_workers: 0, kinds: [], single: { lane: [], kind: [], began: [] }, sums: { lane: [], kind: [], began: [] }, rate: null, notes: [] };
const NO_WORKERS = { start_s: 0, samples: { time: [], known: [], busy: [], driver_mb: [], lowest_mb: [], median_mb: [], highest_mb: [], limit_mb: [] }, notes: [] };

// The time of each picture, since all that is drawn over time asks for it.
const TIMES = new WeakMap();

// The part of a picture that tells of tasks, workers and failures.
function workOf({ tasks = NO_TASKS, workers = NO_WORKERS, failures = [] }) { return { tasks, workers, failures }; }

// The time of a run, for all drawings over time: `of` says where a time is drawn. Whiles of which
// nothing is on record, as between two drivers, are cut short where they would hide all else.
function runTime({ picture }) {
  if (!TIMES.has(picture)) TIMES.set(picture, timeOf(picture));
  return TIMES.get(picture);
}

function timeOf(picture) {
  const { stages, now_s: now } = picture, { tasks, workers } = workOf(picture);
  const done = stages.map((one) => [one.began_s, one.ended_s ?? (one.lost ? one.began_s : now)]);
  const { single, sums } = tasks;
  single.began.forEach((at, k) => done.push([tasks.start_s + at, tasks.start_s + at + single.seconds[k]]));
  sums.began.forEach((at, k) => done.push([tasks.start_s + at, tasks.start_s + Math.min(at + sums.width[k], Math.max(at, now - tasks.start_s))]));
  for (const at of workers.samples.time) if (at !== null) done.push([workers.start_s + at, workers.start_s + at]);
  if (!done.length) return null;
  done.sort(([a], [b]) => a - b);
  const short = joined(done, 60);
  const parts = joined(short, Math.max(120, 0.5 * short.reduce((sum, [from, to]) => sum + to - from, 0)));
  const length = Math.max(1e-3, parts.reduce((sum, [from, to]) => sum + to - from, 0));
  const cut = length * Math.min(0.05, 0.4 / parts.length), start = parts[0][0];
  const [unit, name] = length < 300 ? [1, "s"] : length < 18000 ? [60, "min"] : [3600, "h"];
  const all = length + cut * (parts.length - 1), marks = new Map(), gaps = [];
  let at = 0;
  const drawn = parts.map(([from, to], k) => {
    const part = { from, to, at };
    for (const value of ticks((from - start) / unit, (to - start) / unit, Math.max(1, Math.round(7 * (to - from) / all)))) {
      if (to > from || !k) marks.set(at + value * unit - (from - start), number(value, 6));
    }
    at += to - from;
    if (k + 1 < parts.length) gaps.push({ from: at, to: at += cut, seconds: parts[k + 1][0] - to });
    return part;
  });
  const since = new Date(start * 1000).toISOString().replace("T", " ").slice(0, 19);
  return {
    gaps,
    of(time) {
      let part = drawn[0];
      for (const one of drawn) if (one.from <= time) part = one;
      return part.at + Math.min(time, part.to) - part.from;
    },
    axis: { low: 0, high: all, name: `since ${since} UTC [${name}]`, ticks: [...marks.keys()], label: (value) => marks.get(value) },
  };
}

// Whiles in order, those put together that are no farther apart than so many seconds.
function joined(whiles, apart) {
  const found = [];
  for (const [from, to] of whiles) {
    const last = found[found.length - 1];
    if (last && from - last[1] <= apart) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

// Draw the axes of a time and the whiles that are cut short.
function timeAxes(on, time, y) {
  on.axes(time.axis, y);
  const box = on.inner;
  for (const { from, to, seconds } of time.gaps) {
    const [x0, x1] = [on.x(from), on.x(to)];
    on.pen.fillStyle = "#eeeeee";
    on.pen.fillRect(x0, box.top, x1 - x0, box.bottom - box.top);
    on.pen.setLineDash([2, 3]);
    on.path([[x0, box.top], [x0, box.bottom], null, [x1, box.top], [x1, box.bottom]], COLOURS.line);
    on.pen.setLineDash([]);
    on.pen.fillStyle = "#555555";
    on.pen.textAlign = "center";
    on.pen.fillText(ageText(seconds), (x0 + x1) / 2, (box.top + box.bottom) / 2 + 4);
  }
}

function timeline(view) {
  return new Plane("Time of each stage", 60, (on) => {
    const stages = view.picture.stages;
    if (!stages.length) return nothing(on, "no stage has begun");
    const names = [...new Set(stages.map((one) => one.stage))];
    const height = MARGIN.top + MARGIN.bottom + 24 * names.length;
    if (on.height !== height) { on.height = height; return on.paint(); }
    const time = runTime(view);
    timeAxes(on, time, { low: names.length - 0.5, high: -0.5, name: "", ticks: names.map((_, k) => k), label: (k) => names[k].replaceAll("_", " ") });
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
