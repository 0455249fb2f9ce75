/*
 * What the dashboard's pages have in common: the stream of news, which is opened again when it breaks, and
 * the run as it grows out of them.
 */
globalThis.lockstepFeed = (() => {
  const visible = globalThis.lockstepVisible;
  /** Points that are kept of a run: of more, every second one of the older half goes. */
  const MAX_POINTS = 4000;
  const MAX_LINES = 400;
  /** Last points whose ranks are kept. */
  const RECENT = 5;
  const RETRY_MS = 3000;

  /** Names and colours of the states; pages.ts has the same. */
  const STATES = {
    running: ["Running", "good"],
    finished: ["Finished", ""],
    interrupted: ["Interrupted", "warn"],
    failed: ["Failed", "bad"],
    lost: ["Lost", "warn"],
    waiting: ["Waiting", ""],
  };

  const isLater = (point, { epoch, step }) =>
    point.epoch > epoch || (point.epoch === epoch && point.step > step);

  /** Workers that were lost during a recovery belong to the loss that it is from; see records/incidents.ts. */
  const withLoss = (incidents, loss) => {
    const open = incidents.at(-1)?.isOpen ? incidents.at(-1) : null;
    if (!open) return [...incidents, { ...loss, isOpen: true }];
    return [...incidents.slice(0, -1), { ...open, workers: [...open.workers, ...loss.workers] }];
  };
  const withRecovery = (incidents, recovery) => {
    const last = incidents.at(-1);
    const isKnown = last?.isOpen || (last?.mayComeBack && recovery.policy === "checkpoint");
    const open = isKnown ? last : null;
    const { time, epoch, step, ranks, reasons = [] } = recovery;
    const reasonAt = (index) => reasons[index] ?? "The reason isn't on record";
    const workers = ranks.map((rank, index) => ({ rank, reason: reasonAt(index) }));
    const exchangeFailure = ranks.length === 0 ? reasons[0] : undefined;
    const begun = open ?? { time, epoch, step, workers, exchangeFailure };
    const before = open ? incidents.slice(0, -1) : incidents;
    return [...before, { ...begun, isOpen: false, mayComeBack: false, recovery }];
  };
  /** All workers may have been lost: then the session that begins goes on from a checkpoint, and says so. */
  const closed = (incidents, begins) =>
    incidents.map((incident) => ({
      ...incident,
      isOpen: false,
      mayComeBack: incident.isOpen && begins,
    }));

  /** A run, put together from news. */
  class Run {
    constructor(summary) {
      this.summary = summary;
      this.clear();
    }

    clear() {
      this.points = [];
      this.epochs = [];
      this.validations = [];
      this.incidents = [];
      this.log = [];
      this.latest = null;
      this.recent = [];
      this.state = this.summary.state;
      this.status = null;
      this.files = {};
      this.message = null;
      this.started = null;
      this.ended = null;
    }

    take(type, data) {
      if (type === "reset") this.clear();
      else if (type === "events") data.forEach((event) => this.event(event));
      else if (type === "metrics") this.metrics(data);
      else if (type === "log") this.log = [...this.log, ...data].slice(-MAX_LINES);
      else if (type === "live") Object.assign(this, data);
    }

    event(event) {
      const { type } = event;
      if (type === "started" || type === "resumed") {
        this.goBack(event);
        this.incidents = closed(this.incidents, true);
        this.started ??= event.time;
        this.message = this.ended = null;
      } else if (type === "workersLost") {
        this.incidents = withLoss(this.incidents, event);
      } else if (type === "recovery") {
        this.incidents = withRecovery(this.incidents, event);
        if (event.policy === "checkpoint") this.goBack(event);
      } else if (type === "epoch") {
        this.epochs = [...this.epochs.filter(({ epoch }) => epoch !== event.epoch), event];
      } else if (type === "validation") {
        this.validations.push(event);
      } else if (type === "finished" || type === "interrupted" || type === "failed") {
        this.ended = event.time;
        this.incidents = closed(this.incidents, false);
        this.message = type === "finished" ? null : event.message;
      }
    }

    /** Forgets what was made after a checkpoint: it is made again. */
    goBack(place) {
      this.points = this.points.filter((point) => !isLater(point, place));
      this.validations = this.validations.filter((point) => !isLater(point, place));
      this.epochs = this.epochs.filter(({ epoch }) => epoch < place.epoch);
    }

    /** True while the run recovers from a loss of workers. */
    get isRecovering() {
      return this.state === "running" && (this.incidents.at(-1)?.isOpen ?? false);
    }

    metrics(points) {
      for (const point of points) {
        const last = this.points.at(-1);
        if (!last || isLater(point, last)) this.points.push(point);
      }
      const latest = points.findLast(({ ranks }) => ranks);
      if (latest) {
        this.latest = latest;
        const alike = this.recent.filter(({ ranks }) => ranks.length === latest.ranks.length);
        this.recent = [...alike, latest].slice(-RECENT);
      }
      if (this.points.length > MAX_POINTS) {
        const half = this.points.length >> 1;
        this.points = this.points.filter((_, index) => index >= half || index % 2 === 0);
      }
    }

    /** Training images of an epoch, where they are known. */
    get samplesPerEpoch() {
      if (this.status?.phase === "train" && this.status.total) return this.status.total;
      const point = this.points.find(({ epoch, step }) => epoch > 1 && step > 0) ??
        this.points.at(-1);
      if (!point || !this.stepsPerEpoch) return null;
      return point.examples / (point.epoch - 1 + point.step / this.stepsPerEpoch);
    }

    get stepsPerEpoch() {
      if (this.status?.stepsPerEpoch) return this.status.stepsPerEpoch;
      return Math.max(0, ...this.points.map(({ step }) => step)) || null;
    }

    /** Epoch with what is done of the next one. */
    epochOf({ epoch, step }) {
      return epoch - 1 + step / (this.stepsPerEpoch || 1);
    }

    get best() {
      return this.epochs.reduce(
        (best, { epoch, validation: { accuracy } }) =>
          accuracy !== null && accuracy > (best?.accuracy ?? -1) ? { epoch, accuracy } : best,
        null,
      );
    }

    get lastValidation() {
      const all = this.validationPoints;
      return all.at(-1) ?? null;
    }

    /** All validations, those after epochs too, by the images seen. */
    get validationPoints() {
      const steps = this.stepsPerEpoch ?? 0;
      const ends = this.epochs.map(({ epoch, validation }) => ({
        epoch,
        step: steps,
        examples: Math.round(epoch * (this.samplesPerEpoch ?? 0)),
        loss: validation.loss,
        accuracy: validation.accuracy,
      }));
      return [...this.validations, ...ends].sort((a, b) => a.epoch - b.epoch || a.step - b.step);
    }
  }

  /**
   * Follows runs. The browser opens a broken stream again by itself, from the last news that came; where the
   * server refuses it, this does.
   *
   * @param runs Runs by id
   * @param onNews Called at most once per frame
   * @param onState Called with whether the stream is open
   * @returns Ends it
   */
  const follow = (runs, onNews, onState) => {
    let source;
    let frame = 0;
    let isClosed = false;
    const draw = () => {
      frame = 0;
      if (!isClosed) onNews();
    };
    const query = [...runs.keys()].map((id) => `run=${encodeURIComponent(id)}`).join("&");
    const open = () => {
      source = new EventSource(`/api/events?${query}`);
      for (const type of ["reset", "events", "metrics", "log", "live"]) {
        source.addEventListener(type, ({ data }) => {
          const news = JSON.parse(data);
          runs.get(news.run)?.take(type, news.data);
          // A hidden page gets no frames.
          frame ||= document.hidden ? setTimeout(draw, 500) : requestAnimationFrame(draw);
        });
      }
      source.addEventListener("open", () => onState(true));
      source.addEventListener("error", () => {
        onState(false);
        if (source.readyState !== EventSource.CLOSED) return;
        setTimeout(() => {
          if (isClosed) return;
          // A stream of its own begins at the beginning.
          for (const run of runs.values()) run.clear();
          open();
        }, RETRY_MS);
      });
    };
    open();
    const close = () => {
      isClosed = true;
      source.close();
    };
    addEventListener("pagehide", close);
    addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
    return close;
  };

  const { FORMATS } = globalThis.lockstepCharts;

  const duration = (seconds) => {
    if (!Number.isFinite(seconds)) return "–";
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    const two = (value) => String(value).padStart(2, "0");
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  };

  /** A value in a format, or a dash. */
  const written = (value, format) =>
    value === null || value === undefined || Number.isNaN(value) ? "–" : FORMATS[format](value);

  const when = (iso) =>
    iso
      ? new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })
      : "–";

  /** An element with text or other elements in it; text is never taken for markup, and all of it is made to show. */
  const make = (name, { className, ...attributes } = {}, ...children) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    for (const [key, value] of Object.entries(attributes)) {
      element.setAttribute(key, key === "href" ? value : visible(value));
    }
    element.append(
      ...children.map((child) => child instanceof Node ? child : visible(child ?? "")),
    );
    return element;
  };

  const cell = (text, options = {}) => make("td", options, text);
  const number = (text, options = {}) => cell(text, { className: "number", ...options });

  const badge = (state) => {
    const [name, look] = STATES[state] ?? [state, ""];
    return make("span", { className: `badge ${look}` }, name);
  };

  /** The number of recoveries from lost workers, and their cost. */
  const recoveryText = ({ recoveries, recoverySeconds }) =>
    `${recoveries === 1 ? "1 recovery" : `${recoveries} recoveries`}, ${
      duration(recoverySeconds)
    } in all`;

  /** The address of a run's id, whose parts a slash separates. */
  const addressOf = (id) => id.split("/").map(encodeURIComponent).join("/");

  return {
    addressOf,
    Run,
    follow,
    duration,
    written,
    when,
    make,
    cell,
    number,
    badge,
    recoveryText,
    STATES,
  };
})();
