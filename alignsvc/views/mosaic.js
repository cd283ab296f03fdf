// The mosaic before and after: side by side, one over the other, or in turn; its weights beside.

const SVG = "http://www.w3.org/2000/svg";
const BLINKS = [["0.5", "slowly"], ["1", "once a second"], ["2", "fast"]];

// Two pictures of one place, and how they are laid upon each other.
class Comparison {
  constructor(title, className) {
    this.stage = element("div", { class: "stage side" });
    this.caption = element("figcaption", {}, title);
    this.root = element("figure", { class: className }, this.caption, this.stage);
    this.frames = [];
  }

  // Show what there is; `one` has before, after, east, north and the side of its pixels.
  show(one) {
    this.frames = ["before", "after"].filter((name) => one[name]).map((name) => frame(name, one));
    this.stage.replaceChildren(...this.frames);
  }

  arrange(mode, isBefore, wiped) {
    const over = mode !== "side" && this.frames.length === 2;
    this.stage.className = `stage ${over ? `over ${mode}` : "side"}`;
    this.stage.style.setProperty("--wiped", `${wiped}%`);
    for (const one of this.frames) {
      one.style.clipPath = "";
      one.style.visibility = "";
    }
    if (!over) return;
    const [before, after] = this.frames;
    if (mode === "blink") {
      before.style.visibility = isBefore ? "" : "hidden";
      after.style.visibility = isBefore ? "hidden" : "";
    } else {
      before.style.clipPath = `inset(0 ${100 - wiped}% 0 0)`;
      after.style.clipPath = `inset(0 0 0 ${wiped}%)`;
    }
  }
}

class MosaicPanel {
  constructor(view) {
    this.view = view;
    this.shown = undefined;
    this.mode = "side";
    this.isBefore = true;
    this.wiped = 50;
    this.isSeen = true;
    this.timer = null;
    this.says = element("p", { class: "says", "aria-live": "polite" });
    this.text = element("div", { class: "told" });
    this.which = element("select", { "aria-label": "component", onchange: () => this.#showGrid() });
    this.large = new Comparison("Whole mosaic, made smaller", "whole");
    this.crop = new Comparison("A part of it, pixel by pixel", "part");
    this.weight = element("figure", { class: "weight" });
    this.body = element("div", {},
      this.#controls(), this.says, this.large.root,
      element("div", { class: "closer" }, this.crop.root, this.weight), this.text);
    this.empty = element("p", { class: "says" });
    this.root = element("section", { class: "mosaic", onkeydown: (event) => this.#key(event) });
    document.addEventListener("visibilitychange", () => this.#tick());
    new IntersectionObserver((seen) => {
      this.isSeen = seen[seen.length - 1].isIntersecting;
      this.#tick();
    }).observe(this.root);
  }

  update() {
    const mosaic = this.view.picture.mosaic ?? null;
    if (mosaic === this.shown) return;
    this.shown = mosaic;
    if (!mosaic || !mosaic.grids.length) {
      this.empty.textContent = mosaic?.missing
        || "no picture of the mosaic: none has been made yet, or an earlier version of alignsvc began the run";
      this.root.replaceChildren(this.empty);
      return this.#tick();
    }
    const chosen = this.which.value;
    this.which.replaceChildren(...mosaic.grids.map((one) => element("option", { value: one.component }, `component ${one.component}`)));
    if (mosaic.grids.some((one) => String(one.component) === chosen)) this.which.value = chosen;
    this.which.hidden = mosaic.grids.length < 2;
    this.root.replaceChildren(this.body);
    this.#showGrid();
  }

  get grid() { return this.shown?.grids.find((one) => String(one.component) === this.which.value); }
  get isPair() { return Boolean(this.grid?.before && this.grid?.after); }

  #controls() {
    const modes = [["side", "Side by side"], ["blink", "Blink"], ["wipe", "Wipe"]];
    this.modes = modes.map(([mode, text]) => element("button", { type: "button", "data-mode": mode, onclick: () => this.#choose(mode) }, text));
    this.speed = element("select", { "aria-label": "speed of blinking", onchange: () => this.#tick(true) },
      ...BLINKS.map(([value, text]) => element("option", { value }, text)));
    this.speed.value = "1";
    this.slider = element("input", { type: "range", min: "0", max: "100", value: "50", "aria-label": "how much is before, from the left", oninput: () => {
      this.wiped = Number(this.slider.value);
      this.#arrange();
    } });
    return element("div", { class: "controls", role: "group", "aria-label": "how before and after are compared" },
      this.which, " ", ...this.modes.flatMap((one) => [one, " "]), this.speed, this.slider);
  }

  #choose(mode) {
    this.mode = mode;
    this.isBefore = true;
    this.#arrange();
    this.#tick(true);
  }

  #key(event) {
    if (event.key !== "b" || event.ctrlKey || event.metaKey || event.altKey || !this.isPair) return;
    this.#choose(this.mode === "blink" ? "side" : "blink");
  }

  // Blink while somebody can see it, and not otherwise.
  #tick(anew = false) {
    const goes = this.mode === "blink" && this.isPair && this.isSeen && !document.hidden;
    if (this.timer !== null && (!goes || anew)) {
      clearInterval(this.timer);
      this.timer = null;
    }
    if (!goes || this.timer !== null) return;
    this.timer = setInterval(() => {
      if (!this.root.isConnected) return this.#stop();
      this.isBefore = !this.isBefore;
      this.#arrange();
    }, 500 / Number(this.speed.value));
  }

  #stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  #arrange() {
    const mode = this.isPair ? this.mode : "side";
    for (const one of [this.large, this.crop]) one.arrange(mode, this.isBefore, this.wiped);
    for (const one of this.modes) {
      one.disabled = !this.isPair;
      one.setAttribute("aria-pressed", String(one.dataset.mode === mode));
    }
    this.speed.hidden = mode !== "blink";
    this.slider.hidden = mode !== "wipe";
    this.says.textContent = !this.isPair ? this.#why()
      : mode === "blink" ? `now: ${this.isBefore ? "before" : "after"} (b stops)`
      : mode === "wipe" ? `before is left of the edge at ${this.wiped} %, after right of it`
      : "before and after have the same stretch (b blinks)";
    // What changes twice a second is not read out.
    this.says.setAttribute("aria-live", mode === "blink" ? "off" : "polite");
  }

  #why() {
    if (this.shown.missing) return this.shown.missing;
    return this.grid.after ? "there is no picture of the mosaic before" : "the final mosaic is not made yet: this is the one before";
  }

  #showGrid() {
    const { grid, shown } = this;
    const px = grid.factor * grid.scale_arcsec;
    this.large.show({ ...grid, px });
    this.crop.root.hidden = !grid.crop;
    if (grid.crop) this.crop.show({ ...grid.crop, east: grid.east, north: grid.north, px: grid.scale_arcsec });
    this.weight.hidden = !grid.weight;
    if (grid.weight) this.weight.replaceChildren(...weightMap(grid));
    const lines = [
      grid.before && shown.before_is && `Before: ${shown.before_is}.`,
      grid.after && shown.after_is && `After: ${shown.after_is}.`,
      shown.fwhm && `FWHM of ${shown.fwhm.sources} sources: before ${shown.fwhm.before_px.toFixed(2)} px, after ${shown.fwhm.after_px.toFixed(2)} px.`,
      `Component ${grid.component}: ${grid.shape[1]} x ${grid.shape[0]} px of ${number(grid.scale_arcsec)} arcsec; a pixel of the picture is ${grid.factor} x ${grid.factor} of them (${number(px)} arcsec). ${turned(grid)}`,
      stretchText("Whole", grid.stretch),
      grid.crop && `The part begins at x = ${grid.crop.x0}, y = ${grid.crop.y0} (from 0); it is where the two differ most of the best star fields. ${stretchText("Part", grid.crop.stretch)}`,
      "Blue (on the map of weights: grey) is where no exposure has a usable pixel: beside all of them, or in stars that are saturated.",
      shown.left_out && `${shown.left_out} smaller components have no picture.`,
      shown.missing,
    ].filter(Boolean);
    this.text.replaceChildren(...lines.map((line) => element("p", {}, line)));
    this.#arrange();
    this.#tick(true);
  }
}

function pictureOf(file, text) {
  return element("img", { src: `data:image/png;base64,${file.png}`, alt: text, width: file.width, height: file.height });
}

// A picture with its name, a scale and where north and east are.
function frame(name, one) {
  const file = one[name];
  const tall = (100 * file.height) / file.width;
  const marks = svg("svg", { viewBox: `0 0 100 ${tall}`, "aria-hidden": "true" });
  const [unit, mark] = 0.3 * file.width * one.px >= 60 ? [60, "'"] : [1, '"'];
  const length = unit * roundBelow((0.3 * file.width * one.px) / unit);
  const bar = (100 * length) / (file.width * one.px);
  const corner = Math.min(12, tall / 3);
  for (const outline of [true, false]) {
    const dress = outline ? { class: "outline" } : {};
    for (const [letter, [x, y]] of [["N", one.north], ["E", one.east]]) {
      marks.append(
        svg("line", { ...dress, x1: 88, y1: corner, x2: 88 + 7 * x, y2: corner - 7 * y }),
        svg("text", { ...dress, x: 88 + 9.5 * x, y: corner - 9.5 * y + 1.2 }, letter));
    }
    marks.append(
      svg("line", { ...dress, x1: 4, y1: tall - 4, x2: 4 + bar, y2: tall - 4 }),
      svg("text", { ...dress, x: 4 + bar / 2, y: tall - 5.5 }, `${number(length / unit)}${mark}`));
  }
  return element("div", { class: "frame", "data-which": name },
    pictureOf(file, `mosaic ${name} the alignment`), marks, element("span", { class: "name" }, name));
}

// The largest of 1, 2 and 5 times a power of ten that is not above a length.
function roundBelow(length) {
  const power = 10 ** Math.floor(Math.log10(length));
  return [5, 2, 1].map((k) => k * power).find((one) => one <= length) ?? power;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function weightMap(grid) {
  const scale = element("div", { class: "scale" },
    element("span", {}, "0"),
    element("span", { class: "shades", style: `background: linear-gradient(to right, ${SHADES.join(", ")})` }),
    element("span", {}, number(grid.largest_weight)));
  return [
    element("figcaption", {}, "Weight of a pixel"),
    pictureOf(grid.weight, "map of weights"), scale,
    element("div", { class: "says" }, "inverse variance [1 / (unit of the mosaic)\u00b2]"),
  ];
}

function stretchText(what, { black, white, softening, sky, sigma }) {
  const [b, w, s, m, n] = [black, white, softening, sky, sigma].map((one) => number(one));
  return `${what}: shade = asinh((value - black) / softening) / asinh((white - black) / softening) with black ${b}, white ${w}, softening ${s}, by the sky (${m}) and its scatter (${n}) in the last mosaic shown.`;
}

function turned({ east, north }) {
  const degrees = (Math.atan2(north[0], north[1]) * 180) / Math.PI;
  const side = east[0] * north[1] - east[1] * north[0] < 0 ? "left" : "right";
  return Math.abs(degrees) < 0.05 ? `North is up, east to the ${side}.`
    : `North is ${number(Math.abs(degrees), 3)} degrees ${degrees > 0 ? "right" : "left"} of up, east to the ${side} of it.`;
}
