"use strict";
// Texts of cases and models -> DOM nodes: parts of a completion, highlighted words, differences. Never markup.
const TEXTS = (() => {
  const MOST_SHOWN = 20000;
  const MOST_COMPARED = 1500;
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]/u;

  function picture(char) {
    const code = char.codePointAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  }

  // A text as nodes; control and direction characters become visible pictures.
  function nodes(text) {
    if (!HIDDEN.test(text)) return [text];
    const out = [];
    let run = "";
    for (const char of text) {
      if (!HIDDEN.test(char)) { run += char; continue; }
      out.push(run, element("span", "picture", picture(char)));
      run = "";
    }
    return [...out, run];
  }

  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  // [{part, text, tag}] in order; part is before, think, between, answer or after.
  function parts(text) {
    const tags = /<(\/?)(think|answer)>/gi;
    const out = [];
    const first = /<(\/?)(think|answer)>/i.exec(text);
    let part = first && first[1] && first[2].toLowerCase() === "think" ? "think" : "before";
    let from = 0;
    for (let tag = tags.exec(text); tag; tag = tags.exec(text)) {
      if (tag.index > from) out.push({ part, text: text.slice(from, tag.index) });
      const name = tag[2].toLowerCase();
      out.push({ part: name, text: tag[0], tag: true });
      part = tag[1] ? (name === "think" ? "between" : "after") : name;
      from = tag.index + tag[0].length;
    }
    if (from < text.length) out.push({ part, text: text.slice(from) });
    return out;
  }

  // Ranges [start, end) of whole words of `terms` in `text`, case apart, not overlapping.
  function ranges(text, terms) {
    const lower = text.toLowerCase();
    const found = [];
    if (lower.length !== text.length) return found;
    for (const term of terms) {
      const needle = term.toLowerCase();
      if (needle.length < 3) continue;
      for (let at = lower.indexOf(needle); at >= 0; at = lower.indexOf(needle, at + needle.length)) {
        const end = at + needle.length;
        if (!isWord(lower[at - 1]) && !isWord(lower[end])) found.push([at, end]);
      }
    }
    found.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    let last = -1;
    return found.filter(([start, end]) => start >= last && (last = end, true));
  }

  const isWord = (char) => char !== undefined && /[\p{L}\p{N}]/u.test(char);

  // `marks` are ranges [start, end, class] in order, not overlapping.
  function withMarks(text, marks) {
    const out = [];
    let from = 0;
    for (const [start, end, className] of marks) {
      out.push(...nodes(text.slice(from, start)), element("mark", className, ...nodes(text.slice(start, end))));
      from = end;
    }
    return [...out, ...nodes(text.slice(from))];
  }

  const marked = (text, terms) => withMarks(text, ranges(text, terms).map(([start, end]) => [start, end, ""]));

  // Marks of the findings and of the stretches in another language, for the piece of a text that begins at `offset`.
  function allMarks(text, terms, foreign, offset) {
    const other = foreign.map(([start, end]) => [Math.max(0, start - offset), Math.min(text.length, end - offset), "foreign"])
      .filter(([start, end]) => start < end);
    const free = ranges(text, terms).filter(([start, end]) => other.every((o) => end <= o[0] || start >= o[1]));
    return [...other, ...free.map(([start, end]) => [start, end, ""])].sort((a, b) => a[0] - b[0]);
  }

  // A completion with its parts told apart; `changed` (a set of word numbers) is drawn with `tag` (ins or del).
  function completion(text, terms, foreign, changed, tag) {
    let word = 0, offset = 0;
    return parts(text).map((piece) => {
      const begins = offset;
      offset += piece.text.length;
      if (piece.tag) return element("span", "tagged", piece.text);
      const span = element("span", `part-${piece.part}`);
      if (!changed) { span.append(...withMarks(piece.text, allMarks(piece.text, terms, foreign, begins))); return span; }
      const marks = allMarks(piece.text, terms, foreign, begins);
      let at = 0;
      for (const token of piece.text.split(/(\s+)/u)) {
        const end = at + token.length;
        const mark = marks.find(([from, to]) => from < end && to > at);
        const shown = mark ? [element("mark", mark[2], ...nodes(token))] : nodes(token);
        at = end;
        if (!token.trim()) { span.append(...shown); continue; }
        span.append(...(changed.has(word) ? [element(tag, "", ...shown)] : shown));
        word += 1;
      }
      return span;
    });
  }

  const words = (text) => parts(text).filter((p) => !p.tag).flatMap((p) => p.text.split(/\s+/u).filter(Boolean));

  // Numbers of the words of a and b outside their longest common subsequence; null where too long to compare.
  function difference(a, b) {
    const left = words(a), right = words(b);
    if (left.length > MOST_COMPARED || right.length > MOST_COMPARED) return null;
    const width = right.length + 1;
    const best = new Uint16Array((left.length + 1) * width);
    for (let i = left.length - 1; i >= 0; i -= 1)
      for (let j = right.length - 1; j >= 0; j -= 1)
        best[i * width + j] = left[i] === right[j] ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    const removed = new Set(left.keys()), added = new Set(right.keys());
    for (let i = 0, j = 0; i < left.length && j < right.length;) {
      if (left[i] === right[j]) { removed.delete(i++); added.delete(j++); }
      else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i += 1;
      else j += 1;
    }
    return { removed, added };
  }

  // A block of text that shows its beginning and, when asked, all of it.
  function block(text, fill) {
    const box = element("div", "text");
    box.dir = "auto";
    box.tabIndex = 0;
    if (text.length <= MOST_SHOWN) { box.append(...fill(text)); return box; }
    box.append(...fill(text.slice(0, MOST_SHOWN)), "… ");
    const more = element("button", "", `Show all ${text.length.toLocaleString("en")} characters`);
    more.type = "button";
    more.addEventListener("click", () => box.replaceChildren(...nodes(text)));
    box.append(more);
    return box;
  }

  return { nodes, element, parts, marked, completion, difference, block };
})();
