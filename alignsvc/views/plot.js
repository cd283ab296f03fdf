// A plane of pixels with axes: what every drawing below stands on.

// Okabe and Ito's colours, which people with any kind of sight can tell apart.
const COLOURS = {
  aligned: "#0072b2", going: "#56b4e9", "not aligned": "#707070", skipped: "#e69f00", failed: "#d55e00",
  line: "#999999", strong: "#000000", limit: "#d55e00", chosen: "#cc79a7", grid: "#e4e4e4",
};
const FONT = "12px system-ui, sans-serif";
const MARGIN = { right: 14, top: 12, bottom: 40 };

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Numbers as people read them: so many digits, and no more zeros than needed.
function number(value, digits = 4) {
  if (value === null || value === undefined) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-4 ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
}

// Round numbers that divide a range into about so many parts.
function ticks(low, high, about = 6) {
  const rough = (high - low) / about;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

function powers(low, high) {
  const found = [];
  for (let k = Math.ceil(Math.log10(low) - 1e-9); k <= Math.log10(high) + 1e-9; k++) found.push(10 ** k);
  return found;
}

// Planes that are to be drawn: those in sight with the next frame, the others one by one when the
// page has nothing else to do, so that nobody waits for what is below the fold.
const DUE = new Set();
const whenIdle = window.requestIdleCallback ? (act) => requestIdleCallback(act, { timeout: 1000 }) : (act) => setTimeout(act, 20);
let isFrameAsked = false, isIdleAsked = false;

function drawSoon(plane) {
  DUE.add(plane);
  if (!isFrameAsked) requestAnimationFrame(drawInSight);
  isFrameAsked = true;
}

function drawInSight() {
  isFrameAsked = false;
  for (const plane of [...DUE].filter((one) => one.isInSight)) plane.paint();
  drawLater();
}

function drawLater() {
  if (!DUE.size || isIdleAsked) return;
  isIdleAsked = true;
  whenIdle(() => {
    isIdleAsked = false;
    const [plane] = DUE;
    plane?.paint();
    drawLater();
  });
}

// A canvas with axes. `draw(plane)` is called whenever it has a size; it calls `plane.axes` first.
// Until that is done the canvas says that it is busy.
class Plane {
  constructor(title, height, draw, left = 64) {
    this.canvas = element("canvas", { role: "img", "aria-label": title, tabindex: "0" });
    this.says = element("div", { class: "says", "aria-live": "polite" });
    this.root = element("figure", {}, element("figcaption", {}, title), this.canvas, this.says);
    this.height = height;
    this.left = left;
    this.draw = draw;
    this.spots = [];
    this.width = 0;
    this.isReady = false;
    this.canvas.addEventListener("mousemove", (event) => this.#hover(event));
    this.canvas.addEventListener("keydown", (event) => this.#step(event));
    this.canvas.addEventListener("mouseleave", () => { this.says.textContent = ""; });
    new ResizeObserver(() => { if (this.root.clientWidth !== this.width) this.redraw(); }).observe(this.root);
  }

  // Draw, soon and whenever the size changes: there is something to see. `basis`: what is drawn is
  // made of these alone, so that it need not be drawn again while they are the same.
  update(basis = null) {
    const isSame = basis !== null && basis.every((one, k) => one === this.basis?.[k]);
    this.basis = basis;
    this.isReady = true;
    if (!isSame) this.redraw();
  }

  redraw() {
    if (!this.isReady) return;
    this.canvas.setAttribute("aria-busy", "true");
    drawSoon(this);
  }

  get isInSight() {
    const { top, bottom } = this.canvas.getBoundingClientRect();
    return bottom >= 0 && top <= window.innerHeight;
  }

  paint() {
    DUE.delete(this);
    this.canvas.removeAttribute("aria-busy");
    // Asked for here only: it makes the browser lay out what else has changed.
    const width = this.width = this.root.clientWidth;
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = this.height * ratio;
    this.canvas.style.height = `${this.height}px`;
    this.pen = this.canvas.getContext("2d");
    this.pen.scale(ratio, ratio);
    this.pen.font = FONT;
    this.spots = [];
    this.draw(this);
  }

  get inner() {
    return {
      left: this.left, right: this.width - MARGIN.right,
      top: MARGIN.top, bottom: this.height - MARGIN.bottom,
    };
  }

  // Set the scales, draw frame, grid and names. x, y: {low, high, log, name, ticks, label}.
  axes(x, y) {
    const box = this.inner;
    const scale = (axis, from, to) => {
      const f = axis.log ? Math.log10 : (v) => v;
      const [low, high] = [f(axis.low), f(axis.high)];
      return (value) => from + ((f(value) - low) / (high - low || 1)) * (to - from);
    };
    this.x = scale(x, box.left, box.right);
    this.y = scale(y, box.bottom, box.top);
    const pen = this.pen;
    pen.strokeStyle = COLOURS.grid;
    pen.fillStyle = "#333333";
    pen.lineWidth = 1;
    pen.textAlign = "center";
    for (const value of x.ticks ?? ticks(x.low, x.high)) {
      this.#line(this.x(value), box.top, this.x(value), box.bottom);
      pen.fillText((x.label ?? number)(value), this.x(value), box.bottom + 16);
    }
    pen.textAlign = "right";
    for (const value of y.ticks ?? (y.log ? powers(y.low, y.high) : ticks(y.low, y.high))) {
      this.#line(box.left, this.y(value), box.right, this.y(value));
      pen.fillText((y.label ?? number)(value), box.left - 6, this.y(value) + 4);
    }
    pen.textAlign = "center";
    pen.fillText(x.name, (box.left + box.right) / 2, this.height - 6);
    pen.save();
    pen.translate(14, (box.top + box.bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(y.name, 0, 0);
    pen.restore();
    pen.strokeStyle = "#666666";
    pen.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  }

  #line(x0, y0, x1, y1) {
    this.pen.beginPath();
    this.pen.moveTo(x0, y0);
    this.pen.lineTo(x1, y1);
    this.pen.stroke();
  }

  // Draw through points, with gaps where one is null.
  path(points, colour, width = 1, closed = false) {
    const pen = this.pen;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    let drawing = false;
    for (const point of points) {
      if (!point) { drawing = false; continue; }
      if (drawing) pen.lineTo(point[0], point[1]);
      else pen.moveTo(point[0], point[1]);
      drawing = true;
    }
    if (closed) pen.closePath();
    pen.stroke();
  }

  arrow(x0, y0, x1, y1, colour) {
    const angle = Math.atan2(y1 - y0, x1 - x0);
    const head = Math.min(7, Math.hypot(x1 - x0, y1 - y0) / 2);
    const barb = (turn) => [x1 - head * Math.cos(angle + turn), y1 - head * Math.sin(angle + turn)];
    this.path([[x0, y0], [x1, y1], null, barb(0.5), [x1, y1], barb(-0.5)], colour, 1.3);
  }

  // Text that is shown near a point, or along so much to both sides of it; what a click there chooses.
  spot(x, y, text, row = null, beside = 0) { this.spots.push({ x, y, text, row, beside }); }

  nearest(event, within = 24) {
    if (DUE.has(this)) this.paint();
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = within * within;
    for (const spot of this.spots) {
      const off = Math.max(0, Math.abs(spot.x - x) - spot.beside) ** 2 + (spot.y - y) ** 2;
      if (off < least) { least = off; best = spot; }
    }
    return best;
  }

  // The arrows go from spot to spot, in the order in which they were drawn.
  #step(event) {
    if (DUE.has(this)) this.paint();
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way || !this.spots.length) return;
    event.preventDefault();
    this.at = ((this.at ?? (way > 0 ? -1 : 0)) + way + this.spots.length) % this.spots.length;
    this.says.textContent = this.spots[this.at].text;
  }

  #hover(event) {
    const spot = this.nearest(event);
    this.says.textContent = spot ? spot.text : "";
  }
}
