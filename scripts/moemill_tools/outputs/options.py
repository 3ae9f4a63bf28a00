"""The command line of outputs.py and its help."""
import argparse
import pathlib
import sys

from .layout import FINISH

DESCRIPTION = """Turns what moemill wrote (outputs.h5, a run directory, shards) into JSONL (.gz too), Parquet, OpenAI batch results, chat
messages for fine-tuning, or chosen/rejected pairs.

Rows come in (prompt, sample) order, joined with the input's other columns, filtered, without duplicates if wanted. Files
are read in small blocks, so their size does not matter.
"""
EXAMPLES = """examples:
  # every good row with its text, finish reason and the input's columns; --status all has the failed ones too
  outputs.py runs/first -o rows.jsonl
  outputs.py runs/first -o rows.parquet --columns id,sample_index,text,topic

  # to the terminal
  outputs.py runs/first --limit 3

  # chat messages for supervised fine-tuning: complete answers only, none twice, nothing the model doubted
  outputs.py runs/first --format messages --finish-reason stop --min-tokens 20 --min-mean-logprob -1.5 \\
      --dedup all --columns messages -o sft.parquet

  # the same as prompt text and completion (what the model saw and wrote, to the character)
  outputs.py runs/first --format prompt-completion -o sft.jsonl.gz

  # preference pairs from n samples: the best and the worst by a reward model's scores, or by mean logprob
  outputs.py runs/first --format pairs --scores rewards.jsonl --score reward --min-margin 0.5 -o pairs.jsonl
  outputs.py runs/first --format pairs --score mean_logprob -o pairs.jsonl

  # answers to an OpenAI batch file, a line a request, failed ones with their error
  outputs.py runs/first --format openai-batch -o results.jsonl

  # tokens and logprobs (the run must have stored them)
  outputs.py runs/first --columns id,sample_index,token_ids,logprobs,top_ids,top_logprobs,prompt_logprobs -o scored.parquet

formats
  rows               a row a completion (default)
  messages           messages + the answer as an assistant's turn. The messages are the column `messages` that prompts.py
                     carries along; without one, the prompt's text is the user's turn. --split-thinking moves what stands
                     before </think> to the key reasoning_content
  prompt-completion  prompt, completion
  pairs              prompt, chosen, rejected (as messages where the run has them), score_chosen, score_rejected
  openai-batch       custom_id, response, error: n samples are n choices of one line; --add logprobs for theirs. The answer to
                     a .../completions line is a text_completion, to any other, /v1/responses too, a chat.completion. A request
                     whose rows all failed has its error; one that prompts.py --on-error skip left out has no line here,
                     PROMPTS.h5.skipped.jsonl names it

columns of a row: id prompt_index sample_index status finish_reason text num_prompt_tokens num_completion_tokens num_chars
  seed cumulative_logprob mean_logprob token_ids logprobs top_ids top_logprobs prompt_logprobs error_code error_message
  prompt prompt_token_ids messages score, and the input's own (a name of the list before gets the prefix input_). Missing
  numbers are null.

scores: --scores FILE (.jsonl, .csv, .parquet, .h5) with the columns id (or prompt_index), sample_index (if n > 1) and the
  one that --score names (default: score). Whole numbers may be written 3 or 3.0. Scores that fit no completion are counted
  in a note; if none fits, nothing is written. Or --score alone: mean_logprob, cumulative_logprob, num_completion_tokens,
  num_chars, or a numeric column of the input. With --scores rows have the column score, with --score alone by --add score.
  A score can be a filter, too (--min-score).

pairs: the first best sample and the first worst one whose text differs from it; where there is none, the next best.

duplicates: --dedup drops a row whose prompt and answer both came before; the first one stays. Prompts are the same to the
  letter (the text of prompts.h5, else its token ids, else the columns messages and tools), answers when they differ in white
  space and case only (Unicode NFKC). --dedup-answers looks at the answer alone. A note counts what was dropped.

needs Python 3.9 or newer with h5py, numpy and tqdm (Debian: python3-h5py python3-tqdm), and pyarrow for Parquet only
(PyPI): python3 -m venv ~/moemill-tools && ~/moemill-tools/bin/pip install -r scripts/tools-requirements.txt
"""

def listed(text): return [part for part in text.split(",") if part]


def one_of(allowed):
    def check(text):
        for part in listed(text):
            if part not in allowed: raise argparse.ArgumentTypeError(f"{part!r}: must be of {', '.join(allowed)}")
        return listed(text)
    return check


def row_count(text):
    if not text.isdecimal(): raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, 0 or more")
    return int(text)


def with_values(words):
    """--dedup alone means all; the word behind it may be the run."""
    return ["--dedup=all" if word == "--dedup" and after not in ("all", "prompt") else word for word, after in zip(words, [*words[1:], None])]


def parse_arguments(words):
    p = argparse.ArgumentParser(prog="outputs.py", description=DESCRIPTION, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("input", type=pathlib.Path, metavar="RUN_DIR|FILE.h5", help="a run directory, outputs.h5, or one shard")
    p.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE", help=".jsonl, .jsonl.gz or .parquet (default: JSONL to "
                   "the terminal)")
    p.add_argument("--format", default="rows", choices=("rows", "messages", "prompt-completion", "pairs", "openai-batch"))
    p.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
    p.add_argument("--allow-incomplete", action="store_true", help="take the finished shards of an unfinished run")
    g = p.add_argument_group("columns")
    g.add_argument("--columns", type=listed, metavar="A,B", help="exactly these, in this order")
    g.add_argument("--add", type=listed, default=[], metavar="A,B", help="these behind the usual ones")
    g.add_argument("--prompts", type=pathlib.Path, metavar="FILE.h5", help="the run's prompts (default: where config.yaml says)")
    g.add_argument("--json-column", dest="json_columns", action="append", default=[], metavar="NAME",
                   help="this carried text is JSON: decode it (known by itself where prompts.py made the prompts and they are there)")
    g.add_argument("--split-thinking", action="store_true", help="text before </think> becomes reasoning_content")
    g = p.add_argument_group("which rows")
    g.add_argument("--status", type=one_of(("ok", "failed", "skipped", "all")), help="default: ok; openai-batch: all")
    g.add_argument("--finish-reason", type=one_of([f for f in FINISH if f]), metavar="A,B",
                   help="stop, length, stop_string, repetition")
    for name, kind, what in (("tokens", int, "generated tokens"), ("chars", int, "characters of text"),
                             ("mean-logprob", float, "logprob a token"), ("score", float, "score")):
        g.add_argument(f"--min-{name}", type=kind, metavar="X", help=f"at least X {what}" if kind is int else f"{what} of at least X")
        g.add_argument(f"--max-{name}", type=kind, metavar="X", help="at most X")
    g.add_argument("--dedup", choices=("all", "prompt"), help="drop rows whose prompt and answer came before; all (--dedup alone): in "
                   "any row; prompt: among the samples of one row of the input")
    g.add_argument("--dedup-answers", action="store_true", help="drop rows whose answer came before, of whatever prompt: of right answers "
                   "such as 4 or yes one stays")
    g.add_argument("--limit", type=row_count, metavar="N", help="stop after N rows that stay (before pairs and lines are made of them)")
    g = p.add_argument_group("scores")
    g.add_argument("--scores", type=pathlib.Path, metavar="FILE", help="a score for each completion")
    g.add_argument("--score", metavar="NAME", help="its column; without --scores, a column of the run")
    g.add_argument("--min-margin", type=float, default=0, metavar="X", help="pairs: the scores differ by at least X")
    options = p.parse_args(with_values(sys.argv[1:] if words is None else words))
    if options.dedup and options.dedup_answers: p.error("--dedup-answers drops all that --dedup does: name one of them")
    options.status = options.status or (["all"] if options.format == "openai-batch" else ["ok"])
    return options
