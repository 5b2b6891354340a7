// The status page: takes reports and changes from /api/events and shows them. All text is set as text.

import * as format from "./format.js";
import { SeriesTable } from "./table.js";

const SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const table = new SeriesTable(at("scroll"), at("spacer"), at("head"), at("sort"), at("count"));
let ahead = 0;

function put(id, text) {
  const element = at(id);
  const shown = format.plain(text);
  if (element.textContent !== shown) element.textContent = shown;
}

function alarm(id, on) {
  at(id).classList.toggle("alarm", on);
}

const now = () => Date.now() + ahead;
const age = (ms) => (ms === null ? "–" : format.duration(now() - ms));

// Summary.

function show(status) {
  showIdentity(status);
  showSession(status.session);
  showBatches(status.batches);
  showShards(status.shards);
  showBuffer(status.buffer);
  showGaps(status.gaps);
  showLetters(status.dead_letters);
  showBudget(status.budget);
  showMembers(status.members);
  showReload(status.reload);
}

function showIdentity(status) {
  document.body.dataset.level = status.level;
  document.title = `${status.level === "ok" ? "" : `${status.level}: `}${status.account}: zendesk-chat-kafka`;
  put("account", status.account);
  put("role", status.role);
  put("instance", status.instance);
  put("version", `zendesk-chat-kafka ${status.version}, up ${age(status.started_ms).replace(" ", "\u00a0")}`);
  put("level", status.level);
  put("message", status.message);
  put("guarantee", `Guarantee ${status.guarantee.configured}:`);
  put("promise", status.guarantee.text);
  put("why", status.guarantee.why);
}

function showReload(reload) {
  at("reload").hidden = !reload;
  if (!reload) return;
  alarm("reload", !reload.applied);
  put("reload", `${reload.applied ? "Reloaded" : "Reload refused"} ${age(reload.at_ms)} ago: ${reload.message}`);
}

function showSession(session) {
  alarm("session", !session.connected);
  put("session", session.connected ? age(session.since_ms) : "none");
  const rtt = session.rtt_ms === null ? "no ping yet" : `ping ${format.milliseconds(session.rtt_ms)}`;
  const retry = session.retry_ms === null ? "" : `, next try in ${format.duration(session.retry_ms - now())}`;
  const last = session.last_frame_ms === null ? "" : `, frame ${age(session.last_frame_ms)} ago`;
  put("session-note", session.connected ? rtt + last : `${session.reason}, for ${age(session.since_ms)}${retry}`);
}

function showBatches(batches) {
  put("rate", `${format.count(batches.updates_per_second)}/s`);
  put("rate-note", `${format.count(batches.updates)} committed`);
  put("commit", batches.commit_ms ? format.milliseconds(batches.commit_ms.p50) : "–");
  put("commit-note", batches.commit_ms ? `p99 ${format.milliseconds(batches.commit_ms.p99)}` : "no transaction yet");
  const spreads = [
    ["updates", batches.size, format.count],
    ["commit", batches.commit_ms, format.milliseconds],
    ["received → committed", batches.latency_ms, format.milliseconds],
  ];
  rows("batches", spreads.filter(([, spread]) => spread).map(([name, spread, text]) => [
    name, text(spread.p50), text(spread.p95), text(spread.p99), text(spread.max)]), [1, 2, 3, 4]);
  put("batches-note", `${format.count(batches.transactions)} committed, ${format.count(batches.failed)} failed`);
  bars(batches.newest);
}

function bars(commits) {
  const longest = Math.max(1, ...commits.map((commit) => commit.commit_ms));
  const svg = at("bars");
  while (svg.childElementCount < commits.length) svg.append(document.createElementNS(SVG, "rect"));
  while (svg.childElementCount > commits.length) svg.lastChild.remove();
  commits.forEach((commit, index) => {
    const height = Math.max(1, (commit.commit_ms / longest) * 48);
    const shape = { x: index * 4, y: 48 - height, width: 3, height };
    for (const [name, value] of Object.entries(shape)) svg.children[index].setAttribute(name, value);
  });
}

function showShards(shards) {
  const through = shards.map((shard) => shard.complete_through_ms).filter((ms) => ms !== null);
  const beats = shards.map((shard) => shard.heartbeat_ms).filter((ms) => ms !== null);
  put("through", through.length ? `${age(Math.min(...through))} ago` : "–");
  put("through-note", beats.length ? `heartbeat ${age(Math.min(...beats))} ago` : "no heartbeat here");
  rows("shards", shards.map((shard) => [
    String(shard.shard), format.count(shard.owner_epoch), format.count(shard.batch_id),
    age(shard.complete_through_ms), age(shard.heartbeat_ms)]), [1, 2, 3, 4]);
}

function showBuffer(buffer) {
  alarm("waiting", buffer.dropped > 0 || !buffer.balanced);
  put("waiting", format.count(buffer.waiting_now ?? buffer.waiting));
  const balance = buffer.balanced ? "" : ", counters do not add up";
  put("waiting-note", `waiting; ${format.count(buffer.suppressed)} suppressed, ${format.count(buffer.dropped)} dropped${balance}`);
}

function showGaps(gaps) {
  alarm("gaps", gaps.open > 0);
  put("gaps", format.count(gaps.open));
  put("gaps-note", `${format.count(gaps.total)} in all`);
  rows("incidents", gaps.incidents.map((one) => [
    format.clock(one.started_ms), one.detail ? `${one.reason}: ${one.detail}` : one.reason, format.count(one.series),
    format.count(one.open), one.open ? age(one.started_ms) : format.milliseconds(one.longest_ms)]), [2, 3, 4], "No gap.");
}

function showLetters(letters) {
  alarm("letters", letters.total > 0);
  put("letters", format.count(letters.total));
  const reasons = Object.entries(letters.by_reason).sort((a, b) => b[1] - a[1]);
  put("letters-note", reasons.length ? `most: ${reasons[0][0]}` : "");
  put("reasons", reasons.map(([reason, times]) => `${reason} ${format.count(times)}`).join(", "));
  rows("dead", letters.newest.map((one) => [
    format.clock(one.at_ms), one.reason, one.stage, one.series.length ? one.series.join(", ") : "unknown",
    format.bytes(one.size)]), [4], "No dead letter.");
}

function showBudget(budget) {
  put("budget", budget ? `${budget.used} of ${budget.limit}/min` : "–");
  at("budget-meter").hidden = !budget;
  if (budget) at("budget-meter").value = budget.used / budget.limit;
}

function showMembers(members) {
  rows("members", members.known.map((one) => [
    one.this ? `${one.name} (this one)` : one.name, one.host, one.shards.length ? one.shards.join(", ") : "standby"]), [], "Not known.");
  const refreshed = members.refreshed_ms === null ? "" : `refreshed ${age(members.refreshed_ms)} ago`;
  put("members-note", members.error ? `${refreshed} ${members.error}` : refreshed);
}

function rows(id, lines, numbers, empty = "") {
  const body = at(id).tBodies[0];
  const key = JSON.stringify(lines);
  if (body.dataset.key === key) return;
  body.dataset.key = key;
  const shown = lines.length || !empty ? lines : [[empty]];
  body.replaceChildren(...shown.map((line) => {
    const row = document.createElement("tr");
    row.append(...line.map((text, column) => {
      const cell = Object.assign(document.createElement("td"), { textContent: format.plain(text) });
      if (numbers.includes(column)) cell.className = "number";
      if (!lines.length) cell.colSpan = 9;
      return cell;
    }));
    return row;
  }));
}

// Events.

function live(yes) {
  at("live").dataset.live = yes ? "yes" : "no";
  put("live", yes ? "live" : "reconnecting");
}

function take(status) {
  ahead = status.generated_ms - Date.now();
  live(true);
  show(status);
  table.refresh(now());
}

function connect() {
  const events = new EventSource("/api/events");
  events.addEventListener("report", (event) => {
    const status = JSON.parse(event.data);
    table.reset(status.series);
    take(status);
  });
  events.addEventListener("delta", (event) => {
    const { summary, changes } = JSON.parse(event.data);
    changes.forEach((change) => table.apply(change));
    take(summary);
  });
  events.addEventListener("error", () => {
    live(false);
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  });
}

const filter = () => table.filter(at("filter").value, at("show").value);
at("filter").addEventListener("input", filter);
at("show").addEventListener("change", filter);
connect();
