// Words for times and names.

const unit = (n, short) => `${n}${short}`;

// span is a duration in two units at most: 42s, 14m 32s, 7h 59m, 3d 4h.
export function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return unit(s, "s");
  if (s < 3600) return `${unit(Math.floor(s / 60), "m")} ${unit(s % 60, "s")}`;
  if (s < 86400) return `${unit(Math.floor(s / 3600), "h")} ${unit(Math.floor((s % 3600) / 60), "m")}`;
  return `${unit(Math.floor(s / 86400), "d")} ${unit(Math.floor((s % 86400) / 3600), "h")}`;
}

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// clock is the time of day, with the day if it lies further back than half a day.
export const clock = (ms, now) => (Math.abs(now - ms) < 12 * 3600e3 ? time : day).format(ms);

const plain = new Intl.NumberFormat("en");
export const count = (n) => plain.format(n);
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

// needWords are the kinds of what needs a look.
export const needWords = {
  stuck: "Stuck",
  pingContract: "Ping contract",
  startRefused: "Start refused",
  crashLoop: "Crash loop",
  lateStop: "Late stop",
  unhealthy: "Unhealthy",
  failed: "Failed",
  look: "Look",
};

export const given = (text) => (text && text !== "-" ? text : "");
