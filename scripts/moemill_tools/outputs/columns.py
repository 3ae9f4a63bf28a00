"""Decides which columns the output has, and which must be read for them, for the filters and for the scores."""
from ..common import Fault, note
from ..run_files import reading, setting
from .reading.cuts import Cuts
from .layout import CHAT, FIXED, OF_FORMAT, OTHERS, ROW_COLUMNS, RUN, SCORING, SPLIT, WITH_TOOLS
from .formats.next_turn import NextTurn
from .reading.plain import has_plain_form

NUMBERS_OF_A_ROW = {"mean_logprob", "cumulative_logprob", "num_completion_tokens", "num_chars", *SCORING}  # columns that may be a score


class Columns:
    def __init__(self, options, source, answers, elsewhere):
        """`elsewhere` are columns that other runs carry; they are null here."""
        self.options, self.source, self.answers, self.elsewhere = options, source, answers, elsewhere
        self.absent = []
        self.next_turn = NextTurn(options) if options.then or options.then_template is not None else None
        self.computed = {c for c in (*SPLIT, *SCORING, RUN) if c not in source.carried}
        self.shown = [c for c in self.choose() if c not in options.drop and (c in source.carried or c not in elsewhere)]
        self.prompt_key = source.tells_prompts_apart() if options.dedup == "all" or options.validation else []
        self.cuts = Cuts(source, answers.vocabulary, "messages" in source.carried and options.format in CHAT)
        self.wanted = self.needed()
        if options.format != "openai-batch": self.wanted |= self.cuts.needed(self.wanted)
        self.carried_used = {shown: name for shown, name in source.carried.items()
                             if shown in self.wanted or shown in self.shown or shown == options.score
                             or (options.format == "openai-batch" and name in ("url", "model"))}
        self.check_forms()

    def usual(self):
        """The columns of a format when none are named."""
        o, carried = self.options, self.source.carried
        if o.format != "rows":
            with_tools = o.format in WITH_TOOLS and "tools" in carried
            return [*OF_FORMAT[o.format], *["tools"] * with_tools]
        stored = {c for c in ("text", "token_ids") if self.source.has(c)}
        names = [c for c in ROW_COLUMNS if c != "text" or c in stored]
        if stored == {"token_ids"}: names.insert(ROW_COLUMNS.index("text"), "token_ids")
        if self.source.has("stop_reason"): names[5:5] = ["stop_reason"]
        if {"failed", "all"} & set(o.status): names[5:5] = ["error_code", "error_message"]
        if o.split: names += [c for c in SPLIT if c not in names]
        if self.source.only_scores(): names += [c for c in SCORING if c in self.computed]
        names += [c for c in carried if c not in names]
        return names + ["score"] * bool(o.scores)

    def choose(self):
        o, names = self.options, self.usual()
        if o.format == "openai-batch":
            if o.columns or set(o.add) - {"logprobs"}: raise Fault("openai-batch has its own shape: remove --columns and --add (logprobs are included if the run stored them)")
            return []
        known = set(names) | set(FIXED) | set(OTHERS) - {"completion", "chosen", "rejected"} | set(self.source.carried) | set(SCORING)
        if o.format == "pairs": known = set(names) | set(self.source.carried) - {"messages"} | {"prompt_index", "num_prompt_tokens"}
        if o.format == "rows": known |= set(SPLIT)
        if o.format == "alpaca": known.add("reasoning_content")
        for name in [*(o.columns or []), *o.add, *o.drop, *o.json_text]:
            if name not in known | {RUN} | self.elsewhere: raise Fault(f"there is no column {name}; there are: {', '.join(sorted(known))}")
        if self.next_turn:
            for name in self.next_turn.needed - known - set(SPLIT): raise Fault(f"there is no column {name} for the next turn (--then)")
        names = list(o.columns or names)
        if len(o.inputs) > 1 and not o.columns: names.insert(0, RUN)
        return names + [c for c in o.add if c not in names]

    def show(self, names):
        """The columns of all runs together; those that this run lacks are null."""
        self.absent = [c for c in names if c not in self.shown]
        self.shown = names

    def check_forms(self):
        """Checks at the start, not in the middle of the job."""
        for shown in self.carried_used:
            item = self.source.carried_item(shown)
            with reading(self.source.path): dtype = item.dtype
            if not has_plain_form(dtype) and shown in self.shown:
                raise Fault(f"column {shown} holds values that JSON cannot represent ({dtype}): --drop {shown}, or name others with --columns")

    def needed(self):
        """Columns that must be read."""
        o, wanted = self.options, set(self.shown) & (set(FIXED) | set(OTHERS))
        wanted |= {"status", "id", "prompt_index", "sample_index"}
        if o.format != "rows" or o.dedup or o.dedup_answers or o.min_chars is not None or o.max_chars is not None: wanted.add("text")
        if o.finish_reason or o.format != "rows": wanted.add("finish_reason")
        if o.min_tokens is not None or o.max_tokens is not None or o.format != "rows": wanted.add("num_completion_tokens")
        if o.min_mean_logprob is not None or o.max_mean_logprob is not None: wanted.add("mean_logprob")
        if o.format == "openai-batch":
            wanted |= {"num_prompt_tokens", "error_code", "error_message"}
            wanted |= self.of_batch_logprobs()
        wanted |= self.of_the_score(wanted) | self.computed & set(SCORING) & set(self.shown)
        if "num_chars" in wanted or "chosen" in wanted: wanted.add("text")
        self.check_logprobs(wanted)
        if self.next_turn: wanted |= self.next_turn.needed - set(SPLIT)
        return self.with_prompts(wanted)

    def of_batch_logprobs(self):
        """Results have log-probabilities if the run stored them: the request asked for them, or run.yaml for all."""
        if "logprobs" not in self.options.add:
            if not self.source.has("logprobs"): return set()
            if not self.source.has("token_ids"):
                note(f"{self.source.path}: results have no logprobs, which need token_ids: the run did not store them; the next run does with "
                     "output.store: [text, token_ids] in run.yaml")
                return set()
        top = {"top_ids", "top_logprobs"} if self.source.has("logprobs/top_ids") else set()
        return {"token_ids", "logprobs", *top}

    def of_the_score(self, wanted):
        o, self.score_name = self.options, None
        if o.format in ("pairs", "kto") and not (o.score or o.scores):
            raise Fault(f"--format {o.format} needs --scores FILE, or --score with a column such as mean_logprob")
        uses_score = "score" in wanted or o.min_score is not None or o.max_score is not None
        if uses_score and not (o.score or o.scores): raise Fault("a score needs --scores FILE or --score NAME")
        if not o.score or o.scores: return set()
        if o.score not in NUMBERS_OF_A_ROW | set(self.source.carried):
            own = next((f"; the input's is called {shown}" for shown, name in self.source.carried.items() if name == o.score), "")
            raise Fault(f"--score {o.score}: there is no such column{own}; use --scores FILE for your own scores")
        if o.score in self.source.carried:
            item = self.source.carried_item(o.score)
            if item.ndim != 1 or item.dtype.kind not in "iufb":
                raise Fault(f"--score {self.source.carried[o.score]}: is not a column of numbers ({item.dtype}); use --scores FILE for your own scores")
        self.score_name = o.score
        return {o.score}

    def check_logprobs(self, wanted):
        asked = {self.score_name} | ({"mean_logprob"} & wanted) if self.options.format == "rows" else wanted
        if not {"mean_logprob", "cumulative_logprob"} & asked or self.source.has("logprobs"): return
        if setting(self.source.outputs.config(), "sampling", "logprobs") in (None, "null"):
            raise Fault(f"{self.source.path}: this run has no logprobs; the next run has them with sampling.logprobs: 0 in run.yaml")

    def takes_apart(self): return self.options.format in CHAT or bool(self.computed & set(SPLIT) & set(self.shown))

    def with_prompts(self, wanted):
        """The columns that messages are made from (the run's own column or the prompt's text), and those that are needed to take answers
        apart."""
        source, chat = self.source, "messages" in self.source.carried
        if self.options.format in ("sharegpt", "alpaca") or {"messages"} & wanted and not chat: wanted = wanted | {"messages" if chat else "prompt"}
        if self.options.format in ("pairs", "kto") and chat: wanted = wanted - {"prompt"} | {"messages"}
        if self.takes_apart(): wanted = wanted | self.answers.needed() | {"assistant_prefix", "tools"} & set(source.carried)
        wanted = wanted | set(self.prompt_key)
        if {"prompt", *(() if source.stores_prompts() else ("prompt_token_ids",))} & wanted:
            if not source.prompts:
                raise Fault("the prompts are not in the outputs: name the run's input file with --prompts")
            if "prompt" in wanted and "prompt" not in source.prompts.group:
                raise Fault(f"{source.prompts.path}: has token ids but no text of the prompts: use --format rows --add prompt_token_ids")
        return wanted
