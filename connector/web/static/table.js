// The series: filtered, sorted, and only the rows in view are in the document.

import * as format from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const POINTS = 30;
const SPARE = 6;

const COLUMNS = [
  { key: "metric", title: "Metric", of: (row) => row.metric },
  { key: "window", title: "Window", of: (row) => row.window },
  { key: "department", title: "Department", of: (row) => row.department ?? row.department_id },
  { key: "value", title: "Value", of: (row) => row.value, number: true },
  { key: "trend", title: "Trend" },
  { key: "sequence", title: "Sequence", of: (row) => row.sequence, number: true },
  { key: "epoch", title: "Epoch", of: (row) => row.epoch, number: true },
  { key: "age", title: "Age", of: (row) => (row.received_ms === null ? null : -row.received_ms), number: true },
  { key: "state-cell", title: "Gap", of: (row) => row.gap },
];

// Orders that do not change with the values: sorting 3,000 names again each second would be waste.
const STEADY = new Set(["metric", "window", "department"]);

const collator = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
  if (a === b) return 0;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return collator.compare(String(a), String(b));
}

export class SeriesTable {
  constructor(scroll, spacer, head, sort, counted) {
    this.scroll = scroll;
    this.spacer = spacer;
    this.counted = counted;
    this.rows = new Map();
    this.shown = [];
    this.pool = [];
    this.words = [];
    this.only = "all";
    this.by = COLUMNS[0];
    this.descending = false;
    this.now = 0;
    this.makeHead(head, sort);
    scroll.addEventListener("scroll", () => this.request(), { passive: true });
    new ResizeObserver(() => this.request()).observe(scroll);
  }

  // Data.

  reset(series) {
    series.sort((a, b) => collator.compare(a.name, b.name));
    this.rows = new Map(series.map((row, rank) => [row.name, this.prepare(row, rank)]));
    this.settled = false;
  }

  prepare(row, rank) {
    row.rank = rank;
    if (row.department !== null) row.department = format.plain(row.department);
    const department = row.department_id === null ? "all departments" : `${row.department ?? ""} ${row.department_id}`;
    row.text = `${row.metric} ${row.window ?? ""} ${department} ${row.name}`.toLowerCase();
    row.second = row.received_ms === null ? 0 : Math.floor(row.received_ms / 1000);
    row.spark = null;
    return row;
  }

  apply([name, value, sequence, epoch, received, gap]) {
    const row = this.rows.get(name);
    if (!row) return;
    if (received !== row.received_ms || value !== row.value) this.point(row, value, received);
    Object.assign(row, { value, sequence, epoch, received_ms: received, gap });
  }

  point(row, value, received) {
    const second = received === null ? 0 : Math.floor(received / 1000);
    if (second === row.second && row.points.length) row.points[row.points.length - 1] = value;
    else row.points.push(value);
    if (row.points.length > POINTS) row.points.shift();
    row.second = second;
    row.spark = null;
  }

  // What is shown.

  filter(text, only) {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.only = only;
    this.scroll.scrollTop = 0;
    this.settled = false;
    this.refresh();
  }

  sort(key, descending) {
    this.by = COLUMNS.find((column) => column.key === key);
    this.descending = descending;
    for (const cell of this.cells) {
      const current = cell.dataset.key === key;
      cell.setAttribute("aria-sort", current ? (descending ? "descending" : "ascending") : "none");
    }
    this.select.value = key;
    this.settled = false;
    this.refresh();
  }

  refresh(now = this.now) {
    this.now = now;
    if (!this.settled || !STEADY.has(this.by.key) || this.only !== "all") this.choose();
    this.draw();
  }

  choose() {
    this.settled = true;
    this.shown = [...this.rows.values()].filter((row) => this.matches(row)).sort((a, b) => this.order(a, b));
    const total = format.count(this.rows.size);
    const part = this.shown.length === this.rows.size ? total : `${format.count(this.shown.length)} of ${total}`;
    if (this.counted.textContent !== part) this.counted.textContent = part;
  }

  matches(row) {
    if (this.only === "gap" && row.gap === null) return false;
    if (this.only === "empty" && row.sequence > 0) return false;
    return this.words.every((word) => row.text.includes(word));
  }

  order(a, b) {
    const left = this.by.of(a);
    const right = this.by.of(b);
    if ((left === null) !== (right === null)) return left === null ? 1 : -1;
    const found = left === null ? 0 : compare(left, right);
    return (this.descending ? -found : found) || a.rank - b.rank;
  }

  // Drawing.

  request() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = undefined;
      this.draw();
    });
  }

  draw() {
    const height = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / height) - SPARE);
    const needed = Math.min(this.shown.length - first, Math.ceil(this.scroll.clientHeight / height) + 2 * SPARE);
    this.spacer.style.height = `${this.shown.length * height}px`;
    while (this.pool.length < needed) this.pool.push(this.makeRow());
    this.pool.forEach((line, at) => this.place(line, at < needed ? first + at : -1, height));
    this.scroll.parentElement.setAttribute("aria-rowcount", String(this.shown.length + 1));
  }

  place(line, index, height) {
    line.element.hidden = index < 0;
    line.element.style.display = index < 0 ? "none" : "";
    if (index < 0) return;
    line.element.style.transform = `translateY(${index * height}px)`;
    line.element.setAttribute("aria-rowindex", String(index + 2));
    this.fill(line, this.shown[index]);
  }

  fill(line, row) {
    const department = row.department_id === null ? "all" : row.department ?? String(row.department_id);
    this.put(line, "metric", row.metric);
    this.put(line, "window", row.window === null ? "" : `${row.window} min`);
    this.put(line, "department", narrow.matches && row.window !== null ? `${department} · ${row.window} min` : department);
    this.put(line, "value", row.sequence === 0 ? "–" : format.value(row.value));
    this.put(line, "sequence", format.count(row.sequence));
    this.put(line, "epoch", format.count(row.epoch));
    this.put(line, "age", row.received_ms === null ? "–" : format.duration(this.now - row.received_ms));
    this.put(line, "state-cell", row.gap ?? "");
    line.element.classList.toggle("in-gap", row.gap !== null);
    line.element.title = `${row.name} (${row.unit})`;
    row.spark ??= spark(row.points);
    if (line.spark !== row.spark) line.trend.setAttribute("points", (line.spark = row.spark));
  }

  put(line, key, text) {
    if (line.texts[key] === text) return;
    line.texts[key] = text;
    line[key].textContent = text;
  }

  makeRow() {
    const element = document.createElement("div");
    element.className = "series-row";
    element.setAttribute("role", "row");
    const line = { element, texts: {}, spark: "" };
    for (const column of COLUMNS) {
      const cell = document.createElement("span");
      cell.className = `${column.key}${column.number ? " number" : ""}${column.key === "state-cell" ? " gap" : ""}`;
      cell.setAttribute("role", "cell");
      line[column.key] = cell;
      element.append(cell);
    }
    line.trend = makeSpark(line.trend);
    this.spacer.append(element);
    return line;
  }

  makeHead(head, select) {
    this.select = select;
    this.cells = COLUMNS.map((column) => {
      const cell = document.createElement("span");
      cell.setAttribute("role", "columnheader");
      cell.dataset.key = column.key;
      if (column.number) cell.className = "number";
      if (column.of) this.makeSortable(column, cell, select);
      else cell.append(Object.assign(document.createElement("span"), { textContent: column.title, className: "note" }));
      return cell;
    });
    head.append(...this.cells);
    select.addEventListener("change", () => this.sort(select.value, select.value === "value"));
    this.cells[0].setAttribute("aria-sort", "ascending");
  }

  makeSortable(column, cell, select) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: column.title });
    button.addEventListener("click", () => this.sort(column.key, this.by === column && !this.descending));
    cell.append(button);
    select.append(new Option(column.title.toLowerCase(), column.key));
  }
}

const narrow = matchMedia("(max-width: 640px)");

function makeSpark(cell) {
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "polyline");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  cell.append(svg);
  return line;
}

function spark(points) {
  const known = points.filter((point) => point !== null);
  if (known.length < 2) return "";
  const low = Math.min(...known);
  const span = Math.max(...known) - low || 1;
  const step = 100 / (points.length - 1);
  return points
    .map((point, at) => (point === null ? "" : `${(at * step).toFixed(1)},${(18 - ((point - low) / span) * 16).toFixed(1)}`))
    .filter(Boolean)
    .join(" ");
}
