"""Published memory systems as policies: one file a system, over the bank that every agent has.

A system is a `memgym.memory.policy.MemoryPolicy`. It plays tasks with the core operations, and drives a store in
an application (`memgym.memory.store.MemoryStore`). What it needs beside the bank (vectors, links, keys) is in a
`Ledger`, whose bytes count. What needs understanding is a typed step (`memgym.llm.Step`), carried out by rules or by
a language model, as the card says. Where a budget is smaller than what a system would keep, its entries go in the
order that the card names.
"""
