"""What all commands share: their command lines, faults and the exit codes they become, packages that may be missing, HDF5 files opened without
locks, files that get their names when they are whole. It imports nothing that is not in Python itself, so that --help works
anywhere."""
import argparse
import contextlib
import io
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import sys

# Scripts only read HDF5 files of others, and some file systems refuse the lock (Lustre without flock, NFS without lockd). HDF5 reads
# this once, when it is loaded; it reaches files behind external links, too, and an h5py too old for `locking`.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")


class Fault(Exception):
    """The whole job cannot go on: what, where, how to fix. Exit code 2."""


class HelpForm(argparse.RawDescriptionHelpFormatter):
    """--help as it is written, and options beside it no wider than that, however wide the terminal is."""

    def __init__(self, prog): super().__init__(prog, width=min(100, shutil.get_terminal_size().columns - 2))


def need(module):
    try:
        return __import__(module, fromlist=["x"])
    except ImportError as missing:
        raise Fault(f"needs the Python package {missing.name}: see the end of --help for how to install it") from None


def installed_name(script):
    """moemill-prompts for prompts.py, where it is installed and called so."""
    name = "moemill-" + script.removesuffix(".py")
    return name if os.path.basename(sys.argv[0]) == name else script


class Parser(argparse.ArgumentParser):
    """A command line whose help speaks of the commands as they are called, and whose faults are one line."""

    def __init__(self, script, description, epilog):
        super().__init__(prog=installed_name(script), description=description, epilog=epilog, formatter_class=HelpForm)

    def format_help(self):
        text = super().format_help()
        return re.sub(r"\b(prompts|outputs|report)\.py\b", r"moemill-\1", text) if self.prog.startswith("moemill-") else text

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help lists the options)\n")


def note(text): print(f"note: {text}", file=sys.stderr)


def one_line(fault): return " ".join(f"{type(fault).__name__}: {fault}".split())


def short(value, length=60):
    text = repr(value)
    return text if len(text) <= length else text[:length] + "…"


# \n as typed in a shell, but not where it begins a command of LaTeX (\nabla, \neq ...) whose rest is no word: \nless may be
# a line that begins with "less".
TYPED_NEWLINE = re.compile(r"\\n(?!(?:abla|atural|cong|earrow|eq|ewcommand|ewline|geq|gtr|leq|oindent|olimits|onumber|"
                           r"ormalsize|ot|otin|prec|subseteq|succ|u|warrow)(?![A-Za-z]))")


def typed_text(text):
    """Text of an option, as a shell gives it."""
    return TYPED_NEWLINE.sub("\n", text)


TEXT_TYPES = ("text", "input_text", "output_text", "reasoning_text", "refusal")  # of parts of a message's content


def text_of_part(part):
    """The text of a part of a message's content; None where it is no text."""
    kind = (part.get("type") or "text") if isinstance(part, dict) else None
    text = part.get("refusal" if kind == "refusal" else "text") if kind in TEXT_TYPES else None
    return text if isinstance(text, str) else None


def text_of_content(content):
    """A message's content as one text, its parts joined by new lines, as vLLM does; None where some of it is no text."""
    if content is None or isinstance(content, str): return content or ""
    texts = [text_of_part(part) for part in content] if isinstance(content, list) else [None]
    return None if None in texts else "\n".join(texts)


def to_utf8(name, encoding="LATIN1"):
    """The cure of a file that is not UTF-8; LATIN1 is what most others are."""
    return f"iconv -f {encoding} -t UTF-8 {'FILE' if name == 'standard input' else name} > NEW_FILE" + (" (or what it is instead of LATIN1)" if encoding == "LATIN1" else "")


def text_of_file(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise Fault(f"{path}: is not UTF-8 ({fault.reason} at byte {fault.start}): save it as UTF-8, {to_utf8(path)}") from None


def json_of_file(path, missing=None):
    """What a JSON file holds; `missing` where there is none."""
    try:
        return json.loads(text_of_file(path)) if path.exists() else missing
    except ValueError as fault:
        raise Fault(f"{path}: is not JSON: {fault}") from None


def open_unlocked(path):
    """A HDF5 file for reading, without a lock on it, as the program opens it. OSError where it cannot be read."""
    h5py = need("h5py")
    try:
        return h5py.File(path, "r", locking=False)
    except (TypeError, ValueError):  # h5py before 3.5, or over a HDF5 that cannot be told so; then the environment has told it
        return h5py.File(path, "r")
    except OSError as fault:  # this process has the file open already, with a lock
        if "locking flag" not in str(fault): raise
        return h5py.File(path, "r")


def progress(what, total, unit="row"):
    tqdm = need("tqdm").tqdm
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}" if unit == "%" else None
    return tqdm(total=total, desc=what, unit=unit, unit_scale=unit != "%", disable=None, leave=False, bar_format=form)


unfinished = set()  # files to be gone when this ends before they have their names


def begin_beside(path):
    """A new file that will be renamed to `path`; its name is no other process's."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    unfinished.add(temporary)
    try:
        temporary.touch(exist_ok=False)
    except OSError as fault:
        fault.filename = str(path)  # nobody has named the temporary one
        raise
    return temporary


def clear_away():
    while unfinished:
        with contextlib.suppress(OSError): unfinished.pop().unlink(missing_ok=True)  # there is a graver fault to tell


def real_target(path):
    """Where `path` is written: what a link points to, so that the link stays."""
    return pathlib.Path(os.path.realpath(path))


def to_nowhere(descriptor):
    """What buffers still hold is written when they go: it must not fail a second time, with a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def leave_by_exception(number, _):
    """SIGTERM and SIGHUP: out by the way of every exception, which takes the temporary file along."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def ready_to_leave():
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL: signal.signal(number, leave_by_exception)  # ignored under nohup
    if isinstance(sys.stdout, io.TextIOWrapper): sys.stdout.reconfigure(errors="backslashreplace")  # names of files are any bytes


@contextlib.contextmanager
def exit_codes(script):
    """Around all that a script does: 2 for what the user can mend, 1 where the system failed, 0 where `| head` has seen enough."""
    command = installed_name(script)
    try:
        yield
    except Fault as fault:
        print(f"{command}: {fault}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        to_nowhere(1)
        sys.exit(0)
    except OSError as fault:
        print(f"{command}: {fault.filename or 'standard output'}: {fault.strerror or fault}", file=sys.stderr)
        if fault.filename is None: to_nowhere(1)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
