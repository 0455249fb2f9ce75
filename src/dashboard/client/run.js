/*
 * The page of one run.
 */
(() => {
  const { Run, follow, duration, written, when, make, cell, number, addressOf, STATES } =
    globalThis.lockstepFeed;
  const visible = globalThis.lockstepVisible;
  const { mount, bar, FORMATS } = globalThis.lockstepCharts;
  const byId = (id) => document.getElementById(id);
  const summary = JSON.parse(byId("run").textContent);
  const run = new Run(summary);

  /** A rank is called slow when its own work takes so much longer than the middle one's. */
  const SLOW = 1.2;
  const STRAGGLER_MS = 5000;
  /** Losses of workers that are listed, and the workers of one that are named. */
  const MAX_INCIDENTS = 200;
  const MAX_WORKERS = 8;
  /** Recoveries that the chart of the speed marks. */
  const MAX_MARKS = 12;

  const PARTS = [
    ["data", "Waiting for images", "data"],
    ["forwardBackward", "Forward and backward", "compute"],
    ["exchange", "Exchange", "exchange"],
    ["idle", "Waiting for slower ranks", "idle"],
    ["update", "Update", "update"],
  ];

  const setText = (element, given) => {
    const text = visible(given);
    if (element.textContent !== text) element.textContent = text;
  };

  /* Curves */

  const charts = new Map();
  const show = (id, spec) => {
    const figure = byId(`chart-${id}`);
    const isEmpty = spec.series.every(({ values }) => values.every((value) => value === null));
    figure.hidden = isEmpty && run.state !== "running";
    const chart = charts.get(id);
    if (chart) chart.update(spec);
    else charts.set(id, mount(figure, spec));
  };

  const places = { label: "Training images seen", format: "integer" };

  /** The first steps trace the network, which would leave no room for all others: the axis ends below them. */
  const capped = (points) => {
    const totals = points.map(({ ms }) => ms.total).sort((a, b) => a - b);
    const high = totals[Math.floor(0.95 * (totals.length - 1))];
    if (totals.length < 10 || totals.at(-1) < 3 * high) return {};
    const power = 10 ** Math.floor(Math.log10(high * 1.5));
    return { max: [2, 5, 10, 20].find((digit) => digit * power >= high * 1.5) * power };
  };

  const drawCurves = () => {
    const { points, validationPoints } = run;
    const x = { ...places, values: points.map(({ examples }) => examples) };
    const validationX = validationPoints.map(({ examples }) => examples);
    const pair = (measure) => [
      { label: "Training", colour: "train", values: points.map((point) => point[measure]) },
      {
        label: "Validation",
        colour: "validation",
        x: validationX,
        values: validationPoints.map((point) => point[measure]),
        points: true,
      },
    ];
    const sync = "run";
    const recoveries = run.incidents.flatMap(({ recovery }) => recovery ?? []).slice(-MAX_MARKS)
      .map((place) => ({
        x: Math.round(run.epochOf(place) * (run.samplesPerEpoch ?? 0)),
        label: "recovery",
      }));
    show("loss", {
      kind: "line",
      x,
      y: { label: "Loss", format: "loss", min: 0 },
      series: pair("loss"),
      sync,
    });
    show("accuracy", {
      kind: "line",
      x,
      y: { label: "Accuracy", format: "percent", max: 1 },
      series: pair("accuracy"),
      sync,
    });
    show("speed", {
      kind: "line",
      x,
      y: { label: "Images per second", format: "rate", min: 0 },
      series: [{
        label: "All workers",
        colour: "train",
        values: points.map((p) => p.imagesPerSecond),
      }],
      ...(recoveries.length > 0 ? { marks: recoveries } : {}),
      sync,
    });
    show("rate", {
      kind: "line",
      x,
      y: { label: "Learning rate", format: "rate-of-learning", min: 0 },
      series: [{ label: "Learning rate", colour: 3, values: points.map((p) => p.learningRate) }],
      sync,
    });
    show("parts", {
      kind: "stack",
      x,
      y: { label: "Milliseconds per step", format: "ms", min: 0, ...capped(points) },
      series: PARTS.map(([key, label, colour]) => ({
        label,
        colour,
        values: points.map(({ ms }) => ms[key]),
      })),
      sync,
    });
  };

  /* Progress */

  const setProgress = (id, share, text) => {
    const percent = Math.max(0, Math.min(100, 100 * share));
    const track = byId(`${id}-progress`);
    track.setAttribute("aria-valuenow", percent.toFixed(0));
    track.setAttribute("aria-valuetext", text);
    track.firstElementChild.style.width = `${percent}%`;
    setText(byId(`${id}-text`), text);
  };

  const setTile = (key, text, detail = "") => {
    setText(document.querySelector(`[data-tile="${key}"]`), text);
    setText(document.querySelector(`[data-detail="${key}"]`), detail);
  };

  /** Epochs that are done, with what is done of the one that goes on. */
  const epochsDone = () => {
    const { status, epochs, points } = run;
    const whole = Math.max(0, ...epochs.map(({ epoch }) => epoch));
    if (status?.phase === "train" && status.total) {
      return Math.max(whole, status.epoch - 1 + status.done / status.total);
    }
    const last = points.at(-1);
    return last ? Math.max(whole, run.epochOf(last)) : whole;
  };

  /** Seconds until the end, by the last epochs or, before one is done, by the speed. */
  const secondsLeft = (ofEpochs) => {
    const { epochs, status } = run;
    const left = ofEpochs - epochsDone();
    const recent = epochs.slice(-5);
    if (recent.length > 0) {
      return left * recent.reduce((sum, { seconds }) => sum + seconds, 0) / recent.length;
    }
    const samples = run.samplesPerEpoch;
    const speed = status?.imagesPerSecond ?? run.points.at(-1)?.imagesPerSecond;
    return samples && speed ? left * samples / speed : NaN;
  };

  const PHASES = {
    train: "training",
    validate: "validating",
    starting: "starting",
    evaluate: "evaluating",
  };

  const drawProgress = () => {
    const { status, state, epochs } = run;
    const ofEpochs = summary.ofEpochs ?? status?.epochs ?? epochs.length;
    const isRunning = state === "running";
    const done = epochsDone();
    const [name, look] = STATES[state] ?? [state, ""];
    const badge = byId("state");
    setText(badge, name);
    badge.className = `badge ${look}`;
    const message = byId("message");
    message.hidden = !run.message;
    message.className = `callout ${state === "failed" ? "bad" : "warn"}`;
    setText(message, run.message ?? "");

    if (isRunning && status) {
      const phase = PHASES[status.phase] ?? status.phase;
      setProgress(
        "epoch",
        status.total ? status.done / status.total : 0,
        status.total
          ? `${phase}: ${FORMATS.integer(status.done)} of ${FORMATS.integer(status.total)} images`
          : phase,
      );
    } else {
      const share = done - Math.floor(done);
      setProgress(
        "epoch",
        share === 0 && done > 0 ? 1 : share,
        isRunning ? "–" : name.toLowerCase(),
      );
    }
    const left = isRunning ? secondsLeft(ofEpochs) : NaN;
    setProgress(
      "run",
      ofEpochs ? done / ofEpochs : 0,
      `${Math.min(100, Math.round(100 * done / (ofEpochs || 1)))}% of ${ofEpochs} epochs`,
    );
    const epoch = isRunning && status?.epoch ? status.epoch : Math.min(ofEpochs, Math.ceil(done));
    const step = run.latest && isRunning ? `step ${run.latest.step} of ${run.stepsPerEpoch}` : "";
    setTile("epoch", `${epoch} / ${ofEpochs}`, step);
    const spent = epochs.reduce((sum, { seconds }) => sum + seconds, 0);
    setTile("eta", isRunning ? duration(left) : "–", spent ? `${duration(spent)} so far` : "");
    const last = run.points.at(-1);
    setTile(
      "speed",
      written(last?.imagesPerSecond, "rate"),
      last ? `${FORMATS.ms(last.ms.total)} per step` : "",
    );
    setTile(
      "loss",
      written(last?.loss, "loss"),
      last ? `accuracy ${written(last.accuracy, "percent")}` : "",
    );
    const validation = run.lastValidation;
    setTile(
      "validation",
      written(validation?.accuracy, "percent"),
      validation ? `loss ${written(validation.loss, "loss")}` : "",
    );
    const { best } = run;
    setTile("best", written(best?.accuracy, "percent"), best ? `in epoch ${best.epoch}` : "");
    const percent = isRunning ? `${Math.round(100 * done / (ofEpochs || 1))}% · ` : "";
    document.title = `${percent}${visible(summary.name)} · Lockstep`;
  };

  /* Workers */

  const drawRanks = () => {
    const { latest } = run;
    if (!latest) return;
    // A mean over some points: a rank that is slow once isn't a slow rank.
    const own = latest.ranks.map((_, rank) =>
      run.recent.reduce(
        (sum, { ranks }) => sum + ranks[rank].ms.data + ranks[rank].ms.forwardBackward,
        0,
      ) /
      run.recent.length
    );
    const middle = [...own].sort((a, b) => a - b)[(own.length - 1) >> 1];
    const least = Math.min(...latest.ranks.map(({ ms }) => ms.exchange));
    const rows = latest.ranks.map(({ rank, imagesPerSecond, samples, ms }, index) => {
      const parts = PARTS.map(([key, label, colour]) => {
        const value = key === "idle" ? ms.exchange - least : key === "exchange" ? least : ms[key];
        return { label: `${label}: ${FORMATS.ms(value)}`, value, colour };
      });
      const total = parts.reduce((sum, { value }) => sum + value, 0);
      const isSlow = own.length > 1 && own[index] > SLOW * middle && own[index] - middle > 1;
      const host = make("div");
      bar(host, parts, `Rank ${rank}: ${parts.map(({ label }) => label).join(", ")}`);
      return make(
        "div",
        { className: "rank" },
        make(
          "div",
          { className: "rank-text" },
          make(
            "span",
            {},
            `Rank ${rank}`,
            isSlow ? make("span", { className: "badge warn" }, "the others wait for it") : null,
          ),
          make(
            "span",
            { className: "note" },
            `${FORMATS.rate(imagesPerSecond)} · ${FORMATS.ms(total)} per step · ${samples} images`,
          ),
        ),
        host,
      );
    });
    byId("ranks").replaceChildren(...rows);
  };

  const emptyRow = (columns, text) => make("tr", {}, cell(text, { colspan: String(columns) }));

  const drawProcesses = () => {
    const { status, state } = run;
    const body = byId("workers").tBodies[0];
    const lives = state === "running" && status !== null;
    byId("processes").hidden = !lives;
    if (!lives) body.replaceChildren();
    else {
      const rows = status.workers.map((worker) => {
        const isSilent = worker.silentMs >= STRAGGLER_MS;
        const sign = `${(worker.silentMs / 1000).toFixed(1)} s ago`;
        const doing = worker.activity === "trainEpoch" ? "training" : worker.activity;
        return make(
          "tr",
          {},
          make("th", { scope: "row" }, `Rank ${worker.rank}`),
          cell(
            `${worker.host}, pid ${worker.pid}` +
              (worker.gpu ? `, GPU ${worker.gpu.index}: ${worker.gpu.name}` : ""),
          ),
          cell(doing),
          number(worker.epoch),
          number(worker.step),
          number(FORMATS.bytes(worker.residentBytes)),
          isSilent
            ? number(make("span", { className: "badge bad" }, `silent, ${sign}`))
            : number(sign),
        );
      });
      rows.unshift(make(
        "tr",
        {},
        make("th", { scope: "row" }, "Coordinator"),
        cell(`pid ${status.pid}`),
        cell(PHASES[status.phase] ?? status.phase),
        number(status.epoch),
        number(""),
        number(FORMATS.bytes(status.residentBytes)),
        number(""),
      ));
      body.replaceChildren(...rows);
    }
    const gpus = status?.gpus?.length ? status.gpus : run.latest?.gpus ?? [];
    byId("gpus-card").hidden = gpus.length === 0;
    byId("gpus").tBodies[0].replaceChildren(
      ...gpus.map((gpu) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, `${gpu.index}: ${gpu.name}`),
          number(written(gpu.utilization, "percent")),
          number(
            gpu.memoryUsedBytes === undefined
              ? "–"
              : `${FORMATS.bytes(gpu.memoryUsedBytes)} of ${
                written(gpu.memoryTotalBytes, "bytes")
              }`,
          ),
          number(gpu.temperature === undefined ? "–" : `${gpu.temperature} °C`),
        )
      ),
    );
  };

  /* Files, epochs, log */

  const shownFiles = {};
  const showFiles = () => {
    const link = byId("report");
    link.hidden = run.state === "running" || run.files["report.html"] === undefined;
    for (const image of document.querySelectorAll("img[data-picture]")) {
      const name = image.dataset.picture;
      const version = run.files[name];
      image.closest("figure").hidden = version === undefined;
      if (version === undefined || shownFiles[name] === version) continue;
      shownFiles[name] = version;
      // New pictures have old addresses.
      image.src = `/files/${addressOf(summary.id)}/${name}?of=${version}`;
    }
    byId("no-pictures").hidden = document.querySelector(".pictures figure:not([hidden])") !== null;
  };

  let shownEpochs = "";
  const drawEpochs = () => {
    const { epochs, best } = run;
    const version = epochs.map(({ epoch, time }) => `${epoch}@${time}`).join();
    if (version === shownEpochs) return;
    shownEpochs = version;
    const rows = epochs.toReversed().map((epoch) =>
      make(
        "tr",
        epoch.epoch === best?.epoch ? { className: "best" } : {},
        make(
          "th",
          { scope: "row" },
          epoch.epoch === best?.epoch ? `${epoch.epoch} (best)` : `${epoch.epoch}`,
        ),
        number(written(epoch.train.loss, "loss")),
        number(written(epoch.train.accuracy, "percent")),
        number(written(epoch.validation.loss, "loss")),
        number(written(epoch.validation.accuracy, "percent")),
        number(written(epoch.learningRate, "rate-of-learning")),
        number(written(epoch.imagesPerSecond, "rate")),
        number(duration(epoch.seconds)),
      )
    );
    byId("epochs").tBodies[0].replaceChildren(
      ...rows.length > 0 ? rows : [emptyRow(8, "No epoch is done yet.")],
    );
  };

  let shownIncidents;
  const drawIncidents = () => {
    const { incidents, isRecovering } = run;
    byId("recovering").hidden = !isRecovering;
    byId("incidents-section").hidden = incidents.length === 0;
    // The run makes another list of each change; a run that has ended recovers no more.
    if (incidents === shownIncidents?.incidents && isRecovering === shownIncidents.isRecovering) {
      return;
    }
    shownIncidents = { incidents, isRecovering };
    const recoveries = incidents.flatMap(({ recovery }) => recovery ?? []);
    const seconds = recoveries.reduce((sum, recovery) => sum + recovery.seconds, 0);
    const times = recoveries.length === 1 ? "1 recovery" : `${recoveries.length} recoveries`;
    setText(
      byId("incidents-note"),
      recoveries.length > 0 ? `${times} took ${duration(seconds)} in all.` : "",
    );
    const newest = incidents.slice(-MAX_INCIDENTS).reverse();
    byId("incidents").tBodies[0].replaceChildren(...newest.map(incidentRow));
    setText(
      byId("incidents-more"),
      incidents.length > MAX_INCIDENTS
        ? `and ${incidents.length - MAX_INCIDENTS} before, in events.jsonl`
        : "",
    );
  };

  /** As of records/incidents.ts. */
  const workerTexts = ({ rank, pid, host, device, reason }) => {
    const facts = [pid === undefined ? "" : `pid ${pid}`, host && `on ${host}`, device]
      .filter((fact) => fact && !reason.includes(fact));
    const isNamed = reason.startsWith(`Rank ${rank} `);
    return { sentence: isNamed ? reason : `Rank ${rank}: ${reason}`, place: facts.join(", ") };
  };

  const incidentRow = (incident) => {
    const { time, epoch, step, during, workers, exchangeFailure, recovery, isOpen } = incident;
    const names = workers.slice(0, MAX_WORKERS).flatMap((worker) => {
      const { sentence, place } = workerTexts(worker);
      const reason = make("p", { className: "name reason" }, sentence);
      return place ? [reason, make("p", { className: "note name" }, place)] : [reason];
    });
    const more = workers.length - MAX_WORKERS;
    if (more > 0) names.push(make("p", {}, `and ${more} more`));
    if (workers.length === 0) {
      names.push(
        make("p", {}, "none: the exchange between the ranks failed"),
        make("p", { className: "note name reason" }, exchangeFailure ?? ""),
      );
    }
    return make(
      "tr",
      {},
      make(
        "td",
        { className: "moment" },
        make("time", { datetime: time }, when(time)),
        make(
          "p",
          { className: "note" },
          `epoch ${epoch}, step ${step}${during ? ` (${during})` : ""}`,
        ),
      ),
      make("td", { className: "lost" }, ...names),
      cell(
        recovery
          ? outcome(recovery)
          : isOpen && run.state === "running"
          ? "recovering"
          : "the session ended",
      ),
      number(recovery?.workers ?? "–"),
      number(recovery ? duration(recovery.seconds) : "–"),
    );
  };

  const outcome = ({ policy, epoch, step }, lost) => {
    const place = `epoch ${epoch}, step ${step}`;
    if (lost === 0) return `connected anew, from ${place}`;
    if (policy === "restart") return `started again, from ${place}`;
    if (policy === "shrink") return `without them, from ${place}`;
    return `all started again, back at ${place}`;
  };

  let shownLog;
  const drawLog = () => {
    if (run.log === shownLog) return;
    shownLog = run.log;
    const log = byId("log");
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.replaceChildren(...run.log.flatMap((line) => {
      const [, time, level, text] = /^(\S+Z) (info|warning|error) (.*)$/s.exec(line) ?? [];
      if (time === undefined) return [`${visible(line)}\n`];
      const clock = new Date(time).toLocaleTimeString(undefined, { hour12: false });
      return [
        make("time", { datetime: time }, clock),
        make("span", { className: level }, ` ${text}\n`),
      ];
    }));
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  };

  /** Leaves out what an ended run has nothing of; one that goes on may still get it. */
  const leaveOutEmpty = () => {
    const goesOn = run.state === "running";
    const has = {
      curves: run.points.length + run.epochs.length + run.validations.length > 0,
      steps: run.points.length > 0,
      epochs: run.epochs.length > 0,
      pictures: document.querySelector(".pictures figure:not([hidden])") !== null,
      log: run.log.length > 0,
    };
    const isShown = (part) => goesOn || has[part];
    for (const part of ["curves", "epochs", "pictures", "log"]) {
      byId(`${part}-section`).hidden = !isShown(part);
    }
    byId("steps").hidden = !isShown("steps");
    const parts = ["steps", "processes", "gpus-card"];
    byId("workers-section").hidden = parts.every((id) => byId(id).hidden);
  };

  const draw = () => {
    drawProgress();
    showFiles();
    drawProcesses();
    leaveOutEmpty(); // before the charts, which look for their width
    drawCurves();
    drawRanks();
    drawIncidents();
    drawEpochs();
    drawLog();
  };

  draw();
  follow(new Map([[summary.id, run]]), draw, (isOpen) => byId("connection").hidden = isOpen);
})();
