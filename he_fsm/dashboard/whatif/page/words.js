// Times and hosts in words, and in the form of a scenario file.

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "m"],
  [1, "s"],
];

// Seconds as a scenario file has them: 90s, 4m, 1h30m; milliseconds where there are any.
export function durationText(seconds) {
  const rounded = Math.round(seconds * 1000);
  if (rounded % 1000) {
    return `${rounded / 1000}s`;
  }
  let rest = rounded / 1000;
  if (rest < 120) {
    return `${rest}s`;
  }
  let text = "";
  for (const [size, unit] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    text += count ? `${count}${unit}` : "";
  }
  return text;
}

// Seconds since the beginning as people read them on a clock: 0:04:00.
export function clockText(seconds) {
  const whole = Math.round(seconds);
  const days = Math.floor(whole / 86400);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600) % 24;
  const clock = `${hours}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return days ? `${days}d ${clock}` : clock;
}

// A length of time in its two largest units: 95 s, 3 min 18 s.
export function spanText(seconds) {
  if (seconds < 120) {
    return `${Math.round(seconds * 10) / 10} s`;
  }
  const parts = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = parts.findIndex(([size]) => seconds >= size);
  const [size, name] = parts[first];
  const [smaller, smallName] = parts[first + 1];
  const whole = Math.round(seconds / smaller) * smaller;
  const rest = whole % size;
  const text = `${Math.floor(whole / size)} ${name}`;
  return rest < smaller ? text : `${text} ${Math.floor(rest / smaller)} ${smallName}`;
}

export function hostText(name) {
  return /^\d+$/.test(String(name)) ? `host ${name}` : String(name);
}

// A host as a scenario file has it: an id is a number.
export function hostValue(name) {
  return /^\d+$/.test(String(name)) ? Number(name) : String(name);
}

// What somebody typed for hosts: one, several with commas, a range, or all.
export function hostsValue(text) {
  const parts = text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean)
    .map(hostValue);
  return parts.length === 1 ? parts[0] : parts;
}

export function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

// A round distance between ticks of an axis (seconds), at least as long as this one.
export function roundStep(atLeast) {
  const steps = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200,
  ];
  return steps.find((step) => step >= atLeast) || Math.ceil(atLeast / 86400) * 86400;
}
