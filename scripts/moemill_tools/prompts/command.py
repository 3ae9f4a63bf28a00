"""Makes prompts.h5, moemill's input, from JSONL or JSON arrays, CSV (each also .gz, .bz2, .xz,
.zst), Parquet, a Hugging Face datasets folder, pandas' HDF5 or an OpenAI batch file; - is standard
input.

Each row becomes one prompt. Chat messages are rendered with the model's own chat template; a Jinja
template makes a prompt from columns. Ids, sampling columns and all other columns are kept. The
input is read twice (first to learn the types of the columns, then to write) in small blocks, so its
size does not matter. The same input gives the same bytes.

Without this script, three lines of h5py are enough:
    import h5py
    with h5py.File("prompts.h5", "w") as f:
        f["prompt"] = ["Once upon a time", "Q: 7 + 8?\\nA:"]
"""
EXAMPLES = """examples:
  # a text column `prompt`; id, temperature, max_tokens and the like are used if they exist, all
  # others are carried along
  prompts.py questions.jsonl -o prompts.h5

  # chat: `messages` (or ShareGPT `conversations`), rendered as transformers' apply_chat_template
  # does
  prompts.py chats.jsonl.gz --model /models/DeepSeek-V3 -o prompts.h5
  prompts.py chats.parquet --model /models/Qwen3-30B-A3B --template-arg enable_thinking=false \\
      -o prompts.h5

  # one question per row, asked as a user turn after a system message
  prompts.py gsm8k/main --split train --prompt-column question --user-turn \\
      --system "Think step by step." --model /models/Qwen3-30B-A3B -o prompts.h5

  # columns put into a template; without --user-turn it is the prompt itself
  prompts.py reviews.csv --template 'Translate to French: {{ text }}\\nFrench:' \\
      --id-column review_id -o prompts.h5

  # a datasets folder (from save_to_disk or the Hub), one split; four samples per row; a renamed
  # column
  prompts.py ./squad --split train --prompt-column question --set n=4 --map context=passage \\
      -o prompts.h5

  # an OpenAI batch file: custom_id, body.messages or body.prompt, and the body's sampling keys per
  # row
  prompts.py batch.jsonl --model /models/Qwen3-30B-A3B -o prompts.h5

  # compressed or from a pipe; an Alpaca file (instruction, input) as turns of a chat; several files
  # with the same ids
  zstdcat dump.jsonl.zst | prompts.py - -o prompts.h5
  prompts.py alpaca_data.json --model /models/Qwen3-30B-A3B -o prompts.h5
  prompts.py a.jsonl b.csv table.h5 --ids-by-file -o prompts.h5

bad rows: --on-error fail (default) stops at the first one and writes nothing; skip leaves them out
and lists them in OUTPUT.skipped.jsonl (file, line or row, custom_id of a batch file, error).

folders: the split of a file is the part of its name before -00000-of-00001, or a word such as
train, validation or test in its name (train_sft.jsonl, dev.csv, fr/test/0.parquet). A folder with
several splits needs --split NAME, or --split all, which reads all of them in the order of their
names. A folder with several data sets (en/train-..., fr/train-...) is refused: give en or fr as
INPUT. If no name contains a split, all files are read.

batch files: one file may contain chat lines (body.messages), completion lines (body.prompt) and
lines for /v1/responses (input, instructions, max_output_tokens); a line with both is treated by its
url, and a line without url gets that of its kind. Lines with any other url (/v1/embeddings) are
bad rows. A prompt may be a list of token ids, if it is in all lines, or a list of one prompt;
several prompts in a line are a bad row, because each needs a custom_id of its own. An empty prompt
is kept and fails in the run, with the code `empty`. The run does not know rows that skip left out:
outputs.py --format openai-batch has no line for them; only OUTPUT.skipped.jsonl has their
custom_id.

content in parts ([{"type": "text", "text": ...}]): the texts are joined by line breaks, as in vLLM,
for chat templates without a loop over parts; images and the like are bad rows. The column is not
changed.

conversations: `system` and `tools` beside the turns are used; ShareGPT's function_call and
observation turns are tool calls and their answers; arguments that are JSON text, as in the API,
become objects for the chat template. A tool call that the template would leave out makes a bad row,
and so does a turn with a role that it does not know; anything else that it leaves out is counted in
a note. The column is not changed. A last turn of the assistant stays open with
--continue-final-message, or if continue_final_message, or prefix of the message, is true in its
row; the column assistant_prefix has its text.

add_special_tokens: an attribute (or a column, if rows differ) prevents moemill from adding special
tokens to prompts that a chat template wrote, and to plain prompts that begin with their BOS (known
with --model). A column of that name in the input decides for its row.

rows of several forms may be in one file: each row becomes a prompt by its column prompt, messages,
conversations or instruction. A row with two of them is an error, unless --prompt-column or
--messages-column chooses one.

HDF5: a DataFrame's to_hdf (format fixed or table; --key if a file has several), or columns of the
same length as h5py writes them.

settings: columns named n, temperature, max_tokens, stop ... apply to their rows (seed: 0 to
2^64-1), and so do names of other programs with the same meaning: max_new_tokens,
max_completion_tokens, max_output_tokens, min_new_tokens, num_return_sequences, stop_sequences,
stop_strings, and those in an object sampling_params or extra_body. top_k: -1 is off (0), as in vLLM
and run.yaml; in other columns -1 means the run's value. A stop in a CSV cell is used literally; a
JSON list, ["\\n"], can have line breaks and the like. Other names that are almost a setting's (temp,
seeds, max_length, temprature) are refused: --map gives their meaning.

types of columns: text is UTF-8 text; whole numbers int64, others float64; true/false bool; lists
and objects (and columns of mixed types) JSON text. HDF5 has no null: it becomes NaN in a column of
numbers, "" in a column of text. In JSON, numbers beyond float64 (1e400) and repeated keys of an
object make bad rows; in CSV such numbers, and whole numbers of more than 18 digits, make a column
of text.

OUTPUT gets its name only when it is completely on the disk and has been read back; an error before
that (a full disk, a signal) leaves nothing behind. Exit code 2: your input or options need a fix;
1: the system failed.

needs Python 3.9 or newer with h5py, numpy, jinja2 and tqdm (Debian: python3-h5py python3-jinja2
python3-tqdm); pyarrow only for Parquet and datasets folders (PyPI); zstandard only for .zst
(python3-zstandard). All of them in an environment of their own:
  python3 -m venv ~/moemill-tools
  ~/moemill-tools/bin/pip install -r scripts/tools-requirements.txt
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import signal
import sys
import time

from ..common import Fault, Parser, clear_away, installed_name, need, typed_text
from .reading.sources import ALLOWED


SCRIPT = "prompts.py"


def pair(text):
    name, equals, value = text.partition("=")
    if not equals or not name: raise argparse.ArgumentTypeError(f"{text!r}: must be NAME=VALUE")
    return name, value


def valued_pair(text):
    name, value = pair(text)
    value = {"True": "true", "False": "false", "None": "null"}.get(value, value)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


STOPS = ("stop", "stop_sequences", "stop_strings")  # settings with stop strings; a stop with a literal \n would never match
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def set_pair(text):
    """A column's value as JSON or text. As in --template, \n in a text is a line break; in stops all escapes are replaced."""
    name, value = valued_pair(text)
    if not isinstance(value, str) or value != text.partition("=")[2]: return name, value  # a JSON value is used exactly as it is
    if name not in STOPS: return name, typed_text(value)
    return name, re.sub(r"\\([ntr\\])", lambda escape: ESCAPES[escape[1]], value)


def delimiter(text):
    if text == "\\t": return "\t"
    if len(text) != 1 or text in '"\r\n\0': raise argparse.ArgumentTypeError(f"{text!r}: must be one character, or \\t for a tab")
    return text


def names(text): return [name for name in text.split(",") if name]


def parse_arguments(words):
    p = Parser(SCRIPT, __doc__, EXAMPLES)
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders, or - for standard input, read in this order")
    p.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="PROMPTS.h5")
    p.add_argument("--overwrite", action="store_true", help="replace PROMPTS.h5 if it exists")
    g = p.add_argument_group("what a prompt is made of")
    g.add_argument("--prompt-column", metavar="NAME", help="text column (default: prompt)")
    g.add_argument("--messages-column", metavar="NAME", help="chat column (default: messages, or conversations)")
    g.add_argument("--template", metavar="TEXT|@FILE", help="Jinja template over the columns: 'Q: {{ question }}\\nA:' "
                   "(\\n is a line break, except at the beginning of a TeX command such as \\nabla; in a FILE nothing is replaced)")
    g = p.add_argument_group("chat")
    g.add_argument("--model", metavar="DIR", help="the model's folder: its chat template and special tokens")
    g.add_argument("--chat-template", metavar="NAME|FILE", help="another template of the model, or a file")
    g.add_argument("--template-arg", metavar="NAME=VALUE", type=valued_pair, action="append", default=[],
                   help="variable for the chat template, e.g. enable_thinking=false (repeatable; VALUE as JSON or text)")
    g.add_argument("--tools", metavar="FILE", help="JSON list of tools for every row (a column `tools` takes precedence)")
    g.add_argument("--user-turn", action="store_true", help="the prompt text is one user message, rendered as chat")
    g.add_argument("--system", metavar="TEXT", type=typed_text, help="system message for conversations that have none (makes text chat)")
    g.add_argument("--drop-last-answer", action="store_true",
                   help="remove an assistant's turn at the end (kept as column dropped_answer)")
    g.add_argument("--continue-final-message", action="store_true",
                   help="an assistant's turn at the end stays open and the model continues it (its text: column assistant_prefix)")
    g.add_argument("--assistant-prefix", metavar="TEXT", type=typed_text, help="begin every answer with this text (makes text chat)")
    g.add_argument("--no-generation-prompt", action="store_true", help="do not open the assistant's turn at the end")
    g.add_argument("--keep-nulls", action="store_true", help="show the template keys whose value is null, as transformers 4 did")
    g.add_argument("--drop-nulls", action="store_true", help="leave out nulls within tools and arguments of tool calls, which Parquet adds")
    g.add_argument("--date", type=datetime.datetime.fromisoformat, metavar="YYYY-MM-DD",
                   help="today's date for templates that write it, so that a later day gives the same file")
    g = p.add_argument_group("columns")
    g.add_argument("--id-column", metavar="NAME", help="unique ids (default: id, or custom_id of a batch file); none: row numbers")
    g.add_argument("--ids-by-file", action="store_true", help="ids are FILE:ID, or FILE:NUMBER of the row, so that several files may have "
                   "the same ids; FILE includes the folders that are needed to distinguish files of the same name")
    g.add_argument("--map", metavar="OLD=NEW", type=pair, action="append", default=[],
                   help="rename a column, also to or from a sampling column: max_new_tokens=max_tokens (repeatable)")
    g.add_argument("--set", metavar="NAME=VALUE", type=set_pair, action="append", default=[],
                   help="a column with this value in every row: n=4 (repeatable; VALUE as JSON, or as text with \\n for a line break; in stop "
                   "also \\t, \\r, and \\\\n for a backslash and n)")
    g.add_argument("--keep", metavar="A,B", type=names, action="extend",
                   help="carry only these columns (default: all)")
    g.add_argument("--drop", metavar="A,B", type=names, action="extend", default=[], help="do not carry these columns, and do not use them as sampling columns")
    g = p.add_argument_group("reading and writing")
    g.add_argument("--split", metavar="NAME", help="split of a datasets folder; all: every split, in the order of their names")
    g.add_argument("--delimiter", metavar="C", type=delimiter, help="delimiter of CSV files, \\t for a tab (default: a comma; a tab for .tsv)")
    g.add_argument("--from", dest="input_kind", choices=ALLOWED, metavar="KIND",
                   help=f"kind of all inputs, whatever their names: {', '.join(ALLOWED)}")
    g.add_argument("--key", metavar="NAME", help="the table to read from an HDF5 file with several")
    g.add_argument("--limit", metavar="N", type=int, help="only the first N rows")
    g.add_argument("--on-error", choices=("fail", "skip"), default="fail", help="what to do about a bad row (default: fail)")
    g.add_argument("--compression", default="none", choices=["none"] + [f"gzip-{i}" for i in range(1, 10)], metavar="KIND",
                   help="compression of the prompts' text and of numbers: none (default), gzip-1 to gzip-9")
    g.add_argument("--quiet", action="store_true", help="do not show the first prompt")
    return p.parse_args(words)


def run(options):
    for module in ("h5py", "numpy"): need(module)
    from .maker import Maker
    from .write import Target
    if options.output.exists() and not options.output.is_file():
        raise Fault(f"{options.output}: is not a regular file, which the output must be: name one with -o")
    if options.output.exists() and not options.overwrite:
        raise Fault(f"{options.output}: already exists; --overwrite replaces it (a run made from it will not resume then)")
    if options.limit is not None and options.limit < 1: raise Fault("--limit must be at least 1")
    real = pathlib.Path(os.path.realpath(options.output))  # the target of a link is written, and the link is kept
    if not real.parent.is_dir(): raise Fault(f"{real.parent}: no such folder: make it first")
    for path in map(pathlib.Path, options.inputs):
        if path.exists() and options.output.exists() and path.samefile(options.output): raise Fault(f"{path}: is input and output: name another output with -o")
    started = time.monotonic()
    try:
        maker = Maker(options)
        maker.look()
        target = Target(real, options.compression)
        try:
            maker.write(target)
            target.finish()
        except Exception:
            target.disk.check()  # HDF5's message after a disk error adds nothing
            raise
        if options.output.exists() and not options.overwrite:
            raise Fault(f"{options.output}: was created in the meantime; --overwrite replaces it")
        maker.publish_skipped()  # first, so that a new OUTPUT never lies beside an old list
        target.publish()
    finally:
        clear_away()
    return lambda: maker.say(target.rows, options.output.stat().st_size, time.monotonic() - started)


def main(words=None):
    options = parse_arguments(words)
    try:
        say = run(options)
    except Fault as fault:
        print(f"{installed_name(SCRIPT)}: {fault}", file=sys.stderr)
        sys.exit(2)
    except OSError as fault:
        why = " ".join(str(fault.strerror or fault).split())
        if not fault.filename: why += "; no file was made: free some space, or name a different place with -o, and start again"
        print(f"{installed_name(SCRIPT)}: {fault.filename or options.output}: {why}", file=sys.stderr)
        sys.exit(1)
    try:
        say()
        sys.stdout.flush()
    except OSError as fault:
        print(f"{installed_name(SCRIPT)}: {options.output} was made, but this report cannot be printed: {fault.strerror}", file=sys.stderr)
        sys.exit(1)


def leave(number, _):
    """Ends the process on a signal without returning through HDF5, which may be in the middle of a call."""
    clear_away()
    os.write(2, f"\n{installed_name(SCRIPT)}: ended by {signal.Signals(number).name}; no unfinished file is left\n".encode())
    os._exit(128 + number)


def start():
    """main() for a process of its own."""
    for ending_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending_signal) != signal.SIG_IGN: signal.signal(ending_signal, leave)  # nohup has set it to be ignored
    try:
        main()
    except SystemExit as end:
        if end.code != 1: raise
        sys.stderr.flush()
        os._exit(1)  # HDF5's own clean-up crashes if a file could not be written
