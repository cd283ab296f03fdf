// The view in a notebook: parts of the picture come when they change; what is asked goes back.

// So long an answer of the kernel is waited for: it may be at work in another cell.
const PATIENCE_MS = 120_000;

function render({ model, el }) {
  const root = element("div");
  const answer = element("p", { class: "answer", role: "status" });
  const ask = (kind, text) => element("button", { type: "button", "data-ask": kind, onclick: () => model.send({ ask: kind }) }, text);
  const cancel = ask("cancel", "Cancel the run"), resume = ask("resume", "Resume it");
  el.replaceChildren(element("div", { class: "alignsvc asks" }, cancel, " ", resume, " ", answer), root);
  const waiting = new Map();
  const detail = (id) => new Promise((found, failed) => {
    // Answers come to all views of one widget: each knows its own questions.
    const number = `${Date.now()} ${Math.random()}`;
    waiting.set(number, { found, failed });
    setTimeout(() => failed(new Error("the kernel does not answer")), PATIENCE_MS);
    model.send({ ask: "exposure", id, number });
  });
  const view = new RunView(root, { detail });
  const parts = ["moment", "exposures", "passes", "mosaic", "tasks", "workers"];
  const show = () => {
    const picture = Object.assign({}, ...parts.map((part) => model.get(part)));
    if (picture.trouble && !picture.status) {
      view.trouble(picture.trouble);
      cancel.disabled = resume.disabled = true;
      return;
    }
    if (!picture.status || !picture.exposures || !picture.passes || !picture.tasks || !picture.workers) return;
    const goes = ["running", "never begun"].includes(picture.status.standing);
    cancel.disabled = !goes;
    resume.disabled = goes || picture.status.finished;
    view.update(picture);
  };
  const told = (message) => {
    if (message.answer === undefined) { answer.textContent = message.text ?? ""; return; }
    const one = waiting.get(message.answer);
    waiting.delete(message.answer);
    if (one && message.trouble) one.failed(new Error(message.trouble));
    else one?.found(message.detail);
  };
  for (const part of parts) model.on(`change:${part}`, show);
  model.on("msg:custom", told);
  show();
  return () => {
    for (const part of parts) model.off(`change:${part}`, show);
    model.off("msg:custom", told);
  };
}

export default { render };
