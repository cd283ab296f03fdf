// The log of the run, the last line first.

class LogPanel {
  constructor(view) {
    this.view = view;
    this.root = element("ol", { class: "log" });
    this.shown = null;
  }

  update() {
    const { log } = this.view.picture;
    if (log === this.shown) return;
    this.shown = log;
    this.root.replaceChildren(...log.slice().reverse().map(([time, what, stage, subject, text]) => element(
      "li", { class: what }, element("time", {}, new Date(time * 1000).toISOString().replace("T", " ").slice(0, 19)),
      ` ${[what.replaceAll("_", " "), what === "stage_started" ? "" : stage, subject].filter(Boolean).join(" ")}: ${text}`,
    )));
  }
}
