"""Many lines as one text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy_backends import _toml_lines
from jhub_kvproxy_backends._toml_lines import Lines

keys = st.integers(0, 30).map(str)


@given(st.lists(st.tuples(keys, st.one_of(st.none(), st.text("xyzé", min_size=1))), max_size=200))
def test_the_text_has_each_line_once(monkeypatch, steps):
    monkeypatch.setattr(_toml_lines, "_BLOCK", 4)
    lines, model = Lines(",\n"), {}
    for key, line in steps:
        if line is None:
            lines.remove(key)
            model.pop(key, None)
        else:
            lines.put(key, f"{key}:{line}")
            model[key] = f"{key}:{line}"
        text = lines.text().decode()
        assert sorted(text.split(",\n") if text else []) == sorted(model.values())
        assert len(lines._blocks) <= 2 + len(model) // 2
