// How far each exposure moved in each pass, against where the loop ends.

const LINES_DRAWN = 3000;

function convergence(view) {
  const plane = new Plane("Movement in each pass", 300, (on) => {
    const { passes, eps, ids } = view;
    if (!passes.length) return nothing(on, "no pass is solved yet");
    const values = passes.flatMap((pass) => pass.move_px).filter((v) => v > 0);
    const low = Math.min(eps, ...extent(values)) / 2;
    const high = Math.max(eps, ...extent(values)) * 2;
    const last = passes[passes.length - 1].number;
    on.axes(
      { low: 0.7, high: last + 0.3, name: "pass", ticks: passes.map((p) => p.number), label: String },
      { low, high, log: true, name: "movement [px]" },
    );
    const at = (pass, row) => {
      const moved = pass.move_px[row];
      return moved > 0 ? [on.x(pass.number), on.y(moved)] : null;
    };
    const every = Math.ceil(ids.length / LINES_DRAWN);
    on.pen.globalAlpha = Math.max(0.08, Math.min(0.7, 60 / ids.length));
    for (let row = 0; row < ids.length; row += every) {
      on.path(passes.map((pass) => at(pass, row)), COLOURS.aligned);
    }
    on.pen.globalAlpha = 1;
    if (view.chosen !== null) on.path(passes.map((p) => at(p, view.chosen)), COLOURS.chosen, 2.5);
    // A line of one point is none.
    if (passes.length === 1) ids.forEach((_, row) => { const point = at(passes[0], row); if (point) on.path([[point[0] - 4, point[1]], [point[0] + 4, point[1]]], COLOURS.aligned); });
    const largest = passes.map((p) => (p.movement_px > 0 ? [on.x(p.number), on.y(p.movement_px)] : null));
    on.path(largest, COLOURS.strong, 2);
    // One pass makes no line.
    on.pen.fillStyle = COLOURS.strong;
    for (const point of largest) if (point) on.pen.fillRect(point[0] - 3, point[1] - 3, 6, 6);
    on.pen.setLineDash([6, 4]);
    on.path([[on.inner.left, on.y(eps)], [on.inner.right, on.y(eps)]], COLOURS.limit, 1.5);
    on.pen.setLineDash([]);
    on.pen.fillStyle = COLOURS.limit;
    on.pen.textAlign = "left";
    on.pen.fillText(`eps_shift ${number(eps)} px`, on.inner.left + 6, on.y(eps) - 5);
    passes.forEach((pass, k) => {
      if (largest[k]) on.spot(...largest[k], `pass ${pass.number}: largest ${number(pass.movement_px)} px`);
      if (ids.length <= LINES_DRAWN) {
        ids.forEach((id, row) => {
          const point = at(pass, row);
          if (point) on.spot(...point, `${id}, pass ${pass.number}: ${number(pass.move_px[row])} px`, row);
        });
      }
    });
  });
  plane.canvas.addEventListener("click", (event) => {
    const spot = plane.nearest(event);
    if (spot && spot.row !== null) view.choose(spot.row);
  });
  return { root: plane.root, update: () => plane.update([view.passes, view.eps, view.ids, view.chosen]) };
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [];
}

function nothing(plane, why) {
  plane.pen.fillStyle = "#666666";
  plane.pen.textAlign = "center";
  plane.pen.fillText(why, plane.width / 2, plane.height / 2);
}
