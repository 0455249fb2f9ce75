/*
 * A comparison: its runs as they stand, and the curves of those that have begun.
 */
(() => {
  const {
    Run,
    follow,
    duration,
    written,
    make,
    cell,
    number,
    badge,
    recoveryText,
    addressOf,
    STATES,
  } = globalThis.lockstepFeed;
  const { draw: drawCurves, lookOf, swatchOf } = globalThis.lockstepCurves;
  const byId = (id) => document.getElementById(id);
  const POLL_MS = 2000;
  /** As many as the server sends in one stream. */
  const MAX_FOLLOWED = 16;

  let detail = JSON.parse(byId("comparison").textContent);
  let runs = new Map();
  let close;

  /** Runs whose curves are shown, the first ones that have begun. */
  const followed = () => detail.members.filter(({ begun }) => begun).slice(0, MAX_FOLLOWED);

  const draw = () => {
    const places = new Map(detail.members.map((member, index) => [member.id, { member, index }]));
    const perVariant = detail.members.length / detail.labels.length > 1;
    drawCurves([...runs].map(([id, run]) => {
      const { member, index } = places.get(id);
      const label = perVariant ? `${member.label}, seed ${member.seed}` : member.label;
      return { run, label, look: lookOf(index) };
    }));
  };

  /** Follows those that have begun, in a stream of its own whenever these are others. */
  const followAll = () => {
    const ids = followed().map(({ id }) => id);
    if (ids.join("\n") === [...runs.keys()].join("\n")) return;
    close?.();
    runs = new Map(
      followed().map(({ id, state, ofEpochs }) => [
        id,
        new Run({ id, state, ofEpochs }),
      ]),
    );
    close = follow(runs, draw, (isOpen) => byId("connection").hidden = isOpen);
    byId("curves-section").hidden = false;
    const begun = detail.members.filter((member) => member.begun).length;
    const note = byId("curves-note");
    note.hidden = begun <= ids.length;
    note.textContent = `Of ${begun} runs, the first ${ids.length}.`;
    draw();
  };

  const rowOf = (member, index) => {
    const { id, label, seed, state, begun, epochs, ofEpochs, best, seconds, message } = member;
    const name = make("bdi", { className: "name" }, label);
    return make(
      "tr",
      {},
      make(
        "th",
        { scope: "row" },
        make("span", { className: swatchOf(index), "aria-hidden": "true" }),
        " ",
        begun ? make("a", { href: `/runs/${addressOf(id)}` }, name) : name,
      ),
      number(seed),
      cell(
        make(
          "div",
          {},
          badge(state),
          message ? make("div", { className: "note name" }, message) : null,
          member.recoveries > 0 ? make("div", { className: "note" }, recoveryText(member)) : null,
        ),
      ),
      number(`${epochs}${ofEpochs === null ? "" : ` / ${ofEpochs}`}`),
      number(written(best?.accuracy, "percent")),
      number(best?.epoch ?? "–"),
      number(seconds ? duration(seconds) : "–"),
    );
  };

  let shown = "";
  const show = () => {
    const version = JSON.stringify(detail);
    if (version === shown) return;
    shown = version;
    const [name, look] = STATES[detail.state];
    const state = byId("state");
    state.textContent = name;
    state.className = `badge ${look}`;
    byId("report").hidden = detail.report === null;
    byId("members").tBodies[0].replaceChildren(...detail.members.map(rowOf));
    followAll();
  };

  const poll = async () => {
    if (!document.hidden) {
      try {
        const response = await fetch(`/api/comparisons/${addressOf(detail.id)}`);
        if (response.ok) detail = await response.json();
        show();
      } catch {
        // The server is gone; it may come back.
      }
    }
    setTimeout(poll, POLL_MS);
  };

  show();
  setTimeout(poll, POLL_MS);
})();
