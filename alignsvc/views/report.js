// The page of a report: its static part is there already, the view joins it.

// Pictures first: what the mosaic looks like comes before the table.
const isMosaic = (panel) => panel.title === "Mosaic";
const REPORT_PANELS = [
  PANELS[0], ...PANELS.filter(isMosaic), ...PANELS.slice(1).filter((panel) => !isMosaic(panel)),
];

// `first`: the id of the exposure that is shown from near at once; undefined: none.
function showReport(root, picture, detail, first) {
  const view = new RunView(root, { detail, heading: false, panels: REPORT_PANELS });
  view.update(picture);
  const rowOf = new Map(picture.exposures.id.map((id, row) => [id, row]));
  // Names in the table of the worst exposures choose them.
  for (const cell of document.querySelectorAll("#worst tbody td:first-child")) {
    const row = rowOf.get(cell.textContent);
    if (row === undefined) continue;
    cell.replaceChildren(element("button", {
      type: "button",
      onclick: () => {
        if (view.chosen !== row) view.choose(row);
        root.querySelector(".detail").scrollIntoView({ block: "center" });
      },
    }, cell.textContent));
  }
  if (rowOf.has(first)) view.choose(rowOf.get(first));
  return view;
}
