"""Tests with many hubs in one store: none may touch another's table."""

from __future__ import annotations

from ._kit import Kit, Suite, asynchronous, batch_of

KEYS = ("routes/a", "traefik/http/routers/a/rule", "lease-like", "routes/lease")


def nasty_prefixes(prefix: str) -> list[str]:
    """Prefixes that a careless driver confuses with `prefix` or its keys, or takes for a pattern, a path or a URL."""
    head, tail = prefix[:1], prefix[1:]
    return [
        prefix,
        *(
            prefix + end
            for end in ("2", "/", "//", "/traefik", "/routes", "/lease", "/..", ".", "-", " ", "é", "e\u0301")
        ),
        *(prefix + end for end in ("%2F", "%2Ftraefik", "%", "#", "?", "*", "{}", "\\", '"', "\n")),
        *(f"../{prefix}", f"./{prefix}", f"/{prefix}", f"a/../{prefix}"),
        *(f"?{tail}", f"*{tail}", f"[{head}]{tail}", f"[a-z]{tail}", f"{head}?{tail[1:]}", f"{head}*"),
        *(prefix.upper(), prefix.replace("-", "_"), prefix[:-1]),
    ]


class PrefixTests(Suite):
    """Prefixes side by side."""

    @asynchronous
    async def test_prefixes_are_separate(self, kit: Kit) -> None:
        prefixes = list(dict.fromkeys(filter(kit.can_hold, nasty_prefixes(kit.prefix))))
        tables = {prefix: dict.fromkeys(KEYS, prefix) for prefix in prefixes}
        backends = {prefix: await kit.opened(prefix) for prefix in prefixes}
        for prefix, backend in backends.items():
            await backend.apply(batch_of(prefix, *KEYS))
        for deleted in (None, *prefixes):
            if deleted is not None:
                await kit.fill(dict.fromkeys(tables[deleted]), backends[deleted])
                tables[deleted] = {}
            for prefix, backend in backends.items():
                assert (await backend.load()).keys == tables[prefix], (
                    f"Each prefix has a table of its own, but {prefix!r} lacks keys or has those of another, "
                    + ("with all tables filled." if deleted is None else f"after all keys of {deleted!r} were deleted.")
                )
            if deleted in (None, kit.prefix):
                for prefix, backend in backends.items():
                    await kit.holds(tables[prefix], f"The table of {prefix!r} must be its own.", backend)
