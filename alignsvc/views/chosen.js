// What the passes did to the exposure that is chosen.

class ChosenExposure {
  constructor(view) {
    this.view = view;
    this.root = element("section", { class: "detail", "aria-live": "polite" });
  }

  update() {
    const { picture, passes, chosen: row } = this.view;
    if (row === null) return this.root.replaceChildren();
    const { id, status, reason, message } = picture.exposures;
    this.root.replaceChildren(
      element("h3", {}, id[row]),
      element("p", {}, [status[row], reason[row]].filter(Boolean).join(": "), message[row] ? `. ${message[row]}` : ""),
      element("table", {}, ...passes.map((pass) => element(
        "tr", {}, element("td", {}, `pass ${pass.number}`), element("td", {}, `moved ${number(pass.move_px[row])} px`),
        element("td", {}, `${number(pass.used[row])} of ${number(pass.measured[row])} sources`), element("td", {}, `rms ${number(pass.rmse_px[row])} px`),
      ))),
    );
  }
}
