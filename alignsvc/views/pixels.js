// Grids of pixels as they come with a detail: bytes, 255 where nothing is known.

const UNKNOWN = 255, UNKNOWN_COLOUR = [187, 187, 187];
// From less to more than nothing, told apart by any eyes: blue, white, vermilion.
const SIGNED = ["#00507d", "#0072b2", "#7fb8d8", "#ffffff", "#eaae7f", "#d55e00", "#954200"];

function ramp(colours) {
  const parts = colours.map((one) => [1, 3, 5].map((at) => parseInt(one.slice(at, at + 2), 16)));
  const found = [];
  for (let level = 0; level < UNKNOWN; level++) {
    const at = level / (UNKNOWN - 1) * (parts.length - 1), k = Math.min(Math.floor(at), parts.length - 2);
    found.push(parts[k].map((from, c) => from + (at - k) * (parts[k + 1][c] - from)));
  }
  return [...found, UNKNOWN_COLOUR];
}

// Draw a grid into a canvas as large as it is, its first row at the bottom; the style scales it up.
function drawGrid(canvas, grid, colours) {
  const bytes = atob(grid.bytes), n = grid.side;
  canvas.width = canvas.height = n;
  const pen = canvas.getContext("2d"), image = pen.createImageData(n, n);
  for (let k = 0; k < n * n; k++) {
    const [x, y] = [k % n, Math.floor(k / n)], at = 4 * ((n - 1 - y) * n + x);
    const colour = colours[bytes.charCodeAt(k)];
    for (let c = 0; c < 3; c++) image.data[at + c] = colour[c];
    image.data[at + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

// A grid under a caption, with its scale below; `mark`: a place in parts of the side, y up.
function gridFigure(caption, grid, colours, { mark = null, unit = "" } = {}) {
  const said = element("div", { class: "scale" });
  const figure = element("figure", { class: "grid" }, element("figcaption", {}, caption));
  if (!grid) {
    figure.append(element("p", { class: "nothing" }, "not known here"));
    return figure;
  }
  const canvas = element("canvas", { role: "img", "aria-label": caption });
  drawGrid(canvas, grid, colours);
  const stops = [0, 0.25, 0.5, 0.75, 1].map((part) => `rgb(${colours[Math.round(part * (UNKNOWN - 1))].map(Math.round)})`);
  said.append(
    element("span", {}, number(grid.low, 3)),
    element("span", { class: "bar", style: `background: linear-gradient(to right, ${stops})` }),
    element("span", {}, `${number(grid.high, 3)}${unit}`),
  );
  const frame = element("div", { class: "frame" }, canvas);
  if (mark && mark.every((part) => part >= 0 && part <= 1)) {
    frame.append(element("span", { class: "mark", style: `left:${100 * mark[0]}%;top:${100 * (1 - mark[1])}%` }));
  }
  figure.append(frame, said);
  return figure;
}
