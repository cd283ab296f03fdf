// The view in a notebook: parts of the picture come when they change; what is asked goes back.

function render({ model, el }) {
  const root = element("div");
  const answer = element("p", { class: "answer", role: "status" });
  const ask = (kind, text) => element("button", { type: "button", "data-ask": kind, onclick: () => model.send({ ask: kind }) }, text);
  const cancel = ask("cancel", "Cancel the run"), resume = ask("resume", "Resume it");
  el.replaceChildren(element("div", { class: "alignsvc asks" }, cancel, " ", resume, " ", answer), root);
  const view = new RunView(root);
  const parts = ["moment", "exposures", "passes", "tasks", "workers"];
  const show = () => {
    const picture = Object.assign({}, ...parts.map((part) => model.get(part)));
    if (!picture.status || !picture.exposures || !picture.passes || !picture.tasks || !picture.workers) return;
    const goes = ["running", "never begun"].includes(picture.status.standing);
    cancel.disabled = !goes;
    resume.disabled = goes || picture.status.finished;
    view.update(picture);
  };
  const told = (message) => { answer.textContent = message.text ?? ""; };
  for (const part of parts) model.on(`change:${part}`, show);
  model.on("msg:custom", told);
  show();
  return () => {
    for (const part of parts) model.off(`change:${part}`, show);
    model.off("msg:custom", told);
  };
}

export default { render };
