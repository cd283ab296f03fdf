// When each stage ran, and how much of that was work of its tasks.

function timeline(view) {
  return new Plane("Time of each stage", 60, (on) => {
    const stages = view.picture.stages;
    if (!stages.length) return nothing(on, "no stage has begun");
    const names = [...new Set(stages.map((one) => one.stage))];
    const height = MARGIN.top + MARGIN.bottom + 24 * names.length;
    if (on.height !== height) { on.height = height; return on.redraw(); }
    const start = stages[0].began_s;
    const end = Math.max(...stages.map((one) => one.ended_s ?? (one.lost ? one.began_s : view.picture.now_s)));
    on.axes(
      { low: 0, high: Math.max(end - start, 1e-3), name: "since the first stage began [s]" },
      { low: names.length - 0.5, high: -0.5, name: "", ticks: names.map((_, k) => k), label: (k) => names[k].replaceAll("_", " ") },
    );
    for (const one of stages) {
      const stop = one.ended_s ?? (one.lost ? one.began_s : view.picture.now_s);
      const [x0, x1] = [on.x(one.began_s - start), Math.max(on.x(stop - start), on.x(one.began_s - start) + 2)];
      const y = on.y(names.indexOf(one.stage));
      on.pen.fillStyle = one.failed || one.lost ? COLOURS.failed : one.ended_s === null ? COLOURS.going : COLOURS.aligned;
      on.pen.fillRect(x0, y - 8, x1 - x0, 16);
      const how = one.lost ? "its driver was lost" : one.ended_s === null ? "going on" : `${number(stop - one.began_s, 3)} s`;
      const failed = one.failed ? `, ${one.failed} failed` : "";
      const memory = one.peak_bytes ? `, at most ${Math.round(one.peak_bytes / 1e6)} MB a process` : "";
      on.spot((x0 + x1) / 2, y, `pass ${one.pass} ${one.stage}: ${one.tasks} tasks${failed}, ${how}, ${number(one.work_s, 3)} s of work${memory}`);
    }
  }, 120);
}
