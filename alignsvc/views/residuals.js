// What the correction leaves of each source's displacement, on the outline of its chip.

const FATES = {
  "in the fit": COLOURS.aligned, "held out": COLOURS.skipped, rejected: "#8c8c8c",
};
// An arrow as long as those of nine tenths of the sources in the fit are at the most, on the screen.
const ARROW_PX = 36, LONGEST_ARROW_PX = 90;

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
    const rows = sources.id.map((_, row) => row).filter((row) => sources.chip[row] === this.chip);
    for (const row of rows) this.#source(on, row, unit);
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
    const lengths = (wanted) => sources.fate.map((fate, row) => (wanted(fate) && sources.left_x[row] !== null ? Math.hypot(sources.left_x[row], sources.left_y[row]) : null)).filter((one) => one !== null).sort((a, b) => a - b);
    const found = [(fate) => fate === "in the fit", () => true].map(lengths).find((one) => one.length);
    return found ? Number((found[Math.floor(0.9 * (found.length - 1))] || 1e-3).toPrecision(2)) : null;
  }

  #source(on, row, unit) {
    const { sources } = this.detail;
    const [x, y] = [on.x(sources.x[row]), on.y(sources.y[row])], colour = row === this.chosen ? COLOURS.chosen : FATES[sources.fate[row]];
    on.pen.fillStyle = colour;
    on.pen.fillRect(x - 1.5, y - 1.5, 3, 3);
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
