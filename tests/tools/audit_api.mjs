// Checks each body that a run of the tests recorded against Discord's published description of its REST API,
// as the npm package discord-api-spec has it: which type is used where (its .ts file), and each type (zod).
// Called by `make audit-api`; ends with status 1 where something differs.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2]);
const description = join(folder, "node_modules/discord-api-spec/build");
const types = await import(pathToFileURL(join(description, "discord-api-spec.zod.js")));
/** Differences of discord.py's that Discord takes, as every bot that is built on it has them. */
const KNOWN = [
  / request {2}\.\S*(id|users\.\*) {2}invalid_type expected string$/, // it writes ids as numbers
  / request {2}\S*\.tts {2}is not described$/, // it sends that with each edit
  / 429 {2}\.code {2}invalid_type expected number$/, // the stand-in's: Discord's page on rate limits shows none
];
const EMPTY = new Set(["undefined", "unknown", "never"]);

/** The paths: [{method, parts, request, responses: {status: type}}], from the package's own layout. */
function readPaths(text) {
  const found = [];
  let path, call;
  for (const line of text.slice(text.indexOf("export interface Paths {")).split(/;\n|\{\n/)) {
    const words = line.replace(/\/\*\*.*?\*\//gs, "").replace(/\s+/g, " ").trim();
    const key = /^(?:\} ?)*"?([^"?]+)"?\??:\s?(.*)$/.exec(words);
    if (words.startsWith("// Paths list")) break;
    if (!key) continue;
    const [, name, type] = key;
    if (name.startsWith("/")) path = name;
    else if (/^(get|put|post|patch|delete)$/.test(name) && !type) {
      call = { method: name.toUpperCase(), parts: path.split("/"), request: "undefined", responses: {} };
      found.push(call);
    } else if (name === "requestBody") call.request = type;
    else if (/^[1-5](\d\d|XX)$/.test(name)) call.responses[name] = type;
  }
  return found;
}

const isName = (part) => part.startsWith("{");

function find(calls, method, path) {
  const parts = path.split("/");
  const fits = calls.filter(
    (call) =>
      call.method === method &&
      call.parts.length === parts.length &&
      call.parts.every((part, place) => isName(part) || part === parts[place]),
  );
  return fits.sort((a, b) => a.parts.filter(isName).length - b.parts.filter(isName).length)[0];
}

/** What is wrong with a value, as [where, what]; null where the type is not described as code. */
function problems(type, value) {
  const options = split(type).filter((one) => one && !EMPTY.has(one) && mayBe(one, value));
  const each = options.map((option) => problemsOfOne(option, value));
  if (each.includes(null)) return null;
  if (each.length === 0) return split(type).every((one) => EMPTY.has(one)) ? [] : [["", `is not ${type}`]];
  return likeliest(each, ".type");
}

/** Of the problems that each option of a type has, those of the one that was meant. */
function likeliest(options, kind) {
  const fitting = options.filter((found) => !found.some(([where]) => where === kind));
  return (fitting.length ? fitting : options).sort((a, b) => a.length - b.length)[0];
}

const mayBe = (type, value) =>
  type === "null" || value === null ? type === "null" : type.endsWith("[]") === Array.isArray(value);

/** The options of a type: split at each | outside brackets. */
function split(type) {
  const options = [""];
  let depth = 0;
  for (const letter of type) {
    depth += "([{<".includes(letter) - ")]}>".includes(letter);
    if (letter === "|" && depth === 0) options.push("");
    else options[options.length - 1] += letter;
  }
  return options.map((option) => option.trim().replace(/^\(([^()]*)\)$/, "$1").trim());
}

function problemsOfOne(type, value) {
  if (type === "null") return [];
  if (type.endsWith("[]")) {
    const all = value.map((one) => problems(type.slice(0, -2).replace(/^\((.*)\)$/, "$1"), one));
    return all.includes(null) ? null : all.flat().map(([where, what]) => [`.*${where}`, what]);
  }
  const schema = types[`${type}Schema`];
  if (!schema) return null;
  const parsed = schema.safeParse(value);
  if (parsed.success) return [...unknown("", value, parsed.data)];
  return parsed.error.issues.flatMap((one) => flat(one, "")).filter(([, , at]) => !isTime(value, at));
}

/** A union has failed: the option that fails least says why. */
function flat(issue, before, path = []) {
  const where = before + issue.path.map((part) => (typeof part === "number" ? ".*" : `.${part}`)).join("");
  const here = [...path, ...issue.path];
  if (issue.code !== "invalid_union" || !issue.errors?.length) return [[where, said(issue), issue.format && here]];
  const options = issue.errors.map((issues) => issues.flatMap((one) => flat(one, where, here)));
  return likeliest(options, `${where}.type`);
}

/** The package takes times in UTC with a Z only; Discord's have an offset, as RFC 3339 allows. */
const isTime = (value, path) =>
  Boolean(path) && /^\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d$/.test(path.reduce((inner, part) => inner?.[part], value));

const said = (issue) =>
  issue.code + ["expected", "format", "minimum", "maximum", "values"].map((key) => (issue[key] === undefined ? "" : ` ${key} ${issue[key]}`)).join("");

/** Fields that the description does not have: zod leaves them out. */
function* unknown(where, value, known) {
  if (Array.isArray(value)) for (const [place, one] of value.entries()) yield* unknown(`${where}.*`, one, known[place]);
  else if (value && typeof value === "object" && known && typeof known === "object")
    for (const [key, one] of Object.entries(value)) {
      if (key in known) yield* unknown(`${where}.${key}`, one, known[key]);
      else yield [`${where}.${key}`, "is not described"];
    }
}

const calls = readPaths(readFileSync(join(description, "discord-api-spec.ts"), "utf8"));
const differences = new Map();
const counts = { calls: 0, requests: 0, answers: 0, unknown: 0, undescribed: 0 };
const differs = (call, where, what) => {
  const key = `${call}  ${where || "."}  ${what}`;
  differences.set(key, (differences.get(key) ?? 0) + 1);
};

function check(name, kind, type, value) {
  const found = problems(type ?? "undefined", value);
  if (found === null) counts.undescribed++;
  else for (const [where, what] of found) differs(`${name} ${kind}`, where, what);
}

for (const file of readdirSync(join(folder, "calls")))
  for (const line of readFileSync(join(folder, "calls", file), "utf8").split("\n").filter(Boolean)) {
    const { method, path, body, status, answer } = JSON.parse(line);
    const call = find(calls, method, path);
    counts.calls++;
    if (!call) {
      if (status !== 404) differs(`${method} ${path.replace(/\d{6,}/g, "…")}`, "", "no such route");
      counts.unknown++;
      continue;
    }
    const name = `${method} ${call.parts.join("/")}`;
    const wasRefused = status >= 400 && status < 500;
    if (body !== null && !wasRefused) {
      counts.requests++;
      check(name, "request", call.request, body);
    }
    if (answer !== null && status !== 204) {
      counts.answers++;
      check(name, status, call.responses[status] ?? call.responses[`${String(status)[0]}XX`], answer);
    }
  }

const known = [...differences.keys()].filter((key) => KNOWN.some((pattern) => pattern.test(key)));
for (const [key, count] of [...differences].sort((a, b) => (a[0] < b[0] ? -1 : 1)))
  console.log(`${known.includes(key) ? "known " : ""}${count} × ${key}`);
console.log(
  `${counts.calls} calls: ${counts.requests} bodies sent, ${counts.answers} answered; ${differences.size} differences, ${known.length} of them known. ` +
    `On no described route: ${counts.unknown}; of a type that is not described: ${counts.undescribed}.`,
);
process.exitCode = differences.size > known.length ? 1 : 0;
