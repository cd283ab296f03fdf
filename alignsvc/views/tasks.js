// When each worker did which task: the last tasks one by one, what came before in sums.

const LANE_PX = 16;
// Colours of stages that people with any kind of sight can tell apart, beside that of failures.
const STAGE_COLOURS = {
  measure: "#0072b2", resample: "#e69f00", merge: "#009e73", detect: "#cc79a7", reject: "#56b4e9", background: "#f0e442",
  list_sources: "#332288", match_sources: "#117733", tell: "#882255", compare: "#000000", preview: "#661100",
};
const OTHER_STAGE = "#999999";

function stageColour(name) { return STAGE_COLOURS[name] ?? OTHER_STAGE; }

class TaskPanel {
  constructor(view) {
    this.view = view;
    this.plane = new Plane("What each worker did", 60, (on) => this.#draw(on), TIME_LEFT);
    this.plane.canvas.addEventListener("click", (event) => {
      const spot = this.plane.nearest(event);
      if (spot && spot.row !== null) view.choose(spot.row);
    });
    this.rate = element("p", { class: "rate" });
    this.notes = element("div", { class: "notes" });
    this.legend = element("table", { class: "stages" });
    this.framed = element("p", { class: "note" });
    this.root = element("section", { class: "tasks" }, this.rate, this.plane.root, this.framed, this.legend, this.notes);
  }

  update() {
    const { tasks } = workOf(this.view.picture);
    this.names = [...new Set(tasks.kinds.map((one) => one.stage))];
    this.colour = (kind) => stageColour(tasks.kinds[kind].stage);
    const { standing } = this.view.picture.status;
    if (tasks !== this.shown || standing !== this.standing) this.#tell(tasks, standing === "running");
    [this.shown, this.standing] = [tasks, standing];
    const { chosen, ids } = this.view;
    const isFramed = chosen !== null && tasks.single.subject.includes(ids[chosen]);
    this.framed.textContent = isFramed ? `framed: tasks of ${ids[chosen]}` : "";
    this.plane.update();
  }

  // The numbers of each stage, in words.
  #tell(tasks, isGoing) {
    const { single, sums, rate } = tasks;
    const stages = new Map(this.names.map((name) => [name, { tasks: 0, failed: 0, skipped: 0, reused: 0, work: 0, longest: 0, subject: "", peak: 0 }]));
    const add = (kind, more) => {
      const one = stages.get(tasks.kinds[kind].stage);
      for (const name of ["tasks", "failed", "skipped", "reused", "work"]) one[name] += more[name];
      if (more.longest > one.longest) [one.longest, one.subject] = [more.longest, more.subject];
      one.peak = Math.max(one.peak, more.peak);
    };
    single.kind.forEach((kind, k) => add(kind, {
      tasks: 1, failed: +(single.end[k] === "failed"), skipped: +(single.end[k] === "skipped"), reused: +(single.end[k] === "reused"),
      work: single.seconds[k], longest: single.seconds[k], subject: single.subject[k], peak: single.peak_mb[k],
    }));
    sums.kind.forEach((kind, k) => add(kind, {
      tasks: sums.tasks[k], failed: sums.failed[k], skipped: sums.skipped[k], reused: sums.reused[k],
      work: sums.work[k], longest: sums.longest[k], subject: sums.subject[k], peak: sums.peak_mb[k],
    }));
    const head = ["stage", "tasks", "failed", "skipped", "done before", "work [s]", "mean [s]", "longest [s]", "which", "most memory [MB]"];
    this.legend.replaceChildren(
      element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name))),
      ...[...stages].map(([name, one]) => element(
        "tr", {}, element("td", {}, element("span", { class: "swatch", style: `background:${stageColour(name)}` }), name.replaceAll("_", " ")),
        ...[one.tasks, one.failed, one.skipped, one.reused, number(one.work, 3), number(one.work / Math.max(1, one.tasks - one.reused), 3), number(one.longest, 3), one.subject, one.peak || ""]
          .map((cell) => element("td", {}, String(cell))),
      )),
    );
    this.legend.hidden = !stages.size;
    const workers = tasks.n_workers === 1 ? "1 worker" : `${tasks.n_workers} workers`;
    const late = isGoing && rate ? `; in the last ${number(rate.seconds, 2)} s of ${rate.pass ? `pass ${rate.pass} ` : ""}${rate.stage.replaceAll("_", " ")} ${rate.ended} ended, ${number(rate.per_second, 3)} a second` : "";
    const all = [...stages.values()].reduce((sum, one) => sum + one.tasks, 0);
    const gaps = (runTime(this.view)?.gaps ?? []).map(({ seconds }) => `; nothing is on record for ${ageText(seconds)}`);
    this.rate.textContent = all ? `${workers} did ${all} tasks${late}${gaps.join("")}` : "";
    this.notes.replaceChildren(...tasks.notes.map((note) => element("p", {}, note)));
  }

  #draw(on) {
    const { tasks } = workOf(this.view.picture), { lanes, single, sums, kinds } = tasks;
    if (!lanes.length) return nothing(on, "no task is on record: none has ended, or an earlier version of alignsvc did them");
    const height = MARGIN.top + MARGIN.bottom + LANE_PX * Math.max(2, lanes.length);
    if (on.height !== height) { on.height = height; return on.paint(); }
    const time = runTime(this.view), names = laneNames(tasks, on);
    timeAxes(on, time, { low: lanes.length - 0.5, high: -0.5, name: "", ticks: lanes.map((_, k) => k), label: (k) => names[k] });
    const at = (began) => on.x(time.of(tasks.start_s + began));
    const tall = Math.min(LANE_PX - 3, on.y(1) - on.y(0) - 2);
    const what = (kind) => `${kinds[kind].pass ? `pass ${kinds[kind].pass} ` : ""}${kinds[kind].stage.replaceAll("_", " ")}`;
    const full = new Map();
    on.pen.globalAlpha = 0.75;
    sums.lane.forEach((lane, k) => {
      const x0 = at(sums.began[k]), x1 = Math.max(at(sums.began[k] + sums.width[k]), x0 + 1);
      // As much of the lane as its worker was busy; stages of one while upon each other.
      const place = `${lane} ${sums.began[k]}`, below = full.get(place) ?? 0;
      const share = Math.min(1 - below, sums.work[k] / (sums.width[k] || 1));
      full.set(place, below + share);
      const foot = on.y(lane) + tall / 2 - below * tall;
      on.pen.fillStyle = this.colour(sums.kind[k]);
      on.pen.fillRect(x0, foot - share * tall, x1 - x0, share * tall);
      if (sums.failed[k]) cross((x0 + x1) / 2, on.y(lane), on);
      const failed = sums.failed[k] ? `, ${sums.failed[k]} failed` : "";
      on.spot((x0 + x1) / 2, on.y(lane), `${what(sums.kind[k])} on ${lanes[lane]}: ${sums.tasks[k]} tasks within ${number(sums.width[k])} s${failed}, ${number(sums.work[k], 3)} s of work, the longest ${number(sums.longest[k], 3)} s: ${sums.subject[k]}`, null, (x1 - x0) / 2);
    });
    on.pen.globalAlpha = 1;
    const rows = new Map(this.view.ids.map((id, row) => [id, row]));
    single.lane.forEach((lane, k) => {
      const x0 = at(single.began[k]), x1 = Math.max(at(single.began[k] + single.seconds[k]), x0 + 1.5);
      const y = on.y(lane), row = rows.get(single.subject[k]) ?? null;
      on.pen.fillStyle = this.colour(single.kind[k]);
      if (single.end[k] === "reused") on.pen.fillRect(x0, y - 1, x1 - x0, 2);
      else on.pen.fillRect(x0, y - tall / 2, x1 - x0 > 4 ? x1 - x0 - 0.5 : x1 - x0, tall);
      if (row !== null && row === this.view.chosen) on.path([[x0, y - tall / 2], [x1, y - tall / 2], [x1, y + tall / 2], [x0, y + tall / 2]], COLOURS.strong, 2, true);
      if (single.end[k] === "failed") cross((x0 + x1) / 2, y, on);
      const how = { ok: "", reused: ", done before", skipped: `, skipped: ${single.reason[k]}`, failed: `, failed: ${single.reason[k]}` }[single.end[k]];
      const memory = single.peak_mb[k] ? `, at most ${single.peak_mb[k]} MB` : "";
      on.spot((x0 + x1) / 2, y, `${what(single.kind[k])} of ${single.subject[k]} on ${lanes[lane] || "a worker that did not answer"}: ${number(single.seconds[k], 3)} s${how}${memory}`, row, (x1 - x0) / 2);
    });
  }
}

// What marks a failure, on any colour.
function cross(x, y, on) {
  const arms = [[x - 4, y - 4], [x + 4, y + 4], null, [x - 4, y + 4], [x + 4, y - 4]];
  on.path(arms, "#ffffff", 4.5);
  on.path(arms, COLOURS.failed, 2.5);
}

// Names of lanes that have room: without the host where all have the same, cut where they are long.
function laneNames({ lanes, n_workers: workers }, on) {
  const hosts = new Set(lanes.filter((name) => name.includes("/")).map((name) => name.split("/")[0]));
  return lanes.map((name) => {
    if (name === "others") return workers >= lanes.length ? `${workers - lanes.length + 1} others` : name;
    let text = name ? (hosts.size === 1 && name.includes("/") ? name.slice(name.indexOf("/") + 1) : name) : "no answer";
    if (/^\d+$/.test(text)) text = `worker ${text}`;
    while (on.pen.measureText(text).width > TIME_LEFT - 12) text = `\u2026${text.slice(2)}`;
    return text;
  });
}
