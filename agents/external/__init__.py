"""Memory systems of other packages as they are released: one file a package, over that package's own store.

`memgym.agents.structured` has memgym's renditions of the same systems, so that an original and its rendition can be
compared on one task. The package extracts, updates and searches by its own code and its own prompts; what it has
stored after a message is mirrored into the environment's bank by ADD, UPDATE and DELETE
(`memgym.agents.external.store`), so that bytes, deletion and evidence are measured as they are for everybody. None of
them is in `memgym.agents.AGENTS`: each needs a language model and a package of its own.

    pip install 'memgym[mem0,llm,cli]'
    OPENAI_BASE_URL=... memgym evaluate --agent memgym.agents.external.mem0:mem0_package -s dialogue -o results
"""
