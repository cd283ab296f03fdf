// Why exposures were not aligned: each reason once, what to do about it, and whom it struck.

const NAMED_AT_ONCE = 40;

class FailurePanel {
  constructor(view) {
    this.view = view;
    this.root = element("section", { class: "failures" });
    this.all = new Set();
    this.closed = new Set();
  }

  update() {
    const { log, exposures } = this.view.picture, { failures } = workOf(this.view.picture);
    if (failures === this.failures && log === this.log && this.chosen === this.view.chosen) return;
    [this.failures, this.log, this.chosen] = [failures, log, this.view.chosen];
    const tasks = taskTroubles(log, new Set(failures.flatMap(({ rows }) => rows.map((row) => exposures.id[row]))));
    this.root.replaceChildren(...failures.map((one) => this.#group(one)), ...tasks.map(taskGroup));
    if (!this.root.children.length) this.root.append(element("p", {}, "No exposure was skipped or failed, and no task was tried again."));
  }

  #group({ status, reason, text, next, rows }) {
    const { id, message } = this.view.picture.exposures;
    const name = `${status} ${reason}`, shown = this.all.has(name) ? rows : rows.slice(0, NAMED_AT_ONCE);
    const more = rows.length - shown.length, told = rows.includes(this.view.chosen) ? this.view.chosen : rows[0];
    return element(
      "details",
      {
        open: this.closed.has(name) ? null : "", class: status, "data-reason": reason,
        ontoggle: (event) => { if (event.target.open) this.closed.delete(name); else this.closed.add(name); },
      },
      element("summary", {}, `${rows.length} ${status}: ${reason.replaceAll("_", " ")}`),
      element("p", {}, text ? `${text[0].toUpperCase()}${text.slice(1)}. ` : "", next ? element("strong", {}, `To do: ${next}.`) : ""),
      element(
        "p", { class: "which" },
        ...shown.flatMap((row) => [element("button", {
          type: "button", title: message[row] || null, "data-row": row, "aria-pressed": String(row === this.view.chosen), onclick: () => this.view.choose(row),
        }, id[row]), " "]),
        more ? element("button", { type: "button", class: "more", onclick: () => { this.all.add(name); this.failures = null; this.update(); } }, `and ${more} more`) : "",
      ),
      element("p", { class: "message" }, message[told] ? (message[told].includes(id[told]) ? message[told] : `${id[told]}: ${message[told]}`) : ""),
    );
  }
}

// What the log says of tasks: those that failed and are no exposure's end, and those that were tried again.
function taskTroubles(log, ended) {
  const found = new Map();
  for (const [, what, stage, subject, text] of log) {
    if (what !== "task_retried" && !(what === "task_failed" && !ended.has(subject))) continue;
    const name = `${stage.replaceAll("_", " ")} ${what === "task_failed" ? "failed" : "tried again"}`;
    const one = found.get(name) ?? { name, what, subjects: new Set(), last: "" };
    one.subjects.add(subject);
    one.last = `${subject}: ${text}`;
    found.set(name, one);
  }
  return [...found.values()];
}

function taskGroup({ name, what, subjects, last }) {
  return element(
    "details", { class: what },
    element("summary", {}, `${subjects.size} ${subjects.size === 1 ? "task" : "tasks"} of ${name}`),
    element("p", {}, [...subjects].slice(0, NAMED_AT_ONCE).join(", "), subjects.size > NAMED_AT_ONCE ? " ..." : ""),
    element("p", { class: "message" }, last),
  );
}
