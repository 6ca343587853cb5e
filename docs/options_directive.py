"""The directive ``options``: a group of options with types, defaults and help, as ``jhub-kvproxy options`` has them.

```{options} kvproxy
backend_class
prefix
```
"""

from __future__ import annotations

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from jhub_kvproxy.cli.options import Option, find_class, literal, options_of


class Options(SphinxDirective):
    """Its argument is what ``jhub-kvproxy options`` takes; its content are names of options, in the page's order."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[Node]:
        found = {option.name.rpartition(".")[2]: option for option in options_of(find_class(self.arguments[0]))}
        return self.parse_text_to_nodes("\n".join(map(described, (found[name] for name in self.content))))


def described(option: Option) -> str:
    """`option` in Markdown: help texts are that already."""
    default = default_of(option)
    facts = [f":type: {option.type}", *([f":default: {default}"] if default else [])]
    return "\n".join([f"````{{confval}} {option.name}", *facts, "", option.help, "````"])


def default_of(option: Option) -> str:
    """Empty if it is no constant: then the help says what the default is."""
    if option.environment:
        return f"from `{option.environment}`"
    if option.default is None or (not option.default and "Default:" in option.help):
        return ""
    return f"`{literal(option.default)}`"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("options", Options)
    return {"parallel_read_safe": True}
