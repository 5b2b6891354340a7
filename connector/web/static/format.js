// Numbers and times as people read them. Everything is text; nothing here makes markup.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export const count = (number) => whole.format(number);

export const value = (number) => (number === null ? "null" : short.format(number));

export function milliseconds(number) {
  if (number === null || number === undefined) return "–";
  if (number >= 10_000) return duration(number);
  return number >= 1000 ? `${short.format(number / 1000)} s` : `${number < 10 ? short.format(number) : whole.format(number)} ms`;
}

export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function clock(ms) {
  return new Date(ms).toISOString().replace("T", " ").slice(0, 19);
}

export function bytes(size) {
  return size < 1024 ? `${size} B` : `${short.format(size / 1024)} KiB`;
}

// Names come from people: what would reorder or hide text is shown as a mark instead.
export const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
