// The exposure that is chosen: what the passes did to it, and, seen from near, its sources.

class ChosenExposure {
  constructor(view) {
    this.view = view;
    this.told = element("div", { "aria-live": "polite" });
    this.state = element("p", { class: "state", role: "status" });
    this.quiver = new ResidualQuiver((row) => this.#look(row));
    this.cutouts = new SourceCutouts((row) => this.#look(row));
    this.near = element("div", {}, element("div", { class: "near" }, this.quiver.root, this.cutouts.root, this.cutouts.said), this.cutouts.grids);
    this.root = element("section", { class: "detail" }, this.told, this.state);
    this.asked = "";
  }

  update() {
    const { picture, passes, chosen: row, detail } = this.view;
    if (row === null) {
      this.asked = "";
      this.told.replaceChildren();
      this.#say([]);
      return;
    }
    const { id, status, reason, message } = picture.exposures;
    this.told.replaceChildren(
      element("h3", {}, id[row]),
      element("p", {}, [status[row], reason[row]].filter(Boolean).join(": "), message[row] ? `. ${message[row]}` : ""),
      element("table", { class: "passes" }, ...passes.map((pass) => element(
        "tr", {}, element("td", {}, `pass ${pass.number}`), element("td", {}, `moved ${number(pass.move_px[row])} px`),
        element("td", {}, `${number(pass.used[row])} of ${number(pass.measured[row])} sources`), element("td", {}, `rmse ${number(pass.rmse_px[row])} px`),
      ))),
    );
    // What is seen from near is another thing after each pass.
    const asks = JSON.stringify([id[row], passes.length, picture.status.standing]);
    if (detail && asks !== this.asked) this.#ask(id[row], asks);
  }

  async #ask(id, asks) {
    const same = this.asked && JSON.parse(this.asked)[0] === id;
    this.asked = asks;
    if (!same) {
      this.source = null;
      this.#say(["its sources are being fetched ..."]);
    }
    let found = null, trouble = "";
    try {
      found = await this.view.detail(id);
    } catch (error) {
      trouble = `its sources cannot be shown: ${error.message}`;
    }
    if (this.asked !== asks) return; // another one was chosen meanwhile
    this.found = found;
    if (trouble) this.#say([trouble]);
    else if (!found) this.#say(["its sources are not on this page"]);
    else this.#show(same);
  }

  #show(same) {
    const { sources, cutouts, missing, pass } = this.found;
    this.#say([...(pass ? [`sources as pass ${pass} measured them`] : []), ...missing], Boolean(sources));
    if (!sources) return;
    const row = same && this.source !== null ? sources.id.findIndex((id, k) => id === this.source.id && sources.chip[k] === this.source.chip) : -1;
    this.#look(row >= 0 ? row : cutouts.length ? cutouts[0].row : null);
  }

  #look(row) {
    const { sources } = this.found;
    this.source = row === null ? null : { id: sources.id[row], chip: sources.chip[row] };
    this.quiver.show(this.found, row);
    this.cutouts.show(this.found, row);
  }

  #say(sentences, isThere = false) {
    this.state.textContent = sentences.join("; ");
    if (isThere) this.root.append(this.near);
    else this.near.remove();
  }
}
