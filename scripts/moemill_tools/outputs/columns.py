"""Which columns the output has, and which must be read for them, for the filters and for the scores."""
from ..common import Fault
from ..run_files import setting
from .layout import FIXED, OTHERS, ROW_COLUMNS

NUMBERS_OF_A_ROW = {"mean_logprob", "cumulative_logprob", "num_completion_tokens", "num_chars"}  # that may be a score


class Columns:
    def __init__(self, options, source):
        self.options, self.source = options, source
        self.shown = self.choose()
        self.prompt_key = source.tells_prompts_apart() if options.dedup == "all" else []
        self.wanted = self.needed()
        self.carried_used = {shown: name for shown, name in source.carried.items()
                             if shown in self.wanted or shown in self.shown or shown == options.score
                             or (options.format == "openai-batch" and name in ("url", "model"))}

    def choose(self):
        o, carried = self.options, list(self.source.carried)
        extra = [c for c in carried if c != "messages"]
        names = {"rows": [c for c in ROW_COLUMNS if c != "text" or self.source.has("text")] + carried,
                 "messages": ["id", "sample_index", "messages"] + (["tools"] if "tools" in carried else []),
                 "prompt-completion": ["id", "sample_index", "prompt", "completion"],
                 "pairs": ["id", "prompt", "chosen", "rejected", "score_chosen", "score_rejected"],
                 }.get(o.format, [])
        if o.format == "rows" and {"failed", "all"} & set(o.status): names[5:5] = ["error_code", "error_message"]
        if o.format == "rows" and o.scores: names.append("score")
        if o.format == "openai-batch":
            if o.columns or set(o.add) - {"logprobs"}: raise Fault("openai-batch has its own shape; --add logprobs is all it takes")
            return []
        known = set(names) | set(FIXED) | set(OTHERS) - {"completion", "chosen", "rejected"} | set(carried)
        if o.format == "pairs": known = set(names) | set(extra) | {"prompt_index", "num_prompt_tokens"}
        for name in [*(o.columns or []), *o.add]:
            if name not in known: raise Fault(f"there is no column {name}; there are: {', '.join(sorted(known))}")
        names = list(o.columns or names)
        return names + [c for c in o.add if c not in names]

    def needed(self):
        """Columns that must be read."""
        o, wanted = self.options, set(self.shown) & (set(FIXED) | set(OTHERS))
        wanted |= {"status", "id", "prompt_index", "sample_index"}
        if o.format != "rows" or o.dedup or o.dedup_answers or o.min_chars is not None or o.max_chars is not None: wanted.add("text")
        if o.finish_reason or o.format == "openai-batch": wanted.add("finish_reason")
        if o.min_tokens is not None or o.max_tokens is not None: wanted.add("num_completion_tokens")
        if o.min_mean_logprob is not None or o.max_mean_logprob is not None: wanted.add("mean_logprob")
        if o.format == "openai-batch":
            wanted |= {"num_prompt_tokens", "num_completion_tokens", "error_code", "error_message"}
            if "logprobs" in o.add: wanted |= {"token_ids", "logprobs"}
        wanted |= self.of_the_score(wanted)
        if "num_chars" in wanted or "chosen" in wanted: wanted.add("text")
        self.check_logprobs(wanted)
        return self.with_prompts(wanted) | set(self.prompt_key)

    def of_the_score(self, wanted):
        o, self.score_name = self.options, None
        if o.format == "pairs" and not (o.score or o.scores):
            raise Fault("--format pairs needs --scores FILE, or --score with a column such as mean_logprob")
        uses_score = "score" in wanted or o.min_score is not None or o.max_score is not None
        if uses_score and not (o.score or o.scores): raise Fault("a score needs --scores FILE or --score NAME")
        if not o.score or o.scores: return set()
        if o.score not in NUMBERS_OF_A_ROW | set(self.source.carried):
            raise Fault(f"--score {o.score}: there is no such column; a score of your own comes with --scores FILE")
        if o.score in self.source.carried:
            item = self.source.carried_item(o.score)
            if item.ndim != 1 or item.dtype.kind not in "iufb":
                raise Fault(f"--score {self.source.carried[o.score]}: is no column of numbers ({item.dtype})")
        self.score_name = o.score
        return {o.score}

    def check_logprobs(self, wanted):
        asked = {self.score_name} | ({"mean_logprob"} & wanted) if self.options.format == "rows" else wanted
        if not {"mean_logprob", "cumulative_logprob"} & asked or self.source.has("logprobs"): return
        if setting(self.source.outputs.config(), "sampling", "logprobs") in (None, "null"):
            raise Fault(f"{self.options.input}: this run has no logprobs; it needs sampling.logprobs: 0 in run.yaml")

    def with_prompts(self, wanted):
        """What the messages are made of: the run's own column, or the prompt's text."""
        source = self.source
        if "messages" in wanted and "messages" not in source.carried: wanted = wanted | {"prompt"}
        if self.options.format == "pairs" and "messages" in source.carried: wanted = wanted - {"prompt"} | {"messages"}
        if {"prompt", "prompt_token_ids"} & wanted:
            if not source.prompts:
                raise Fault("the prompts are not in the outputs: name the file that the run was made from with --prompts")
            if "prompt" in wanted and "prompt" not in source.prompts.group:
                raise Fault(f"{source.prompts.path}: has token ids and no text of the prompts")
        return wanted
