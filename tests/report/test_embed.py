import base64
import gzip
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.report import embed

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(values)
def test_script_json_is_the_value_without_any_character_that_could_end_the_element(value: object) -> None:
    text = str(embed.script_json(value))
    assert not re.search(r"[<>&\u2028\u2029]", text)
    assert text.isascii()
    if "Infinity" not in text:
        assert json.loads(text) == embed.plain(value)


def test_script_json_cannot_be_closed_from_within() -> None:
    text = str(embed.script_json({"</script><script>alert(1)</script>": "<!--<script>"}))
    assert "</" not in text
    assert "<!--" not in text
    assert json.loads(text) == {"</script><script>alert(1)</script>": "<!--<script>"}


def test_numbers_that_are_not_finite_become_null() -> None:
    assert str(embed.script_json([float("nan"), float("inf"), 1.5])) == "[null,null,1.5]"


def test_packed_is_base64_of_gzip_and_the_same_for_the_same_value() -> None:
    value = {"text": "</script>\x00 – \u202e"}
    made = embed.packed(value)
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", made)
    assert json.loads(gzip.decompress(base64.b64decode(made))) == value
    assert embed.packed(value) == made


def test_a_lone_surrogate_neither_raises_nor_stays() -> None:
    assert json.loads(gzip.decompress(base64.b64decode(embed.packed("a\ud800b")))) == "a?b"


def test_policy_allows_exactly_the_given_texts() -> None:
    policy = embed.policy(["alert(1)"], ["p{}"])
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='" in policy  # openssl dgst -sha256
    assert "unsafe" not in policy
    assert "http" not in policy


def test_no_vendored_or_own_script_could_end_its_element() -> None:
    for name in embed.SCRIPTS:
        assert "</script" not in embed.asset(name).lower()
    assert "</style" not in embed.asset("report.css").lower()


def test_vendored_libraries_come_with_their_licences() -> None:
    for name in ("d3", "plot"):
        assert "Permission to use, copy, modify" in embed.asset(f"vendor/{name}.LICENSE")
