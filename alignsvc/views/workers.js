// How many workers there were, what they and the driver occupied; gaps where nobody knows.

const BAND = "#56b4e966", DRIVER = "#cc79a7";

class WorkerPanel {
  constructor(view) {
    this.view = view;
    this.now = element("p", { class: "now" });
    this.notes = element("div", { class: "notes" });
    this.counts = new Plane("Workers", 150, (on) => this.#drawCounts(on), TIME_LEFT);
    this.memory = new Plane("Memory of a worker: least, median, most; of the driver", 210, (on) => this.#drawMemory(on), TIME_LEFT);
    this.root = element("section", { class: "workers" }, this.now, this.counts.root, this.memory.root, this.notes);
  }

  update() {
    const { workers } = workOf(this.view.picture);
    if (workers !== this.shown) {
      this.now.textContent = newest(workers, this.view.picture.now_s);
      this.notes.replaceChildren(...workers.notes.map((note) => element("p", {}, note)));
    }
    this.shown = workers;
    this.counts.update();
    this.memory.update();
  }

  // The points of a column, null where there is a gap.
  #points(on, time, column, least = 0) {
    const { workers } = workOf(this.view.picture), { samples } = workers;
    return samples.time.map((at, k) => (at === null || samples[column][k] === null || samples[column][k] < least ? null : [on.x(time.of(workers.start_s + at)), on.y(samples[column][k])]));
  }

  #drawCounts(on) {
    const { workers } = workOf(this.view.picture), { samples } = workers;
    const most = Math.max(0, ...extent(samples.known.filter((v) => v !== null)));
    if (!most) return nothing(on, samples.time.length ? "nobody has asked workers how they are" : NO_SAMPLES);
    const time = runTime(this.view);
    timeAxes(on, time, { low: 0, high: most * 1.35, name: "workers", ticks: ticks(0, most, 4).filter(Number.isInteger) });
    const known = this.#points(on, time, "known"), busy = this.#points(on, time, "busy");
    filled(on, stepped(busy), stepped(busy).map((point) => point && [point[0], on.inner.bottom]), BAND);
    on.path(stepped(known), COLOURS.strong, 2);
    on.path(stepped(busy), COLOURS.aligned, 1.5);
    key(on, [["there are", COLOURS.strong], ["busy", COLOURS.aligned]]);
    known.forEach((point, k) => point && on.spot(...point, told(samples, k)));
  }

  #drawMemory(on) {
    const { samples } = workOf(this.view.picture).workers;
    const occupied = ["driver_mb", "highest_mb"].flatMap((name) => samples[name].filter((v) => v > 0));
    if (!occupied.length) return nothing(on, samples.time.length ? "the system does not tell what processes occupy" : NO_SAMPLES);
    const limits = samples.limit_mb.filter((v) => v > 0), [, highest] = extent(occupied);
    // A limit that is far away would press all else to the floor: then it is told, not drawn.
    const isFar = limits.length > 0 && extent(limits)[0] > FAR * highest;
    const [, most] = extent(isFar ? occupied : [...occupied, ...limits]), [unit, scale] = most >= 2000 ? ["GB", 1000] : ["MB", 1];
    const time = runTime(this.view);
    const marks = ticks(0, most / scale, 5).map((value) => value * scale);
    timeAxes(on, time, { low: 0, high: most * 1.2, name: `memory [${unit}]`, ticks: marks, label: (value) => number(value / scale) });
    const low = this.#points(on, time, "lowest_mb", 1), high = this.#points(on, time, "highest_mb", 1);
    const middle = this.#points(on, time, "median_mb", 1), driver = this.#points(on, time, "driver_mb", 1);
    const limit = this.#points(on, time, "limit_mb", 1);
    filled(on, high, low, BAND);
    on.path(middle, COLOURS.aligned, 2);
    on.path(driver, DRIVER, 2);
    on.pen.setLineDash([6, 4]);
    if (!isFar) on.path(limit, COLOURS.limit, 1.5);
    on.pen.setLineDash([]);
    const named = [["driver", DRIVER]];
    if (middle.some(Boolean)) named.unshift(["a worker: median, from least to most", COLOURS.aligned]);
    if (isFar) named.push([`limit of a worker: ${megabytes(extent(limits)[0])}, far above`, COLOURS.limit]);
    else if (limit.some(Boolean)) named.push(["limit of a worker", COLOURS.limit]);
    key(on, named);
    (middle.some(Boolean) ? middle : driver).forEach((point, k) => point && on.spot(...point, told(samples, k)));
  }
}

// So many times what is occupied a limit is far.
const FAR = 4;
const NO_SAMPLES = "no sample is on record: the run has not begun, or an earlier version of alignsvc drove it";

function megabytes(value) { return value >= 2000 ? `${number(value / 1000, 3)} GB` : `${value} MB`; }

// A sample in words.
function told(samples, k) {
  const words = [];
  if (samples.known[k] !== null) {
    const one = samples.known[k] === 1 ? "worker" : "workers", tasks = samples.running[k] === 1 ? "task" : "tasks";
    words.push(`${samples.known[k]} ${one}, ${samples.busy[k]} busy, ${samples.running[k]} ${tasks} running, ${samples.waiting[k]} waiting`);
    if (samples.highest_mb[k]) {
      const limit = samples.limit_mb[k] ? ` of ${megabytes(samples.limit_mb[k])}` : "";
      words.push(`a worker occupies ${megabytes(samples.lowest_mb[k])} to ${megabytes(samples.highest_mb[k])}, median ${megabytes(samples.median_mb[k])}${limit}`);
    } else words.push("tasks are done by the driver itself");
  } else words.push("workers were not asked");
  if (samples.driver_mb[k]) words.push(`the driver occupies ${megabytes(samples.driver_mb[k])}`);
  return words.join("; ");
}

function newest({ samples, start_s: start }, now) {
  const last = samples.time.length - 1;
  if (last < 0) return "";
  const when = (k) => new Date((start + samples.time[k]) * 1000).toISOString().slice(11, 19);
  const age = now - start - samples.time[last];
  const asked = samples.known.findLastIndex((v) => v !== null);
  const before = asked >= 0 && asked < last ? `. Last asked, at ${when(asked)} UTC: ${told(samples, asked)}` : "";
  return `At ${when(last)} UTC${age > 60 ? `, ${ageText(age)} ago` : ""}: ${told(samples, last)}${before}`;
}

function ageText(seconds) {
  const [unit, length] = [["d", 86400], ["h", 3600], ["min", 60]].find(([, one]) => seconds >= 2 * one) ?? ["s", 1];
  return `${Math.round(seconds / length)} ${unit}`;
}

// What lies between two lines, with gaps where either has one.
function filled(on, above, below, colour) {
  on.pen.fillStyle = colour;
  let part = [];
  const end = () => {
    if (part.length) {
      on.pen.beginPath();
      part.forEach((k, n) => (n ? on.pen.lineTo(...above[k]) : on.pen.moveTo(...above[k])));
      part.reverse().forEach((k) => on.pen.lineTo(...below[k]));
      on.pen.fill();
    }
    part = [];
  };
  above.forEach((point, k) => { if (point && below[k]) part.push(k); else end(); });
  end();
}

// The points of whole numbers: each holds until the next one.
function stepped(points) {
  return points.flatMap((point, k) => (point && points[k - 1] ? [[point[0], points[k - 1][1]], point] : [point]));
}

function key(on, names) {
  let x = on.inner.left + 10;
  on.pen.textAlign = "left";
  for (const [name, colour] of names) {
    on.path([[x, on.inner.top + 10], [x + 18, on.inner.top + 10]], colour, 3);
    on.pen.fillStyle = "#333333";
    on.pen.fillText(name, x + 24, on.inner.top + 14);
    x += 44 + on.pen.measureText(name).width;
  }
}
