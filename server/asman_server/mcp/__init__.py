"""The MCP door: tools and resources for agents, on the address of every queue (``/q/{queue}/mcp``).

A thin translation at the edge: calls of tools become the requests that REST makes, and no other room but `app` knows
this one. `docs/mcp.md` describes it for its users. Way in: `operations`.
May import: `rest`, `sessions`, `upkeep` and all below, see the layers in `pyproject.toml`.
"""
