// Where the exposures lie on the sky, and where their corrections moved them.

// Shades from small to large that anybody can put in order (viridis).
const SHADES = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"];

function skyMap(view) {
  let colourBy = "status";
  const plane = new Plane("Footprints and corrections", 420, (on) => {
    const { exposures } = view.picture;
    if (!exposures.outlines.length) {
      return nothing(on, "no map: the run has not begun, or an earlier version of alignsvc began it");
    }
    const sky = flatSky(exposures);
    const box = on.inner;
    // One scale in both directions; east is left.
    const scale = Math.min(
      (box.right - box.left) / (sky.x.high - sky.x.low), (box.bottom - box.top) / (sky.y.high - sky.y.low),
    ) * 0.94;
    const midX = (sky.x.low + sky.x.high) / 2, midY = (sky.y.low + sky.y.high) / 2;
    const halfX = (box.right - box.left) / scale / 2, halfY = (box.bottom - box.top) / scale / 2;
    on.axes(
      { low: midX + halfX, high: midX - halfX, name: "east of the middle [arcmin]", ticks: ticks(midX - halfX, midX + halfX) },
      { low: midY - halfY, high: midY + halfY, name: "north of the middle [arcmin]" },
    );
    const colour = colourBy === "shift" ? shadesOfShift(view) : (row) => COLOURS[exposures.status[row]];
    on.pen.save();
    on.pen.beginPath();
    on.pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    on.pen.clip();
    on.pen.globalAlpha = Math.max(0.25, Math.min(0.9, 200 / exposures.id.length));
    exposures.outlines.forEach(([row], k) => {
      on.path(sky.outlines[k].map(([x, y]) => [on.x(x), on.y(y)]), colour(row), 1, true);
    });
    const pass = view.present;
    const longest = view.longest;
    // Arrows as long as there is room for so many, the chosen one and its outline above all others.
    const size = Math.max(9, Math.min(40, 2 * Math.sqrt((box.right - box.left) * (box.bottom - box.top) / exposures.id.length)));
    let chosen = () => {};
    on.pen.globalAlpha = size < 20 ? 0.6 : 1;
    exposures.id.forEach((id, row) => {
      const place = sky.middle[row];
      if (!place) return;
      const [x, y] = [on.x(place[0]), on.y(place[1])];
      const east = pass ? pass.east_mas[row] : null, north = pass ? pass.north_mas[row] : null;
      if (east !== null && longest > 0) {
        const length = size / longest;
        const draw = (colour) => on.arrow(x, y, x - east * length, y - north * length, colour);
        if (row === view.chosen) chosen = () => draw(COLOURS.chosen);
        else draw(COLOURS.strong);
      }
      const moved = east === null ? "" : `, ${number(east)} mas east, ${number(north)} mas north`;
      on.spot(x, y, `${id}: ${exposures.status[row]}${moved}`, row);
    });
    on.pen.globalAlpha = 1;
    exposures.outlines.forEach(([row], k) => {
      if (row === view.chosen) on.path(sky.outlines[k].map(([x, y]) => [on.x(x), on.y(y)]), COLOURS.chosen, 3, true);
    });
    chosen();
    on.pen.restore();
    if (longest > 0) {
      on.arrow(box.left + 12, box.top + 16, box.left + 12 + size, box.top + 16, COLOURS.strong);
      const said = `${number(longest, 3)} mas`;
      on.pen.textAlign = "left";
      // A rim keeps it legible where outlines run through it.
      on.pen.strokeStyle = "#ffffff";
      on.pen.lineWidth = 4;
      on.pen.strokeText(said, box.left + 20 + size, box.top + 20);
      on.pen.fillStyle = "#333333";
      on.pen.fillText(said, box.left + 20 + size, box.top + 20);
    }
  });
  plane.canvas.addEventListener("click", (event) => {
    const spot = plane.nearest(event);
    if (spot) view.choose(spot.row);
  });
  const colour = element(
    "select", { "aria-label": "colour of footprints", onchange: (event) => { colourBy = event.target.value; plane.redraw(); } },
    element("option", { value: "status" }, "coloured by status"), element("option", { value: "shift" }, "coloured by shift"),
  );
  return { root: element("div", {}, plane.root, colour), update: () => plane.update([view.picture.exposures, view.present, view.chosen]) };
}

// Where exposures lie on a plane, which stays while they do.
const SKIES = new WeakMap();

function flatSky(exposures) {
  if (!SKIES.has(exposures)) SKIES.set(exposures, skyOf(exposures));
  return SKIES.get(exposures);
}

// The sky about the middle of all exposures, gnomonic, in arcmin east and north.
function skyOf(exposures) {
  const known = exposures.ra.map((ra, row) => [ra, exposures.dec[row]]).filter(([ra]) => ra !== null);
  const rad = Math.PI / 180;
  const mean = known.map(([ra, dec]) => [
    Math.cos(dec * rad) * Math.cos(ra * rad), Math.cos(dec * rad) * Math.sin(ra * rad), Math.sin(dec * rad),
  ]).reduce((sum, one) => sum.map((v, k) => v + one[k]), [0, 0, 0]);
  const ra0 = Math.atan2(mean[1], mean[0]), dec0 = Math.atan2(mean[2], Math.hypot(mean[0], mean[1]));
  const flat = (ra, dec) => {
    const a = ra * rad - ra0, d = dec * rad;
    const toward = Math.sin(dec0) * Math.sin(d) + Math.cos(dec0) * Math.cos(d) * Math.cos(a);
    if (toward < 0.05) return null;
    const x = Math.cos(d) * Math.sin(a) / toward;
    const y = (Math.cos(dec0) * Math.sin(d) - Math.sin(dec0) * Math.cos(d) * Math.cos(a)) / toward;
    return [x / rad * 60, y / rad * 60];
  };
  const outlines = exposures.outlines.map(([, ra, dec]) => ra.map((one, k) => flat(one, dec[k])).filter(Boolean));
  const [lowX, highX] = extent(outlines.flat().map(([x]) => x));
  const [lowY, highY] = extent(outlines.flat().map(([, y]) => y));
  const middle = exposures.ra.map((ra, row) => (ra === null ? null : flat(ra, exposures.dec[row])));
  return { outlines, middle, x: { low: lowX, high: highX }, y: { low: lowY, high: highY } };
}

function shadesOfShift(view) {
  const pass = view.present;
  return (row) => {
    if (!pass || pass.east_mas[row] === null) return COLOURS.line;
    const share = Math.hypot(pass.east_mas[row], pass.north_mas[row]) / (view.longest || 1);
    return SHADES[Math.min(SHADES.length - 1, Math.floor(share * SHADES.length))];
  };
}
