"""Layouts of a job that must not change its answers, and the options that ask for them."""

# ranks 0 is a plain process without a launcher. The first layout is the one that all are compared with. A layout takes the kernels that it
# prefers if the CPU has them.
LAYOUTS = [
    dict(ranks=0),
    dict(ranks=1, threads=2),
    dict(ranks=2),
    dict(ranks=2, threads=2, batch=7, seqs=3),
    dict(ranks=3, shard=1),
    dict(ranks=3, shard=100, batch=64, seqs=1),
    dict(ranks=4, domain=2),
    dict(ranks=4, domain="auto", per_node=2, seqs=7),
    dict(ranks=4, domain="node", per_node=2, shard=3),
    dict(ranks=4, domain=1, batch=33),
    dict(ranks=4, domain=1, memory="off"),
    dict(ranks=3, memory="required", threads=2),
    dict(ranks=4, domain="world", per_node=3, memory="off", micro=2),
    dict(ranks=4, domain="node", per_node=3, seqs=5, prefer="amx"),
    dict(ranks=4, domain="world", per_node=2, micro=2, batch=50),
    dict(ranks=4, domain="world", per_node=1, seqs=2),
    dict(ranks=4, domain="world", per_node=3, threads=2),
    dict(ranks=2, micro=2),
    dict(ranks=3, micro=2, batch=16, seqs=16, prefer="avx512_bf16"),
    dict(ranks=1, kv=256),
    dict(ranks=2, kv=320, seqs=16),
    dict(ranks=2, prefix="off"),
    dict(ranks=0, isa="plain"),
    dict(ranks=2, isa="avx2", threads=2),
    dict(ranks=2, isa="plain", micro=2, shard=2),
    dict(ranks=4, isa="avx512", batch=1, seqs=1),
]
# Each kind of difference once, for most families.
FEW_LAYOUTS = [
    dict(ranks=0),
    dict(ranks=1, kv=256, threads=2),
    dict(ranks=2, isa="avx2", batch=7, seqs=3),
    dict(ranks=3, domain="world", micro=2, batch=64, per_node=2, prefer="avx512_bf16"),
    dict(ranks=4, domain=2, isa="plain", shard=3),
    dict(ranks=2, isa="avx512", micro=2, batch=33, threads=2, memory="off"),
]
# Pretended nodes: 2 x 2, 4 x 1 and 3 + 1 ranks.
NODE_LAYOUTS = [
    dict(ranks=0),
    dict(ranks=4, domain="world", per_node=2, micro=2, batch=50),
    dict(ranks=4, domain="world", per_node=1, isa="avx2"),
    dict(ranks=4, domain="world", per_node=3, micro=2),
    # Copies of experts: few, as many as there are experts, and most of them everywhere.
    dict(ranks=4, domain="world", per_node=2, redundant=3),
    dict(ranks=4, domain="world", per_node=1, redundant=4, micro=2),
    dict(ranks=4, domain="world", per_node=1, redundant=11, batch=33),
    dict(ranks=4, domain="world", per_node=3, redundant=4),
    dict(ranks=4, domain="world", memory="off", redundant=5, seqs=3),
    dict(ranks=4, domain=2, per_node=1, redundant=2),
]
# For the arithmetic int8, whose bodies and rounding are its own.
INT8_LAYOUTS = [
    dict(ranks=0),
    dict(ranks=1, isa="plain", threads=2),
    dict(ranks=2, isa="avx2", batch=7, seqs=3),
    dict(ranks=3, isa="avx512", micro=2, batch=64, shard=3),
    dict(ranks=2, prefer="amx", threads=2, domain=1, memory="off"),
]
KEYS = {"threads": "parallel.threads_per_rank", "batch": "parallel.max_num_batched_tokens",
        "seqs": "parallel.max_num_seqs", "shard": "output.shard_prompts", "domain": "parallel.expert_domain",
        "per_node": "parallel.ranks_per_node", "memory": "parallel.node_memory", "micro": "parallel.micro_batches",
        "redundant": "parallel.redundant_experts", "kv": "parallel.kv_cache_tokens", "prefix": "parallel.prefix_cache"}


def words_of(layout):
    return [word for name, key in KEYS.items() if name in layout for word in ("--set", f"{key}={layout[name]}")]


def environment_of(layout):
    return {"MOEMILL_ISA": layout["isa"]} if "isa" in layout else {}
