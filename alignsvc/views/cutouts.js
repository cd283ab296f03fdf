// The worst sources of an exposure, one of them as pixels: the dipole before, and what is left.

const BRIGHT = ramp(SHADES), DIFFERENCE = ramp(SIGNED);

class SourceCutouts {
  // `choose(row)` is called with the source that is chosen.
  constructor(choose) {
    this.choose = choose;
    this.list = element("tbody");
    const head = ["source", "", "sigma", "S/N"].map((name) => element("th", { scope: "col" }, name));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), this.list);
    this.said = element("table", { class: "numbers" });
    this.grids = element("div", { class: "grids" });
    this.root = element("div", { class: "worst", "aria-label": "sources whose pixels are kept, worst first" }, table);
  }

  show(detail, chosen) {
    const { cutouts, sources } = detail;
    this.root.hidden = !cutouts.length;
    this.list.replaceChildren(...cutouts.map(({ row }) => element(
      "tr", { "data-source": sources.id[row], class: row === chosen ? "chosen" : null, onclick: () => this.choose(row) },
      element("td", {}, element("button", { type: "button" }, String(sources.id[row]))),
      ...[sources.fate[row], sources.fate[row] === "rejected" ? "" : number(sources.sigma[row], 3), number(sources.snr[row], 3)].map((text) => element("td", {}, text)),
    )));
    const one = cutouts.find(({ row }) => row === chosen);
    this.grids.replaceChildren(...(one ? figures(one, detail) : [element("p", {}, "No pixels are kept of this source.")]));
    if (chosen === null) this.grids.replaceChildren();
    this.said.replaceChildren(...(chosen === null ? [] : numbers(sources, chosen, one, detail.solved).map(([name, text]) => element(
      "tr", {}, element("th", { scope: "row" }, name), element("td", { "data-number": name }, text),
    ))));
  }
}

function figures(one, { solved }) {
  const lags = one.map ? (one.map.side - 1) / 4 : 0;
  const at = one.peak.every((part) => part !== null) ? one.peak.map((lag) => 0.5 + 2 * lag / one.map?.side) : null;
  const shown = [
    gridFigure("Exposure", one.exposure, BRIGHT),
    gridFigure("Mosaic without it", one.mosaic, BRIGHT),
    gridFigure("Difference before", one.before, DIFFERENCE),
    gridFigure(solved ? "Difference after" : "Difference as measured", one.after, DIFFERENCE),
    gridFigure("Correlation map", one.map, BRIGHT, { mark: at }),
  ];
  if (one.model) {
    shown.push(gridFigure("Model", one.model, BRIGHT), gridFigure("Exposure less model", one.residual, DIFFERENCE));
  }
  const legend = "Pixels of the chip, x to the right, y up, in its own units. Before: where the input header has the mosaic; "
    + `after: where the correction puts it. Correlation map: lags to ${number(lags)} px, the cross is the displacement. `
    + "Brightness by an asinh stretch, the same for exposure, mosaic and model; differences linear, blue below zero, vermilion above. "
    + "Grey: not known, or another source's.";
  return [...shown, element("p", { class: "legend" }, legend)];
}

function numbers(sources, row, one, solved) {
  const pair = (x, y) => (sources[x][row] === null ? "not known" : `${number(sources[x][row])}, ${number(sources[y][row])} px`);
  const said = [
    ["source", `${sources.id[row]}: ${sources.fate[row]}${sources.why[row] ? ` (${sources.why[row]})` : ""}`],
    ["place", `${pair("x", "y")}, chip ${sources.chip[row]}`],
    ["displacement", pair("dx", "dy")],
    ["error", pair("error_x", "error_y")],
    ["correction of the pass", solved ? pair("fit_x", "fit_y") : "not solved yet"],
    ...(sources.shared_x.every((part) => part === 0) ? [] : [["seen by others as well", pair("shared_x", "shared_y")]]),
    ["residual", pair("left_x", "left_y")],
    ["sigma", number(sources.sigma[row])],
    ["S/N in the mosaic", number(sources.snr[row])],
  ];
  if (one && one.header_px[0] !== null) {
    const since = one.header_px.map((part, k) => number(sources[k ? "fit_y" : "fit_x"][row] - part));
    said.push(["since the header", `${since.join(", ")} px`], ["first pixel shown", one.corner.join(", ")]);
  }
  return said;
}
