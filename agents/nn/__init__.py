"""Neural memories: cells behind one interface, the blocks that hold them, and their registry.

>>> from memgym.agents.nn import make_memory
>>> memory = make_memory("gru", d_in=8, d_out=16, hidden=32)
>>> memory.state_nbytes()
128

Adding one: a file here with a class after `MemoryModule`, and one line in `MODULES`; from another package, an
entry point in the group ``memgym.modules``. `memgym.agents.nn.checks.check_memory_module` tests its promises. Its
constructor may draw numbers but not look at them, as `memgym.agents.nn.size` builds it without any.
"""

from typing import TYPE_CHECKING, Any

from memgym.registry import Registry

if TYPE_CHECKING:
    from memgym.agents.nn.module import MemoryModule

__all__ = ["MODULES", "list_memories", "make_memory"]

MODULES = Registry(
    "memory module",
    {
        "mlp": "memgym.agents.nn.recurrent:MLP",
        "rnn": "memgym.agents.nn.recurrent:RNN",
        "gru": "memgym.agents.nn.recurrent:GRU",
        "lstm": "memgym.agents.nn.recurrent:LSTM",
        "multiplicative-lstm": "memgym.agents.nn.multiplicative:MultiplicativeLSTM",
        "mingru": "memgym.agents.nn.mingru:MinGRU",
        "minlstm": "memgym.agents.nn.mingru:MinLSTM",
        "mlgru": "memgym.agents.nn.mlgru:MLGRU",
        "gtrxl": "memgym.agents.nn.gtrxl:GTrXL",
        "transformer": "memgym.agents.nn.transformer:Transformer",
        "transformer-elastic": "memgym.agents.nn.elastic_cache:ElasticTransformer",
        "transformer-pruned": "memgym.agents.nn.kv_cache:PrunedTransformer",
        "transformer-bfp": "memgym.agents.nn.kv_cache:BFPTransformer",
        "cmr": "memgym.agents.nn.cmr:CMR",
        "linattn": "memgym.agents.nn.delta_net:LinearAttention",
        "delta": "memgym.agents.nn.delta_net:DeltaNet",
        "gdn": "memgym.agents.nn.delta_net:GatedDeltaNet",
        "mom": "memgym.agents.nn.mom:MixtureOfMemories",
        "mlstm": "memgym.agents.nn.xlstm:MLSTM",
        "slstm": "memgym.agents.nn.xlstm:SLSTM",
        "s4": "memgym.agents.nn.s4:S4",
        "s4d": "memgym.agents.nn.s4d:S4D",
        "s5": "memgym.agents.nn.s5:S5",
        "lru": "memgym.agents.nn.lru:LRU",
        "mamba": "memgym.agents.nn.mamba:Mamba",
        "ffm": "memgym.agents.nn.ffm:FFM",
        "shm": "memgym.agents.nn.shm:SHM",
        "slots": "memgym.agents.nn.slots:SlotMemory",
        "tracker": "memgym.agents.nn.tracker:TrackingSlots",
        "bmojo": "memgym.agents.nn.bmojo:BMojo",
        "engram": "memgym.agents.nn.engram:EngramMemory",
        "sparsey": "memgym.agents.nn.sparsey:Sparsey",
    },
    group="memgym.modules",
)


def make_memory(name: str, d_in: int, d_out: int, **config: Any) -> "MemoryModule":
    """Build a memory by registered name or ``"module:attr"``; `config` goes to its constructor.

    Raises:
        UnknownName: no such memory; the message suggests near matches.
        ValueError: an argument that it does not take, or a value outside its range.
    """
    cls = MODULES.resolve(name)
    try:
        return cls(d_in, d_out, **config)
    except TypeError as error:
        raise ValueError(f"memory {name!r}: {error}.") from error


def list_memories(*, family: str | None = None, erase: str | None = None) -> list[str]:
    """Names of the registered memories, all or those of one family or one way to erase (see `MemorySpec`)."""
    names = []
    for name in MODULES:
        spec = MODULES.resolve(name).spec
        if family in (None, spec.family) and erase in (None, spec.erase):
            names.append(name)
    return names
