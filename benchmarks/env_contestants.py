"""Who is measured by `env_throughput.py`: memgym's control environments, their peers, and the copy limit.

A contestant is plain data, so that it travels to the worker process that measures it; nothing of a peer is
imported here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import product
from typing import Any, Literal

from env_runners import Runner, bare_class, copy_limit, cue_follower, scalar_env, vector_env

from memgym.envs import VECTOR_ENVIRONMENTS

__all__ = ["SIZES", "Contestant", "all_contestants", "missing_modules"]

SIZES = (1024, 4096, 16384, 65536)
SYNC_ENVS = 64

T_MAZE = "memgym/EndlessTMaze-v0"
STUDY = {"num_corridors": 5, "corridor_length": 10}
# Sets of arguments to measure, by name; an environment that is not here is measured with its defaults.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    T_MAZE: {"": STUDY, "uniform": {**STUDY, "length_mode": "uniform"}}
}

# By package: the modules it needs, of which the first registers the environments, and the environments.
SCALAR_PEERS = {
    "popgym": (
        ("popgym",),
        [
            f"popgym-{name}Easy-v0"
            for name in "RepeatPrevious RepeatFirst Autoencode Concentration CountRecall HigherLower".split()
        ],
    ),
    "memory-gym": (
        ("memory_gym", "pygame"),
        "MortarMayhem-Grid-v0 Endless-MortarMayhem-v0 MysteryPath-Grid-v0 "
        "Endless-SearingSpotlights-v0".split(),
    ),
    "minigrid": (("minigrid",), ["MiniGrid-MemoryS11-v0"]),
    "mikasa-base": (("mikasa_base", "dm_control"), ["T-Maze-v0", "MemoryCards-v0"]),
}


@dataclass(frozen=True)
class Contestant:
    """Something to step.

    Attributes:
        name: what the tables call it.
        package: whose it is; the contestants of one package share a worker process.
        num_envs: environments stepped by one call.
        prepare: makes the runner, in the worker process.
        role: ``"base"`` and ``"limit"`` are what the others of the same group are compared with.
        group: contestants of one table: 1 for scalar environments and what is built of them, otherwise
            `num_envs`.
        needs: modules that must be installed.
        backend: of memgym's vector environments.
        autoreset: likewise.
        is_headline: stands for memgym in the table against each peer.
    """

    name: str
    package: str
    num_envs: int
    prepare: Callable[[], Runner]
    role: Literal["ours", "peer", "base", "limit"]
    group: int
    needs: Sequence[str] = ()
    backend: str = ""
    autoreset: str = ""
    is_headline: bool = False

    @property
    def key(self) -> str:
        """Different for each contestant."""
        return f"{self.name} x {self.num_envs}"


def missing_modules(contestant: Contestant) -> list[str]:
    """Modules that the contestant needs and that are not installed."""
    return [name for name in contestant.needs if find_spec(name) is None]


def all_contestants(sizes: Sequence[int] = SIZES) -> list[Contestant]:
    """Every contestant, installed or not, table by table."""
    found = [*our_scalars(), *scalar_peers()]
    for num_envs in sizes:
        found += [*our_vectors(num_envs), *vector_peers(num_envs)]
    return found


# ---------------------------------------------------------------------- one environment


def our_variants() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Id, name of the set of arguments, name for the tables, arguments."""
    for env_id in VECTOR_ENVIRONMENTS:
        for variant, arguments in VARIANTS.get(env_id, {"": {}}).items():
            name = env_id.removesuffix("-v0").replace("/", " ")
            yield env_id, variant, f"{name} {variant}".rstrip(), arguments


def our_scalars() -> Iterator[Contestant]:
    for env_id, _, name, arguments in our_variants():
        forms = {
            "class": partial(bare_class, env_id, arguments),
            "gym.make": partial(scalar_env, "memgym", env_id, arguments),
        }
        for form, prepare in forms.items():
            yield Contestant(f"{name}, {form}", "memgym", 1, prepare, "ours", group=1)


def scalar_peers() -> Iterator[Contestant]:
    prepare = partial(scalar_env, "gymnasium", "CartPole-v1", {})
    yield Contestant("gymnasium CartPole, gym.make", "gymnasium", 1, prepare, "base", group=1)
    yield sync("gymnasium", ("gymnasium",), "CartPole-v1")
    for package, (needs, env_ids) in SCALAR_PEERS.items():
        for env_id in env_ids:
            prepare = partial(scalar_env, needs[0], env_id, {})
            name = f"{peer_name(package, env_id)}, gym.make"
            yield Contestant(name, package, 1, prepare, "peer", group=1, needs=needs)
        if package == "popgym":
            yield sync(package, needs, env_ids[0])


def sync(package: str, needs: Sequence[str], env_id: str) -> Contestant:
    """A peer's environment in Gymnasium's ``SyncVectorEnv``."""
    prepare = partial(vector_env, needs[0], env_id, SYNC_ENVS, "sync", None, {})
    name = f"{peer_name(package, env_id)}, SyncVectorEnv({SYNC_ENVS})"
    return Contestant(name, package, SYNC_ENVS, prepare, "peer", group=1, needs=needs)


def peer_name(package: str, env_id: str) -> str:
    return f"{package} {env_id.removeprefix('popgym-').removeprefix('MiniGrid-').rsplit('-v', 1)[0]}"


# ---------------------------------------------------------------------- many at once


def our_vectors(num_envs: int) -> Iterator[Contestant]:
    switches = list(product(("numpy", "numba"), ("NEXT_STEP", "SAME_STEP"), (True, False)))
    for env_id, variant, name, arguments in our_variants():
        for backend, mode, copy in switches:
            if variant and mode != "NEXT_STEP":
                continue  # the first set of arguments is enough to compare the modes
            given = {**arguments, "backend": backend, "copy": copy}
            prepare = partial(vector_env, "memgym", env_id, num_envs, "vector_entry_point", mode, given)
            is_headline = env_id == T_MAZE and not variant and mode == "NEXT_STEP"
            yield our_vector(name, num_envs, prepare, backend, mode, copy, is_headline)
    for backend, mode, copy in switches:
        if mode == "NEXT_STEP":
            given = {**STUDY, "backend": backend, "copy": copy}
            prepare = partial(cue_follower, T_MAZE, num_envs, given)
            yield our_vector("memgym EndlessTMaze, cue followed", num_envs, prepare, backend, mode, copy)


def our_vector(
    name: str,
    num_envs: int,
    prepare: Callable[[], Runner],
    backend: str,
    mode: str,
    copy: bool,
    is_headline: bool = False,
) -> Contestant:
    return Contestant(
        name=f"{name}, {backend}, {mode}, copy={copy}",
        package="memgym",
        num_envs=num_envs,
        prepare=prepare,
        role="ours",
        group=num_envs,
        needs=("numba",) if backend == "numba" else (),
        backend=backend,
        autoreset=mode,
        is_headline=is_headline,
    )


def vector_peers(num_envs: int) -> Iterator[Contestant]:
    """CartPole, the peers in JAX, and the copy limit."""

    def contestant(
        name: str, package: str, role: Any, prepare: Callable[[], Runner], needs: Sequence[str] = ()
    ) -> Contestant:
        return Contestant(name, package, num_envs, prepare, role, num_envs, needs)

    native = partial(vector_env, "gymnasium", "CartPole-v1", num_envs, "vector_entry_point", None, {})
    yield contestant("gymnasium CartPole, native vector", "gymnasium", "base", native)
    chain = partial(jax_runner, "gymnax_env", "MemoryChain-bsuite", num_envs)
    yield contestant("gymnax MemoryChain, jit+vmap+scan", "gymnax", "peer", chain, ("jax", "gymnax"))
    forms = {
        "batched": "one random call a step, scan",
        "kept": "one random call a step, scan, outputs kept",
        "keyed": "a key for each, vmap+scan",
        "called": "one random call a step, called from Python",
    }
    for form, words in forms.items():
        rules = partial(jax_runner, "t_maze", form, num_envs)
        yield contestant(f"T-Maze rules in JAX, {words}", "jax", "peer", rules, ("jax",))
    yield contestant("copy limit", "memgym", "limit", partial(copy_limit, num_envs))


def jax_runner(function: str, name: str, num_envs: int) -> Runner:
    """Make a runner of `env_jax_runners`, which imports JAX."""
    import env_jax_runners

    return getattr(env_jax_runners, function)(name, num_envs)
