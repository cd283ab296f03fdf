// A page that a server beside the run gives: it asks again and again, for what has changed only.

const HERE = new URL(".", import.meta.url);
const SOON_MS = 2000, LATER_MS = 30000;

class ServedRun {
  constructor(root) {
    this.known = {};
    this.runs = element("nav", { "aria-label": "runs" });
    this.pages = element("nav", { "aria-label": "other pages of the scheduler" });
    this.place = element("div");
    root.replaceChildren(
      element("div", { class: "alignsvc served" }, this.pages, this.runs, element(
        "p", { class: "note" },
        "This page only shows: it asks nobody who they are. `alignsvc cancel RUN` stops a run, `alignsvc resume RUN` goes on with one.",
      )),
      this.place,
    );
    this.view = new RunView(this.place, { detail: (id) => this.detail(id) });
  }

  // Look for ever. Who does not look at the page does not make anybody read the run.
  async go() {
    for (;;) {
      let goes = true;
      if (!document.hidden) {
        try {
          goes = await this.look();
        } catch (error) {
          this.view.trouble(`no answer from the scheduler (${error.message}): it has ended, or cannot be reached`);
        }
      }
      await new Promise((done) => setTimeout(done, goes ? SOON_MS : LATER_MS));
    }
  }

  // Show the run as it is; return whether it goes on.
  async look() {
    const { runs, pages } = await (await this.ask("runs")).json();
    const asked = new URLSearchParams(location.search).get("run");
    const run = runs.find(([name]) => name === asked) ?? (asked ? null : runs[0]);
    this.run = run?.[0];
    this.link(runs, pages, run);
    if (!run) {
      this.view.trouble(asked ? "the scheduler does not know this run: it was started anew since, or many runs came after it" : "no run has come to this scheduler yet");
      return true;
    }
    // The first lets the server look; the others are of that look.
    const moment = await this.part("moment", run[0]);
    if (!moment.status) {
      this.view.trouble(moment.trouble);
      return true;
    }
    const others = PICTURE_PARTS.filter((name) => name !== "moment");
    const picture = Object.assign({}, moment, ...await Promise.all(others.map((name) => this.part(name, run[0]))));
    // Two looks may meet while the first headers are read.
    const rows = picture.exposures.id.length;
    if (!picture.passes.every((pass) => pass.move_px.length === rows)) return true;
    // Whoever reads this has the page, and dask's own are linked above as this address has them.
    this.view.update({
      ...picture, lines: picture.lines.filter((line) => !line.startsWith("live page: ")),
      status: { ...picture.status, live_page: null, dashboard: null },
    });
    return ["never begun", "running", "queued"].includes(picture.status.standing);
  }

  async part(name, run) {
    const key = `${name}?run=${encodeURIComponent(run)}`;
    const known = this.known[key];
    const answer = await this.ask(`parts/${key}`, known ? { "If-None-Match": known.tag } : {});
    if (answer.status !== 304) this.known[key] = { tag: answer.headers.get("ETag"), part: await answer.json() };
    return this.known[key].part;
  }

  // What the run keeps of one exposure.
  async detail(id) {
    const query = new URLSearchParams({ run: this.run, id });
    const found = await (await this.ask(`exposure?${query}`)).json();
    if (found.trouble) throw new Error(found.trouble);
    return found.detail;
  }

  async ask(path, headers = {}) {
    const answer = await fetch(new URL(path, HERE), { headers, cache: "no-store" });
    if (!answer.ok && answer.status !== 304) throw new Error(`${answer.status} ${answer.statusText}`);
    return answer;
  }

  link(runs, pages, shown) {
    const told = JSON.stringify([runs, pages, shown]);
    if (told === this.told) return;
    this.told = told;
    this.pages.replaceChildren(...(pages.length ? ["dask: ", ...pages.flatMap((one) => [element("a", { href: new URL(`../${one}`, HERE) }, one), " "])] : []));
    this.runs.replaceChildren(...(runs.length > 1 || (runs.length && !shown) ? ["runs: ", ...runs.flatMap(([name, run]) => [
      element("a", { href: `?run=${name}`, "aria-current": shown && name === shown[0] ? "page" : null }, run), " ",
    ])] : []));
  }
}

document.head.append(element("link", { rel: "stylesheet", href: new URL("page.css", HERE) }));
new ServedRun(document.getElementById("page")).go();
