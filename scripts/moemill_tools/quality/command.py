"""The command quality.py: a model and prompts in, a table of what int8 changes out."""
import contextlib
import json
import pathlib
import shutil
import tempfile
import typing

from ..common import Fault, Parser, exit_codes, need

DESCRIPTION = """Runs a model in both arithmetics, bf16 and int8, and prints what int8 changes:

  perplexity   of texts in each, from the log-probabilities of all their tokens but the
               first ones
  KL           divergence of int8's distribution of the next token from bf16's,
               KL(bf16 || int8), in nats: mean over contexts, which are beginnings of the
               texts. The program lists the 1000 likeliest words. Words in both lists count
               one by one and all others as one word, which makes it a lower bound.
               `covered` is bf16's mean probability of the words that count one by one: at
               100 % the bound is the divergence.
  equal        greedy continuations of the prompts: tokens that are equal at the same place
               over the length of the longer one, and rows that are wholly equal
  right        rows whose text is that of the prompts' column `expected`, if there is one

The texts are those of --texts, or else the prompts, each with its `expected` behind it
(token ids alone).
Without --model: the demo model and the reference models of this checkout. Reference models
have random weights and prompts: one other token makes another text, and only their KL says
something.
"""
EXAMPLES = """examples:
  quality.py                                                    # the shipped models
  quality.py --model /models/Qwen3-30B-A3B --prompts prompts.h5
  quality.py --model /models/Qwen3-30B-A3B --prompts p.h5 --texts t.h5 --launcher 'mpirun -n 8'

prompts.h5 is any job's input (prompts.py makes one); of its columns only max_tokens,
add_special_tokens and expected count here.
needs Python 3.9 or newer with h5py and numpy (Debian: python3-h5py)
"""
ROOT = pathlib.Path(__file__).resolve().parents[3]
OWN_SETTINGS = ("model.arithmetic", "model.path", "input.path", "output.dir", "errors.max_failed_fraction")
ADDS = "add_special_tokens"  # an attribute or a column of prompts.h5


def parse_arguments(words):
    p = Parser("quality.py", DESCRIPTION, EXAMPLES)
    p.add_argument("--model", type=pathlib.Path, metavar="DIR")
    p.add_argument("--prompts", type=pathlib.Path, metavar="FILE.h5")
    p.add_argument("--texts", type=pathlib.Path, metavar="FILE.h5", help="texts to score, as prompts are given")
    p.add_argument("--limit", type=int, metavar="N", help="the first N prompts and texts")
    p.add_argument("--max-tokens", type=int, default=128, metavar="N", help="tokens of a continuation (default 128)")
    p.add_argument("--contexts", type=int, default=4, metavar="N", help="contexts per text for KL (default 4)")
    p.add_argument("--program", type=pathlib.Path, help="moemill (default: that of this checkout or installation, or the one on PATH)")
    p.add_argument("--launcher", default="", metavar="WORDS", help="what starts the ranks, e.g. 'mpirun -n 8'")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a further setting of both runs")
    p.add_argument("--work", type=pathlib.Path, metavar="DIR", help="keeps the runs there (default: a temporary folder)")
    p.add_argument("--json", action="store_true", help="prints JSON instead of a table")
    o = p.parse_args(words)
    if bool(o.model) != bool(o.prompts): p.error("--model and --prompts belong together")
    if o.texts and not o.model: p.error("--texts needs --model and --prompts")
    for setting in o.set:  # what is measured decides these
        if setting.split("=")[0].strip() in OWN_SETTINGS or setting.startswith("sampling."):
            p.error(f"--set {setting}: quality.py sets the arithmetic and the sampling itself")
    if min(o.max_tokens, o.contexts, 1 if o.limit is None else o.limit) < 1: p.error("--max-tokens, --contexts and --limit are at least 1")
    return o


def program_of(options):
    beside = [ROOT / "build/bin/moemill", ROOT / "../../bin/moemill"]  # of a checkout, and of an installed tree
    found = options.program or next((path for path in beside if path.exists()), None) or shutil.which("moemill")
    if not found: raise Fault("there is no moemill beside this script or on PATH; --program names one")
    return pathlib.Path(found).resolve()


class Prompts(typing.NamedTuple):
    prompts: list   # texts, or lists of token ids
    columns: dict   # of jobs, beside them
    expected: list  # answers, "" where there is none

    def as_texts(self, answers):
        """What is scored. Token ids stay as they are: answers are texts."""
        def text(prompt, answer): return f"{prompt} {answer}" if answer and isinstance(prompt, str) else prompt
        return self._replace(prompts=[text(p, a) for p, a in zip(self.prompts, answers)],
                             columns={ADDS: self.columns[ADDS]} if ADDS in self.columns else {})


def read_prompts(path, limit):
    import h5py
    try:
        with h5py.File(path, "r") as f:
            if "prompt_token_ids" in f: prompts = token_lists(f["prompt_token_ids"])
            elif "prompt" in f and hasattr(f["prompt"], "asstr"): prompts = f["prompt"].asstr()[:].tolist()
            elif "prompt" in f: prompts = [bytes(part).decode() for part in parts(f["prompt"])]
            else: raise Fault(f"{path}: has neither prompt nor prompt_token_ids")
            columns = {name: f[name][:].tolist()[:limit] for name in ("max_tokens", ADDS) if name in f}
            if ADDS in f.attrs: columns.setdefault(ADDS, [int(f.attrs[ADDS])] * len(prompts[:limit]))
            expected = answers_of(f["expected"], len(prompts), path) if "expected" in f else [""] * len(prompts)
    except OSError as fault:
        raise Fault(f"{path}: {fault}") from None
    return Prompts(prompts[:limit], columns, expected[:limit])


def answers_of(column, count, path):
    if not hasattr(column, "asstr") or column.dtype.kind not in "OS": raise Fault(f"{path}: expected holds no texts; write answers as strings")
    if len(column) != count: raise Fault(f"{path}: expected has {len(column)} rows, the prompts have {count}; give each prompt one, \"\" for none")
    return column.asstr()[:].tolist()


def parts(group):
    values, offsets = group["values"][:], group["offsets"][:]
    return [values[a:b] for a, b in zip(offsets[:-1], offsets[1:])]


def token_lists(column):
    rows = column[:] if hasattr(column, "shape") else parts(column)
    return [[int(token) for token in row] for row in rows]


def demo_prompts(limit):
    """The demo's questions that have one answer."""
    rows = [json.loads(line) for line in (ROOT / "configs/demo/prompts.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row.get("expected")][:limit]
    return Prompts([row["prompt"] for row in rows], {"max_tokens": [row["max_tokens"] for row in rows]}, [row["expected"] for row in rows])


def reference_prompts(name, limit):
    import h5py
    with h5py.File(ROOT / f"tests/data/layers/{name}.h5", "r") as f: prompts = token_lists(f["prompts"])[:limit]
    return Prompts(prompts, {}, [""] * len(prompts))


def cases(options):
    """(name, model folder, prompts, texts to score) of each model to measure."""
    if options.model:
        prompts = read_prompts(options.prompts, options.limit)
        texts = read_prompts(options.texts, options.limit) if options.texts else prompts
        answers = [""] * len(texts.prompts) if options.texts else prompts.expected
        yield str(options.model), options.model, prompts, texts.as_texts(answers)
        return
    prompts = demo_prompts(options.limit)
    yield "demo", ROOT / "configs/demo/model", prompts, prompts.as_texts(prompts.expected)
    for model in sorted((ROOT / "tests/data/models").glob("*")):  # an installed tree has none
        prompts = reference_prompts(model.name, options.limit)
        yield model.name, model, prompts, prompts.as_texts(prompts.expected)


def line_of(name, q):
    def percent(part, whole): return f"{100 * part / whole:.1f} %" if whole else "-"
    right = f"{q['right_bf16']} and {q['right_int8']} of {q['checkable']}" if "checkable" in q else "-"
    kl = f"{q['kl_mean']:.2e} ({100 * q['kl_covered']:.1f} % covered)" if q["contexts"] else "-"
    return [name, f"{q['perplexity_bf16']:.4f}", f"{q['perplexity_int8']:.4f}",
            f"{100 * (q['perplexity_int8'] / q['perplexity_bf16'] - 1):+.2f} %", kl, percent(q["equal_tokens"], q["tokens"]),
            f"{q['equal_rows']} of {q['rows']}", right]


def print_table(results):
    head = ["model", "perplexity bf16", "int8", "change", "KL of int8, nats", "equal tokens", "equal rows", "right bf16, int8"]
    lines = [head, *(line_of(name, q) for name, q in results)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines: print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    first = results[0][1]
    print(f"\n{results[0][0]}: {first['scored_tokens']} tokens of {first['texts']} texts were scored, {first['contexts']} contexts compared, "
          f"{first['tokens']} tokens of {first['rows']} greedy continuations")


def measure_all(options, work):
    from .jobs import Jobs
    from .measures import quality
    results = []
    for name, model, prompts, texts in cases(options):
        if not (prompts.prompts and texts.prompts): raise Fault(f"{name}: there are no prompts")
        model = model.resolve()
        folder = work / model.name
        folder.mkdir(parents=True, exist_ok=True)
        jobs = Jobs(program_of(options), options.launcher, model, folder, options.set)
        results.append((name, quality(jobs, prompts, texts, options.max_tokens, options.contexts)))
    return results


def run(options):
    for module in ("h5py", "numpy"): need(module)
    if options.work: options.work.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext(options.work) if options.work else tempfile.TemporaryDirectory() as work:
        results = measure_all(options, pathlib.Path(work))
    if options.json: print(json.dumps({name: {k: None if v != v else v for k, v in q.items()} for name, q in results}, indent=2))
    else: print_table(results)


def main(words=None):
    with exit_codes("quality.py"): run(parse_arguments(words))
