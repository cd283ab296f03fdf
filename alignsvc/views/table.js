// The exposures, a row each: sorted by any column, filtered, only what is in sight in the page.

const ROW_PX = 24, TABLE_PX = 380;

function columnsOf(view) {
  const { exposures, held_out, columns = [] } = view.picture;
  const pass = view.present;
  const of = (name) => (row) => (pass ? pass[name][row] : null);
  return [
    ["exposure", (row) => exposures.id[row]],
    ["status", (row) => exposures.status[row]],
    ["reason", (row) => exposures.reason[row]],
    ["verdict", (row) => held_out.verdict[row]],
    ["east [mas]", of("east_mas")],
    ["north [mas]", of("north_mas")],
    ["error [mas]", (row) => (pass && pass.east_error_mas[row] !== null ? Math.hypot(pass.east_error_mas[row], pass.north_error_mas[row]) : null)],
    ["rotation [arcsec]", of("rotation_arcsec")],
    ["last movement [px]", of("move_px")],
    ["rmse [px]", of("rmse_px")],
    ["sources used", of("used")],
    ["measured", of("measured")],
    ["held out, before [px]", (row) => held_out.before_px[row]],
    ["after [px]", (row) => held_out.after_px[row]],
    ...columns.map(({ name, values }) => [name, (row) => values[row]]),
  ];
}

class ExposureTable {
  constructor(view) {
    this.view = view;
    this.by = 1;
    this.falling = true;
    this.filter = element("input", { type: "search", placeholder: "filter: name, status, reason", "aria-label": "filter exposures", oninput: () => this.update() });
    this.count = element("span", { class: "count" });
    this.head = element("tr");
    this.body = element("tbody");
    this.above = element("tr");
    this.below = element("tr");
    const table = element("table", {}, element("thead", {}, this.head), this.body);
    this.scroll = element("div", {
      class: "rows", style: `max-height:${TABLE_PX}px`, tabindex: "0", role: "group", "aria-label": "exposures: up and down choose one",
      onscroll: () => this.#fill(), onkeydown: (event) => this.#key(event),
    }, table);
    this.root = element("section", {}, element("p", {}, this.filter, " ", this.count), this.scroll);
  }

  update() {
    this.columns = columnsOf(this.view);
    this.head.replaceChildren(...this.columns.map(([name], k) => element(
      "th", { scope: "col", "aria-sort": k === this.by ? (this.falling ? "descending" : "ascending") : "none" },
      element("button", { type: "button", onclick: () => this.sort(k) }, `${name}${k === this.by ? (this.falling ? " \u25be" : " \u25b4") : ""}`),
    )));
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { id, status, reason } = this.view.picture.exposures;
    const text = (row) => `${id[row]} ${status[row]} ${reason[row]}`.toLowerCase();
    this.rows = id.map((_, row) => row).filter((row) => words.every((word) => text(row).includes(word)));
    const value = this.columns[this.by][1], sign = this.falling ? -1 : 1;
    const missing = (v) => v === null || v === "";
    this.rows.sort((a, b) => {
      const [p, q] = [value(a), value(b)];
      if (missing(p) || missing(q)) return missing(p) - missing(q) || a - b;
      return sign * (p < q ? -1 : p > q ? 1 : 0) || a - b;
    });
    this.count.textContent = `${this.rows.length} of ${id.length} exposures`;
    this.#fill();
  }

  sort(k) {
    this.falling = k === this.by ? !this.falling : true;
    this.by = k;
    this.update();
  }

  // Up and down choose the exposure above or below, and bring it into sight.
  #key(event) {
    const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!way || event.target !== this.scroll || !this.rows.length) return;
    event.preventDefault();
    const now = this.rows.indexOf(this.view.chosen);
    const next = now < 0 ? 0 : Math.min(this.rows.length - 1, Math.max(0, now + way));
    if (next === now) return;
    const top = next * ROW_PX, room = this.scroll.clientHeight - 5 * ROW_PX;
    this.scroll.scrollTop = Math.min(top, Math.max(this.scroll.scrollTop, top - room));
    this.view.choose(this.rows[next]);
  }

  #fill() {
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / ROW_PX) - 10);
    const last = Math.min(this.rows.length, first + Math.ceil(TABLE_PX / ROW_PX) + 20);
    this.above.style.height = `${first * ROW_PX}px`;
    this.below.style.height = `${(this.rows.length - last) * ROW_PX}px`;
    const { status, message } = this.view.picture.exposures;
    const made = this.rows.slice(first, last).map((row) => element(
      "tr",
      {
        class: `${status[row]}${row === this.view.chosen ? " chosen" : ""}`, title: message[row] || null, "data-row": row,
        onclick: () => this.view.choose(row),
      },
      ...this.columns.map(([, value]) => {
        const cell = value(row);
        return element("td", {}, typeof cell === "number" ? number(cell) : cell ?? "");
      }),
    ));
    this.body.replaceChildren(this.above, ...made, this.below);
  }
}
