"use strict";
// The case explorer: filters over the index, a list that draws only the rows in view, one case across checkpoints.
(async () => {
  const root = document.getElementById("explorer");
  if (!root) return;
  const sources = [...document.querySelectorAll("script.block")];
  const { element, nodes, completion, difference, marked, block } = TEXTS;
  const ROW = 58;
  const SYMBOLS = { 2: "●", 1: "◐", 0: "○", u: "?", "-": "·" };
  const WORDS = { 2: "same disease", 1: "accepted hypernym", 0: "wrong", u: "unscored", "-": "not asked" };
  const KINDS = { 2: "o2", 1: "o1", 0: "o0", u: "ou", "-": "on" };

  async function unpack(source) {
    const raw = atob(source.textContent);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  }

  if (typeof DecompressionStream === "undefined") {
    root.append(element("p", "note", "This browser cannot unpack the cases (no DecompressionStream): a newer one can."));
    return;
  }
  const index = await unpack(sources[0]);
  const count = index.ids.length;
  const last = index.checkpoints.length - 1;
  const several = new Set(index.checkpoints.map((c) => c.run)).size > 1;
  const names = index.checkpoints.map((c) => `${several ? `${c.run}, ` : ""}step ${c.step.toLocaleString("en")}`);
  const place = new Map(index.ids.map((id, i) => [id, i]));
  const brief = index.ids.map((id, i) => [id, index.diseases[i], ...index.answers.map((column) => column[i] || "")].join("\n").toLowerCase());
  const full = new Array(count);
  const state = { shown: [], current: -1, left: 0, right: last, sample: 0, compare: last > 0 };

  // ---- texts, unpacked when needed -------------------------------------------------------------------------
  const kept = new Map();
  function blockOf(i) {
    const number = Math.floor(i / index.block);
    if (!kept.has(number)) {
      kept.set(number, unpack(sources[number + 1]));
      if (kept.size > 6) kept.delete(kept.keys().next().value);
    }
    return kept.get(number);
  }

  async function readTexts() {
    for (let number = 0; number + 1 < sources.length; number += 1) {
      const rows = await unpack(sources[number + 1]);
      rows.forEach(([about, cells], offset) => {
        const texts = [about.text || "", ...cells.flat().map((cell) => cell[5] || "")];
        full[number * index.block + offset] = texts.join("\n").toLowerCase();
      });
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (search.value.trim()) filter();
  }

  // ---- filters ---------------------------------------------------------------------------------------------
  const OUTCOMES = {
    any: ["any outcome", () => true],
    right: ["right at the last step", (s) => s.at(-1) === "2"],
    wrong: ["not right at the last step", (s) => s.at(-1) !== "2"],
    gained: ["learnt: wrong first, right last", (s) => s[0] !== "2" && s.at(-1) === "2"],
    lost: ["lost: right first, wrong last", (s) => s[0] === "2" && s.at(-1) !== "2"],
    always: ["always right", (s) => /^2+$/.test(s)],
    never: ["never right", (s) => !s.includes("2")],
    unscored: ["unscored somewhere", (s) => s.includes("u")],
  };
  const labelled = (text, control) => element("label", "", text, control);
  function choice(options) {
    const select = element("select", "");
    for (const [value, text] of options) { const option = element("option", "", text); option.value = value; select.append(option); }
    return select;
  }
  const search = element("input", "");
  search.type = "search";
  search.placeholder = index.redacted ? "disease" : "words in ids, diseases, answers, texts";
  const outcome = choice(Object.entries(OUTCOMES).map(([key, [text]]) => [key, text]));
  const behaviour = choice([["", "any behaviour"], ...index.flags.map(([, label], bit) => [String(bit), label])]);
  const disease = choice([["", "any disease"], ...[...new Set(index.diseases)].sort().map((name) => [name, name])]);
  const where = choice([...names.entries()].map(([i, name]) => [String(i), name]));
  where.value = String(last);
  const tally = element("output", "count");
  const trajectory = index.ids.map((_, i) => {
    const run = index.checkpoints[last].run;
    return index.outcomes.filter((_, c) => index.checkpoints[c].run === run).map((column) => column[i]).join("");
  });

  function filter() {
    const words = search.value.trim().toLowerCase();
    const accept = OUTCOMES[outcome.value][1];
    const bit = behaviour.value === "" ? 0 : 1 << Number(behaviour.value);
    const flagged = index.flagged[Number(where.value)];
    state.shown = [];
    for (let i = 0; i < count; i += 1) {
      if (bit && !(flagged[i] & bit)) continue;
      if (disease.value && index.diseases[i] !== disease.value) continue;
      if (!accept(trajectory[i])) continue;
      if (words && !brief[i].includes(words) && !(full[i] || "").includes(words)) continue;
      state.shown.push(i);
    }
    tally.textContent = `${state.shown.length.toLocaleString("en")} of ${count.toLocaleString("en")} cases`;
    all.style.height = `${state.shown.length * ROW}px`;
    list.scrollTop = 0;
    drawList();
  }

  // ---- the list --------------------------------------------------------------------------------------------
  const all = element("div", "all");
  all.setAttribute("role", "presentation");
  const list = element("div", "list", all);
  list.tabIndex = 0;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Cases");

  function drawList() {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const to = Math.min(state.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
    const rows = [];
    for (let at = from; at < to; at += 1) rows.push(row(state.shown[at], at));
    all.replaceChildren(...rows);
    const active = document.getElementById(`case-row-${state.current}`);
    if (active) list.setAttribute("aria-activedescendant", active.id);
    else list.removeAttribute("aria-activedescendant");
  }

  function row(i, at) {
    const strip = element("span", "strip");
    strip.setAttribute("aria-hidden", "true");
    index.outcomes.forEach((column) => strip.append(element("span", KINDS[column[i]], SYMBOLS[column[i]])));
    const name = element("span", "name", ...nodes(index.diseases[i] || "unknown"));
    const made = element("div", "row", name, element("span", "under", element("span", "id", ...nodes(index.ids[i])), strip,
      element("span", "unseen", `, last: ${WORDS[index.outcomes[last][i]]}`)));
    made.id = `case-row-${i}`;
    made.style.top = `${at * ROW}px`;
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", String(i === state.current));
    made.setAttribute("aria-posinset", String(at + 1));
    made.setAttribute("aria-setsize", String(state.shown.length));
    made.addEventListener("click", () => show(i));
    return made;
  }

  function move(by) {
    if (!state.shown.length) return;
    const at = state.shown.indexOf(state.current);
    const to = Math.min(state.shown.length - 1, Math.max(0, at < 0 ? 0 : at + by));
    reveal(to);
    show(state.shown[to]);
  }

  function reveal(at) {
    if (at * ROW < list.scrollTop) list.scrollTop = at * ROW;
    if ((at + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * ROW - list.clientHeight;
  }
  const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  list.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    move(Math.max(-count, Math.min(count, STEPS[event.key])));
  });
  list.addEventListener("scroll", drawList, { passive: true });

  // ---- one case --------------------------------------------------------------------------------------------
  const detail = element("div", "detail");

  async function show(i, keepHash) {
    state.current = i;
    state.sample = 0;
    drawList();
    const rows = await blockOf(i);
    if (state.current !== i) return;
    drawCase(i, ...rows[i % index.block]);
    if (!keepHash) location.replace(`#case=${encodeURIComponent(index.ids[i])}`);
  }

  function drawCase(i, about, cells) {
    const findings = (about.findings || []).filter((f) => !f[2]).map((f) => f[1]);
    const redraw = () => drawCase(i, about, cells);
    const title = element("h3", "", ...nodes(index.diseases[i] || "unknown"));
    detail.replaceChildren(title, facts(i, about), ...caseText(about, findings), steps(i, cells, redraw), answers(cells, findings, redraw));
  }

  function facts(i, about) {
    const bar = element("div", "bar");
    const link = element("a", "", "Link to this case");
    link.href = `#case=${encodeURIComponent(index.ids[i])}`;
    const said = [index.ids[i], ...(about.ids || []), about.age, about.sex, about.date, about.source].filter(Boolean);
    for (const text of said) bar.append(element("span", "", ...nodes(String(text))));
    if ((about.names || []).length > 1) bar.append(element("span", "", ...nodes(`also accepted: ${about.names.slice(1).join("; ")}`)));
    if ((about.leaks || []).length) bar.append(element("span", "chip o1", "the text names the answer"));
    bar.append(link);
    return bar;
  }

  function caseText(about, findings) {
    if (!about.text) return [];
    const box = element("details", "", element("summary", "", "Case text"), block(about.text, (text) => marked(text, findings)));
    box.open = true;
    return [box];
  }

  function steps(i, cells, redraw) {
    const head = element("tr", "", ...["Checkpoint", "Outcome", "Answer", "Why", "Tokens", "Show"].map((text) => {
      const cell = element("th", text === "Tokens" ? "num" : "", text);
      cell.scope = "col";
      return cell;
    }));
    const body = element("tbody", "");
    names.forEach((name, c) => { if (cells[c].length) body.append(stepRow(i, c, cells[c], redraw)); });
    const scroll = element("div", "scroll", element("table", "steps", element("thead", "", head), body));
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "The case at every checkpoint");
    return scroll;
  }

  function stepRow(i, c, samples, redraw) {
    const outcome_ = index.outcomes[c][i];
    const [, tokens, , verdicts] = samples[0];
    const verdict = verdicts[index.judges.indexOf(index.judge)] || [];
    const header = element("th", "", names[c]);
    header.scope = "row";
    const pick = element("button", "", state.right === c ? "shown" : "show");
    pick.type = "button";
    pick.setAttribute("aria-label", `${pick.textContent}: ${names[c]}`);
    pick.addEventListener("click", () => {
      const at = [...detail.querySelectorAll(".steps button")].indexOf(pick);
      state.right = c;
      redraw();
      detail.querySelectorAll(".steps button")[at].focus();
    });
    const line = element("tr", "", header,
      element("td", "", element("span", `chip ${KINDS[outcome_]}`, `${SYMBOLS[outcome_]} ${WORDS[outcome_]}`)),
      element("td", "", ...nodes(index.answers.length ? index.answers[c][i] || "none" : "left out")),
      element("td", "", ...nodes(why(verdict))),
      element("td", "num", tokens.toLocaleString("en")), element("td", "", pick));
    line.setAttribute("aria-current", String(state.right === c));
    return line;
  }

  // The rule that decided, what the answer was taken for, and its entry in the catalogue.
  const why = ([, , rule, reason, matched]) => [rule, reason, matched].filter(Boolean).join(" · ") || "–";

  function answers(cells, findings, redraw) {
    const pair = element("div", "pair");
    const both = state.compare && cells[state.left].length && cells[state.right].length && state.left !== state.right;
    const pick = (c) => cells[c][Math.min(state.sample, cells[c].length - 1)];
    const changes = both && !index.redacted ? difference(pick(state.left)[5] || "", pick(state.right)[5] || "") : null;
    if (both) pair.append(answer(pick(state.left), state.left, findings, changes && changes.removed, "del"));
    if (cells[state.right].length) pair.append(answer(pick(state.right), state.right, findings, changes && changes.added, "ins"));
    return element("div", "", controls(cells, redraw), pair);
  }

  function controls(cells, redraw) {
    const left = choice([["", "nothing"], ...names.map((name, c) => [String(c), name]).filter(([c]) => cells[c].length)]);
    left.value = state.compare ? String(state.left) : "";
    left.addEventListener("change", () => { state.compare = left.value !== ""; if (state.compare) state.left = Number(left.value); redraw(); });
    const bar = element("div", "bar", labelled("Compare with ", left));
    const samples = Math.max(...cells.map((column) => column.length));
    if (samples > 1) {
      const longest = cells.find((column) => column.length === samples);
      const sample = choice(longest.map(([name], n) => [String(n), name]));
      sample.value = String(state.sample);
      sample.addEventListener("change", () => { state.sample = Number(sample.value); redraw(); });
      bar.append(labelled("Sample ", sample));
    }
    return bar;
  }

  function answer([sample, tokens, finish, verdicts, numbers, text, error, foreign], c, findings, changed, tag) {
    const box = element("div", "", element("h4", "", `${names[c]}, ${sample}`));
    index.judges.forEach((judge, j) => {
      const v = verdicts[j];
      if (v) box.append(element("span", `chip ${KINDS[v[0] === null ? "u" : v[0]]}`, ...nodes(`${judge}: ${v[0] === null ? `unscored, ${v[3]}` : `${WORDS[v[0]]}, score ${v[1]} (${v[2]})`}`)));
    });
    box.append(element("span", "chip", `${tokens} tokens${finish === "length" ? ", cut by the limit" : ""}`));
    if (error) box.append(element("p", "note", ...nodes(`No answer: ${error}`)));
    if (text !== null) box.append(block(text, (shown) => completion(shown, findings, foreign, changed, tag)));
    const measured = index.numbers.map(([key, label], n) => [key, label, numbers[n]]).filter(([, , value]) => value !== null);
    const parts = measured.filter(([key]) => key.startsWith("reward/"));
    const others = measured.filter(([key]) => !key.startsWith("reward/"));
    if (parts.length) box.append(element("p", "sub", "Parts of the reward"), figures(parts.map(([, label, value]) => [label.replace("reward: ", ""), value])));
    if (others.length) box.append(element("details", "", element("summary", "", "Measures"), figures(others.map(([, label, value]) => [label, value]))));
    return box;
  }

  function figures(pairs) {
    const list = element("dl", "parts");
    for (const [name, value] of pairs) list.append(element("div", "", element("dt", "", name), element("dd", "", String(value))));
    return list;
  }

  // ---- put together ----------------------------------------------------------------------------------------
  const filters = element("div", "filters", labelled("Search", search), labelled("Outcome", outcome), labelled("Disease", disease));
  if (index.flags.length) filters.append(labelled("Behaviour", behaviour), labelled("at", where));
  filters.setAttribute("role", "search");
  filters.setAttribute("aria-label", "Filter the cases");
  root.append(filters, tally, element("div", "panes", list, detail));
  for (const control of [outcome, behaviour, disease, where]) control.addEventListener("change", filter);
  search.addEventListener("input", filter);

  function fromHash() {
    const found = /^#case=(.*)$/.exec(location.hash);
    if (!found) return false;
    let id = found[1];
    try { id = decodeURIComponent(id); } catch { /* a hand-written link: take it as it stands */ }
    const i = place.get(id);
    if (i === undefined) { detail.replaceChildren(element("p", "note", ...nodes(`No case is called ${id}.`))); return true; }
    if (i !== state.current) {
      if (state.shown.includes(i)) reveal(state.shown.indexOf(i));
      show(i, true).then(() => root.scrollIntoView());
    }
    return true;
  }
  window.addEventListener("hashchange", fromHash);
  filter();
  if (!fromHash() && count) show(state.shown[0], true);
  if (!index.redacted) setTimeout(readTexts, 300);
})();
