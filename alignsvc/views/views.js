// A run in a page: one view, told again and again how the run stands now.

// The panels of a view, from top to bottom. Each is made by a function of the view and has a `root`
// and an `update()`, called whenever the picture or what is chosen has changed; `title` is optional.
const PANELS = [
  { make: (view) => sideBySide(convergence(view), skyMap(view)) },
  { title: "Exposures", make: (view) => new ExposureTable(view) },
  { make: (view) => new ChosenExposure(view) },
  { title: "Failures and their reasons", make: (view) => new FailurePanel(view) },
  { title: "Mosaic", make: (view) => new MosaicPanel(view) },
  { title: "Stages", make: (view) => timeline(view) },
  { title: "Tasks", make: (view) => new TaskPanel(view) },
  { title: "Workers and memory", make: (view) => new WorkerPanel(view) },
  { title: "Log", make: (view) => new LogPanel(view) },
];

class RunView {
  // `detail(id)` promises the detail of an exposure, as `detail_json` has it, or null; `heading`:
  // whether the view says itself how the run stands, which a page may have said before; `panels`:
  // others than all, or in another order.
  constructor(root, { detail = null, heading = true, panels = PANELS } = {}) {
    this.root = root;
    this.detail = detail;
    this.chosen = null;
    this.passes = [];
    this.title = element("h1");
    this.alarm = element("p", { class: "trouble", role: "alert", hidden: "" });
    this.lines = element("div", { class: "lines" });
    this.panels = panels.map(({ title, make }) => ({ title, panel: make(this) }));
    root.classList.add("alignsvc", "unseen");
    root.replaceChildren(
      ...(heading ? [this.title, this.alarm, this.lines] : [this.alarm]),
      ...this.panels.flatMap(({ title, panel }) => (title ? [element("h2", {}, title), panel.root] : [panel.root])),
    );
  }

  get eps() { return this.picture.status.eps_shift_px; }
  get ids() { return this.picture.exposures.id; }

  // The corrections as they stand: what the run has left, or else what its last pass found.
  get present() { return this.picture.final ?? this.passes[this.passes.length - 1]; }

  // Show a picture.
  update(picture) {
    this.picture = picture;
    this.root.classList.remove("unseen");
    this.trouble(picture.trouble ?? "");
    this.passes = picture.passes;
    const pass = this.present;
    this.longest = pass ? Math.max(0, ...extent(pass.east_mas.map((east, row) => (east === null ? 0 : Math.hypot(east, pass.north_mas[row]))))) : 0;
    const { standing, exit_code: code } = picture.status;
    this.title.textContent = code === null ? standing : `${standing}, exit ${code}`;
    // The link itself stands below the lines.
    const lines = picture.lines.filter((line) => !picture.status.live_page || !line.startsWith("live page: "));
    this.lines.replaceChildren(...lines.map((line) => element("p", {}, line)), ...livePages(picture.status));
    this.redraw();
  }

  // Say what hinders looking; what was seen before stays, and is as old as it says.
  trouble(text) {
    this.alarm.textContent = text;
    this.alarm.hidden = !text;
  }

  choose(row) {
    this.chosen = row === this.chosen ? null : row;
    this.redraw();
  }

  redraw() {
    for (const { panel } of this.panels) panel.update();
  }
}

// Links to what a scheduler shows while the driver is there; addresses of pages only.
function livePages({ live_page: page, dashboard, pages_on: host }) {
  const links = [["this run, live", page], ["dask's own pages", dashboard]].filter(([, to]) => /^(https?:\/\/|\/)/.test(to ?? ""));
  if (!links.length) return [];
  return [element("p", { class: "live" }, ...links.flatMap(([text, to]) => [element("a", { href: to }, text), " "]), host ? `(on ${host})` : "")];
}

function sideBySide(...panels) {
  return {
    root: element("div", { class: "pair" }, ...panels.map((one) => one.root)),
    update() { for (const one of panels) one.update(); },
  };
}
