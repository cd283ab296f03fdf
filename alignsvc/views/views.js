// A run in a page: one view, told again and again how the run stands now.

class RunView {
  constructor(root) {
    this.root = root;
    this.chosen = null;
    this.colourBy = "status";
    this.passes = [];
    this.title = element("h1");
    this.lines = element("div", { class: "lines" });
    this.convergence = convergence(this);
    this.sky = skyMap(this);
    this.timeline = timeline(this);
    this.table = new ExposureTable(this);
    this.detail = element("section", { class: "detail", "aria-live": "polite" });
    this.log = element("ol", { class: "log" });
    const colour = element(
      "select", { "aria-label": "colour of footprints", onchange: (event) => { this.colourBy = event.target.value; this.sky.redraw(); } },
      element("option", { value: "status" }, "coloured by status"), element("option", { value: "shift" }, "coloured by shift"),
    );
    root.classList.add("alignsvc");
    root.replaceChildren(
      this.title, this.lines,
      element("div", { class: "pair" }, this.convergence.root, element("div", {}, this.sky.root, colour)),
      element("h2", {}, "Exposures"), this.table.root, this.detail,
      element("h2", {}, "Stages"), this.timeline.root,
      element("h2", {}, "Log"), this.log,
    );
  }

  get eps() { return this.picture.status.eps_shift_px; }
  get ids() { return this.picture.exposures.id; }

  // Show a picture.
  update(picture) {
    this.picture = picture;
    this.passes = picture.passes;
    const pass = this.passes[this.passes.length - 1];
    this.longest = pass ? Math.max(0, ...extent(pass.east_mas.map((east, row) => (east === null ? 0 : Math.hypot(east, pass.north_mas[row]))))) : 0;
    const { standing, exit_code: code } = picture.status;
    this.title.textContent = code === null ? standing : `${standing}, exit ${code}`;
    this.lines.replaceChildren(...picture.lines.map((line) => element("p", {}, line)));
    this.log.replaceChildren(...picture.log.slice().reverse().map(([time, what, stage, subject, text]) => element(
      "li", { class: what }, element("time", {}, new Date(time * 1000).toISOString().replace("T", " ").slice(0, 19)),
      ` ${[what.replaceAll("_", " "), stage, subject].filter(Boolean).join(" ")}: ${text}`,
    )));
    this.redraw();
  }

  choose(row) {
    this.chosen = row === this.chosen ? null : row;
    this.redraw();
  }

  redraw() {
    for (const plane of [this.convergence, this.sky, this.timeline]) plane.show();
    this.table.update();
    this.#describe();
  }

  #describe() {
    if (this.chosen === null) return this.detail.replaceChildren();
    const { id, status, reason, message } = this.picture.exposures, row = this.chosen;
    this.detail.replaceChildren(
      element("h3", {}, id[row]),
      element("p", {}, [status[row], reason[row]].filter(Boolean).join(": "), message[row] ? `. ${message[row]}` : ""),
      element("table", {}, ...this.passes.map((pass) => element(
        "tr", {}, element("td", {}, `pass ${pass.number}`), element("td", {}, `moved ${number(pass.move_px[row])} px`),
        element("td", {}, `${number(pass.used[row])} of ${number(pass.measured[row])} sources`), element("td", {}, `rms ${number(pass.rmse_px[row])} px`),
      ))),
    );
  }
}
