"""What the model is asked: templates, and the one substitution that puts a case into one.

A template holds ``{case}`` once. Substitution cuts the template there and joins, so that nothing inside the
case text is ever expanded, whatever braces it holds.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path

from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.types import Case, Chat

PLACEHOLDER = "{case}"

DIAGNOSIS = """\
You are a physician who is consulted on patients with rare diseases. Read the case report below and \
work out the one disease that best explains it.

First reason inside <think> and </think>: weigh the findings that matter, for and against the \
diseases that come into question. Then give one final diagnosis inside <answer> and </answer>: the \
name of a single disease, as specific as the findings allow, with no explanation beside it. Write \
nothing outside these two blocks.

The form, shown on a patient with a runny nose:
<think>Three days of sneezing and a sore throat without fever, and colleagues with the same \
complaint, point to a viral infection of the upper airways.</think>
<answer>Common cold</answer>

Case report:
{case}
"""

TOP5 = """\
You are a physician who is consulted on patients with rare diseases. Read the case report below and \
work out which diseases could best explain it.

First reason inside <think> and </think>: weigh the findings that matter, for and against the \
diseases that come into question. Then give five diagnoses inside <answer> and </answer>, the most \
likely first, one a line, numbered, each the name of a single disease with no explanation beside it. \
Write nothing outside these two blocks.

The form, shown on a patient with a runny nose:
<think>Three days of sneezing and a sore throat without fever, and colleagues with the same \
complaint, point to a viral infection of the upper airways.</think>
<answer>
1. Common cold
2. Hay fever
3. Influenza
4. Acute sinusitis
5. Streptococcal sore throat
</answer>

Case report:
{case}
"""

SHORT = """\
{case}

Reason in <think> </think>, then name the disease in <answer> </answer>.
"""

TEMPLATES: dict[str, str] = {"diagnosis": DIAGNOSIS, "top5": TOP5, "short": SHORT}

_BRACED_WORD = re.compile(r"\{[ \t]*+[A-Za-z_]\w*+[ \t]*+\}")


def build_chat(case: Case, template: str = DIAGNOSIS) -> Chat:
    """One user message that puts ``case.text`` to the model.

    Raises:
        InputError: the template does not hold ``{case}`` exactly once, or holds another ``{word}``.
    """
    return [{"role": "user", "content": fill(template, case.text)}]


def fill(template: str, text: str) -> str:
    """``template`` with ``text`` in the place of ``{case}``, verbatim."""
    before, after = check_template(template).split(PLACEHOLDER)
    return f"{before}{text}{after}"


def load_template(name_or_path: str) -> str:
    """A template by name ("diagnosis", "top5", "short") or from a UTF-8 file of the user's.

    Raises:
        InputError: neither a name nor a file, not UTF-8, or a fault in its placeholders.
    """
    if name_or_path in TEMPLATES:
        return TEMPLATES[name_or_path]
    path = Path(name_or_path)
    if not os.path.isfile(path):  # unlike Path.is_file, False for a name that no file can have
        mend = f"Give the path of a text file, or a name. {nearest(name_or_path, list(TEMPLATES))}"
        raise InputError(f"no template of this name and no such file: {name_or_path!r}", mend=mend)
    try:
        return check_template(path.read_text(encoding="utf-8-sig"), where=path)
    except UnicodeDecodeError as error:
        what = f"not UTF-8 ({error.reason} at byte {error.start})"
        raise InputError(what, where=path, mend="Convert the file to UTF-8.") from error


def check_template(template: str, where: Path | None = None) -> str:
    """The template itself, once it is known to hold ``{case}`` exactly once and no other placeholder."""
    others = [word for word in _BRACED_WORD.findall(template) if word != PLACEHOLDER]
    if others:
        mend = f"Only {PLACEHOLDER} is known; it is replaced by the case text."
        raise InputError(f"unknown placeholder {others[0]} in the template", where=where, mend=mend)
    count = template.count(PLACEHOLDER)
    if count != 1:
        mend = f"Write {PLACEHOLDER} once, where the case text is to stand."
        raise InputError(f"the template holds {PLACEHOLDER} {count} times", where=where, mend=mend)
    return template
