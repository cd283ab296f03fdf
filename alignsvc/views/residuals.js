// What the correction leaves of each source's displacement, on the outline of its chip.

const FATES = {
  "in the fit": COLOURS.aligned, "held out": COLOURS.skipped, rejected: "#707070",
};
// So long, on the screen, is the arrow that nine tenths of the better half of the sources in the fit
// do not reach; none is longer than the other. Sources of larger errors are paler.
const ARROW_PX = 36, LONGEST_ARROW_PX = 90, PALEST = 0.2;

class ResidualQuiver {
  // `choose(row)` is called with the source that is chosen.
  constructor(choose) {
    this.detail = null;
    this.chip = 0;
    this.chosen = null;
    this.plane = new Plane("Residuals: displacement less correction", 420, (on) => this.#draw(on));
    this.plane.canvas.addEventListener("click", (event) => {
      const spot = this.plane.nearest(event);
      if (spot) choose(spot.row);
    });
    this.chips = element("select", { "aria-label": "chip", onchange: (event) => { this.chip = +event.target.value; this.plane.redraw(); } });
    this.key = element("p", { class: "key" });
    this.root = element("div", {}, this.plane.root, this.key, this.chips);
  }

  show(detail, chosen) {
    const { chips, sources } = detail;
    this.chosen = chosen;
    if (detail !== this.detail) {
      this.chips.replaceChildren(...chips.map((_, k) => element("option", { value: k }, `chip ${k}`)));
      this.detail = detail;
    }
    if (chosen !== null) this.chip = sources.chip[chosen];
    this.chip = Math.min(this.chip, chips.length - 1);
    this.chips.value = this.chip;
    this.chips.hidden = chips.length < 2;
    const counts = Object.keys(FATES).map((fate) => [fate, sources.fate.filter((one) => one === fate).length]);
    this.key.replaceChildren(...counts.map(([fate, n]) => element(
      "span", {}, element("span", { class: "swatch", style: `background:${FATES[fate]}` }), `${n} ${fate}`,
    )), detail.n_used === null ? "" : `the solve used ${detail.n_used}`);
    this.plane.update();
  }

  #draw(on) {
    const { chips, sources } = this.detail, { width, height } = chips[this.chip];
    const box = on.inner;
    const scale = Math.min((box.right - box.left) / (width * 1.06), (box.bottom - box.top) / (height * 1.06));
    const [halfX, halfY] = [(box.right - box.left) / scale / 2, (box.bottom - box.top) / scale / 2];
    const [midX, midY] = [(width - 1) / 2, (height - 1) / 2];
    const within = (low, high, most) => ticks(Math.max(low, 0), Math.min(high, most));
    on.axes(
      { low: midX - halfX, high: midX + halfX, name: "x in the chip [px]", ticks: within(midX - halfX, midX + halfX, width) },
      { low: midY - halfY, high: midY + halfY, name: "y in the chip [px]", ticks: within(midY - halfY, midY + halfY, height) },
    );
    const corners = [[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]];
    on.path(corners.map(([x, y]) => [on.x(x), on.y(y)]), COLOURS.line, 1.5, true);
    const unit = this.#unit();
    on.pen.save();
    on.pen.beginPath();
    on.pen.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    on.pen.clip();
    const rows = sources.id.map((_, row) => row).filter((row) => sources.chip[row] === this.chip);
    for (const row of rows) this.#source(on, row, unit);
    on.pen.restore();
    if (unit === null) return;
    on.pen.fillStyle = "rgba(255, 255, 255, 0.85)";
    on.pen.fillRect(box.left + 4, box.top + 4, 150, 24);
    on.arrow(box.left + 12, box.top + 16, box.left + 12 + ARROW_PX, box.top + 16, COLOURS.strong);
    on.pen.textAlign = "left";
    on.pen.fillStyle = "#333333";
    on.pen.fillText(`${number(unit, 2)} px`, box.left + 20 + ARROW_PX, box.top + 20);
  }

  // The length, in px of the chip, of the arrow that is the scale; null if nothing was measured.
  #unit() {
    const { sources } = this.detail;
    const measured = sources.left_x.map((_, row) => row).filter((row) => sources.left_x[row] !== null);
    const fitted = measured.filter((row) => sources.fate[row] === "in the fit");
    const chosen = (fitted.length ? fitted : measured).sort((a, b) => this.#error(a) - this.#error(b));
    this.typical = chosen.length ? this.#error(chosen[Math.floor(chosen.length / 2)]) : 1;
    const lengths = chosen.slice(0, Math.ceil(chosen.length / 2)).map((row) => Math.hypot(sources.left_x[row], sources.left_y[row])).sort((a, b) => a - b);
    return lengths.length ? Number((lengths[Math.floor(0.9 * (lengths.length - 1))] || 1e-3).toPrecision(2)) : null;
  }

  #error(row) {
    const { error_x: x, error_y: y } = this.detail.sources;
    return x[row] === null ? Infinity : Math.hypot(x[row], y[row]);
  }

  #source(on, row, unit) {
    const { sources } = this.detail;
    const [x, y] = [on.x(sources.x[row]), on.y(sources.y[row])], colour = row === this.chosen ? COLOURS.chosen : FATES[sources.fate[row]];
    on.pen.globalAlpha = row === this.chosen ? 1 : Math.max(PALEST, Math.min(1, this.typical / this.#error(row)));
    on.pen.fillStyle = colour;
    if (sources.fate[row] === "rejected") on.path([[x - 3, y - 3], [x + 3, y + 3], null, [x - 3, y + 3], [x + 3, y - 3]], colour, 1.2);
    else if (sources.fate[row] === "held out") on.path([[x - 2.5, y - 2.5], [x + 2.5, y - 2.5], [x + 2.5, y + 2.5], [x - 2.5, y + 2.5]], colour, 1.2, true);
    else on.pen.fillRect(x - 2, y - 2, 4, 4);
    if (row === this.chosen) {
      on.pen.strokeStyle = colour;
      on.pen.lineWidth = 2;
      on.pen.strokeRect(x - 8, y - 8, 16, 16);
    }
    const [left, up] = [sources.left_x[row], sources.left_y[row]];
    if (left !== null && unit !== null) {
      const factor = Math.min(ARROW_PX / unit, LONGEST_ARROW_PX / (Math.hypot(left, up) || 1));
      on.arrow(x, y, x + left * factor, y - up * factor, colour);
    }
    on.spot(x, y, `source ${sources.id[row]}, ${sources.fate[row]}: ${residualText(sources, row)}`, row);
  }
}

function residualText(sources, row) {
  if (sources.left_x[row] === null) return sources.why[row] || "not measured";
  const sigma = sources.sigma[row] === null ? "" : `, ${number(sources.sigma[row], 3)} sigma`;
  return `${number(sources.left_x[row], 3)}, ${number(sources.left_y[row], 3)} px${sigma}`;
}
