"""The command line of outputs.py and its help."""
import argparse
import pathlib
import sys

from ..common import Parser
from .layout import FINISH, OF_FORMAT

DESCRIPTION = """Converts moemill's outputs (outputs.h5, a run directory, shards) to JSONL (also .gz), Parquet,
OpenAI batch results, chat messages for fine-tuning, or chosen/rejected pairs.

Rows are in (prompt, sample) order, joined with the input's other columns, and optionally filtered
and without duplicates. Files are read in small blocks, so their size does not matter.
"""
EXAMPLES = """examples:
  # every good row with its text, finish reason and the input's columns; --status all includes
  # failed rows
  outputs.py runs/first -o rows.jsonl
  outputs.py runs/first -o rows.parquet --columns id,sample_index,text,topic

  # to the terminal
  outputs.py runs/first --limit 3

  # chat messages for supervised fine-tuning: only complete answers, each once, and none with a low
  # probability
  outputs.py runs/first --format messages --finish-reason stop --min-tokens 20 \\
      --min-mean-logprob -1.5 --dedup --columns messages -o sft.parquet
  outputs.py runs/first runs/second --format messages --dedup -o train.jsonl \\
      --validation valid.jsonl

  # the same as prompt text and completion (exactly what the model read and wrote)
  outputs.py runs/first --format prompt-completion -o sft.jsonl.gz

  # preference pairs from n samples: the best and the worst by a reward model's scores, or by mean
  # logprob
  outputs.py runs/first --format pairs --scores rewards.jsonl --score reward --min-margin 0.5 \\
      -o pairs.jsonl
  outputs.py runs/first --format pairs --score mean_logprob -o pairs.jsonl

  # a second round: the answer and another user's turn become prompts
  outputs.py runs/first --format messages --then-template 'Check your answer: {{ content }}' \\
      -o second.jsonl
  prompts.py second.jsonl --model MODEL -o second.h5

  # labels without pairs (KTO); prompts filtered by perplexity, from a run with max_tokens: 0 and
  # prompt_logprobs: true
  outputs.py runs/first --format kto --scores rewards.jsonl --score reward --threshold 0.5 \\
      -o kto.jsonl
  outputs.py runs/scored --score perplexity --max-score 20 -o kept.jsonl

  # answers to an OpenAI batch file, one line per request, failed requests with their error
  outputs.py runs/first --format openai-batch -o results.jsonl

  # tokens and logprobs (the run must have stored them)
  outputs.py runs/first -o scored.parquet \\
      --columns id,sample_index,token_ids,logprobs,top_ids,top_logprobs,prompt_logprobs

formats
  rows               one row per completion (default)
  messages           messages + the answer as an assistant's turn. The messages are the column
                     `messages` that prompts.py carries along; without it, the prompt's text is the
                     user's turn
  sharegpt           the same as conversations of from and value; tool calls are turns from
                     function_call
  alpaca             instruction, input (empty), output, system, history; a note counts rows whose
                     tools are left out
  prompt-completion  prompt, completion: the text as the model wrote it. Prompts that
                     the run cut (errors.too_long: truncate_...) are written as the model read them
                     if the run stored prompt_token_ids; otherwise, and for messages, a note counts
                     them
  pairs              prompt, chosen, rejected (as messages if the run has them), score_chosen,
                     score_rejected
  kto                prompt, completion, label: unpaired; the label is a score of 0 or 1, or
                     derived by --threshold
  openai-batch       custom_id, response, error: n samples are n choices of one line, with logprobs
                     if the request (or run.yaml, for all) asked for them. The answer to a
                     .../completions line is a text_completion; to any other line, including
                     /v1/responses, a chat.completion. A request whose rows all failed has its
                     error; a request that prompts.py --on-error skip left out has no line here but
                     is listed in PROMPTS.h5.skipped.jsonl

answers: formats with turns take an answer apart into reasoning_content (the text in <think> or
  [THINK], even if the prompt opened it, or in gpt-oss's channel analysis), content, and
  tool_calls as in the OpenAI API (arguments as JSON text), read as the model's own chat template
  writes them (Qwen and Hermes, Qwen3-Coder, DeepSeek, Kimi, Mistral, GLM, MiniMax, gpt-oss). If the
  reasoning has no end there is no answer: such rows are left out and counted (openai-batch keeps
  them, with content null). A call that cannot be read stays in content, and a note counts it.
  Markers that are special tokens are missing in text and are found in token_ids. An assistant's
  turn that the prompt leaves open (assistant_prefix) is joined with the model's continuation. rows
  keep the text as it is: --split-answers adds the three columns. --whole-text: nothing is split.

columns of a row: id prompt_index sample_index status finish_reason text num_prompt_tokens
  num_completion_tokens num_chars seed cumulative_logprob mean_logprob token_ids logprobs top_ids
  top_logprobs prompt_logprobs error_code error_message prompt prompt_token_ids stop_reason messages
  score, and the input's own columns (if a name is taken, input_ is put before it until it is free;
  a note lists them). Missing numbers are null. Also reasoning_content content tool_calls, run (if
  there are several), and for a run with prompt_logprobs prompt_mean_logprob and perplexity (default
  columns of a run that only scores). Only requested columns are read.

scores: --scores FILE (.jsonl, .csv, .parquet, .h5) with the columns id (or prompt_index),
  sample_index (if n > 1) and the one that --score names (default: score). Whole numbers may be
  written 3 or 3.0. Scores that match no completion are counted in a note; if none matches, nothing
  is written. Or --score alone: mean_logprob, cumulative_logprob, num_completion_tokens, num_chars,
  prompt_mean_logprob, perplexity, or a numeric column of the input. With --scores rows have the
  column score; with --score alone --add score adds it. A score can also be a filter (--min-score).

pairs: the first best sample and the first worst sample whose text differs from it; if there is
  none, the next best.

duplicates: --dedup drops a row whose prompt and answer both occurred before; the first one is kept.
  Prompts are equal if they are identical (the text of prompts.h5, or its token ids, or the columns
  messages and tools), answers if they differ only in white space and case (Unicode NFKC).
  --dedup-answers compares only the answer. A note counts the dropped rows.

needs Python 3.9 or newer with h5py, numpy and tqdm (Debian: python3-h5py python3-tqdm); pyarrow
only for Parquet (PyPI); jinja2 only for --then-template. All of them in an environment of their
own:
  python3 -m venv ~/moemill-tools
  ~/moemill-tools/bin/pip install -r scripts/tools-requirements.txt
"""

def listed(text): return [part for part in text.split(",") if part]


def one_of(allowed):
    def check(text):
        for part in listed(text):
            if part not in allowed: raise argparse.ArgumentTypeError(f"{part!r}: must be of {', '.join(allowed)}")
        return listed(text)
    return check


def share(text):
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < 1: raise argparse.ArgumentTypeError(f"{text!r}: must be a number between 0 and 1")
    return value


def row_count(text):
    if not text.isdecimal(): raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, 0 or more")
    return int(text)


def with_values(words):
    """--dedup without a word means all; the next word may be the run."""
    return ["--dedup=all" if word == "--dedup" and after not in ("all", "prompt") else word for word, after in zip(words, [*words[1:], None])]


def add_options_of_columns(p):
    """Options for the columns of each row."""
    g = p.add_argument_group("columns")
    g.add_argument("--columns", type=listed, action="extend", metavar="A,B", help="exactly these, in this order")
    g.add_argument("--add", type=listed, action="extend", default=[], metavar="A,B", help="these after the default ones")
    g.add_argument("--prompts", type=pathlib.Path, metavar="FILE.h5", help="the run's prompts (default: the file in config.yaml)")
    g.add_argument("--json-column", dest="json_columns", action="append", default=[], metavar="NAME",
                   help="this carried text is JSON: decode it (automatic if prompts.py made the prompts and they are available)")
    g.add_argument("--drop", type=listed, action="extend", default=[], metavar="A,B", help="not these")
    g.add_argument("--json-text", type=listed, action="extend", default=[], metavar="A,B", help="write these columns (tools) as JSON text in JSONL as "
                   "well, so that all rows have one type")
    g = p.add_argument_group("answers taken apart")
    g.add_argument("--split-answers", "--split-thinking", dest="split", action="store_true",
                   help="rows: with the columns reasoning_content, content, tool_calls (chat formats always have them)")
    g.add_argument("--whole-text", action="store_true", help="chat formats: the answer is the whole text, including reasoning and tool calls")
    g.add_argument("--model", metavar="DIR", help="the model's folder, whose template and tokens are used for that (default: the one in config.yaml)")
    g = p.add_argument_group("a second round, a second file")
    g.add_argument("--then", metavar="COLUMN", help="messages: add this column as a user's turn after the answer; the file is input for prompts.py")
    g.add_argument("--then-template", metavar="TEXT", help="the same from a Jinja template over columns and the answer's content")
    g.add_argument("--validation", type=pathlib.Path, metavar="FILE", help="a share of the prompts goes there instead, by a hash of each prompt: "
                   "additional rows never move a row")
    g.add_argument("--validation-share", type=share, default=0.05, metavar="X", help="share of the prompts (default: %(default)s)")


def add_options_of_rows(p):
    """Options for which rows are kept, and for their scores."""
    g = p.add_argument_group("which rows")
    g.add_argument("--status", type=one_of(("ok", "failed", "skipped", "all")), metavar="A,B",
                   help="ok, failed, skipped, all (default: ok; openai-batch: all)")
    g.add_argument("--finish-reason", type=one_of([f for f in FINISH if f]), metavar="A,B",
                   help="stop, length, stop_string, repetition")
    for name, kind, what in (("tokens", int, "generated tokens"), ("chars", int, "characters of text"),
                             ("mean-logprob", float, "logprob per token"), ("score", float, "score")):
        g.add_argument(f"--min-{name}", type=kind, metavar="X", help=f"at least X {what}" if kind is int else f"{what} of at least X")
        g.add_argument(f"--max-{name}", type=kind, metavar="X", help="at most X")
    g.add_argument("--dedup", choices=("all", "prompt"), help="drop rows whose prompt and answer occurred before; all (--dedup alone): in "
                   "any row; prompt: among the samples of one row of the input")
    g.add_argument("--dedup-answers", action="store_true", help="drop rows whose answer occurred before with any prompt: of answers "
                   "such as 4 or yes only one is kept")
    g.add_argument("--limit", type=row_count, metavar="N", help="stop after N kept rows (before they are combined to pairs and lines)")
    g = p.add_argument_group("scores")
    g.add_argument("--scores", type=pathlib.Path, metavar="FILE", help="a score for each completion")
    g.add_argument("--score", metavar="NAME", help="its column, or without --scores a column of the run")
    g.add_argument("--threshold", type=float, metavar="X", help="kto: the label is true from this score on (default: scores are 0 or 1)")
    g.add_argument("--min-margin", type=float, default=0, metavar="X", help="pairs: the scores differ by at least X")


def parse_arguments(words):
    p = Parser("outputs.py", DESCRIPTION, EXAMPLES)
    p.add_argument("inputs", type=pathlib.Path, nargs="+", metavar="RUN_DIR|FILE.h5", help="a run directory, outputs.h5, or one shard; several "
                   "runs are written one after another, with a column run")
    p.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE", help=".jsonl, .jsonl.gz or .parquet (default: JSONL to "
                   "the terminal)")
    p.add_argument("--format", default="rows", choices=("rows", *OF_FORMAT), metavar="NAME", help="rows (default), messages ...: see below")
    p.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    p.add_argument("--allow-incomplete", action="store_true", help="use the finished shards of an unfinished run")
    add_options_of_columns(p)
    add_options_of_rows(p)
    options = p.parse_intermixed_args(with_values(sys.argv[1:] if words is None else words))
    if options.dedup and options.dedup_answers: p.error("--dedup-answers includes --dedup: name one of them")
    if (options.then or options.then_template is not None) and options.format != "messages": p.error("--then needs --format messages")
    if options.then and options.then_template is not None: p.error("--then and --then-template: name one of them")
    options.status = options.status or (["all"] if options.format == "openai-batch" else ["ok"])
    return options
