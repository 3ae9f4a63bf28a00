"""Functions that all commands share: command lines, errors and exit codes, packages that may be missing, HDF5 files opened without
locks, files that get their names when they are complete. It imports only Python's standard library, so that --help works anywhere."""
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

# Scripts only read HDF5 files, and some file systems refuse locks (Lustre without flock, NFS without lockd). HDF5 reads this variable once,
# when it is loaded. It also covers files behind external links, and versions of h5py without `locking`.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")


class Fault(Exception):
    """The job cannot continue. The message says what is wrong, where, and how to fix it. Exit code 2."""


class HelpForm(argparse.RawDescriptionHelpFormatter):
    """Keeps the layout of help texts, and limits the options beside them to 100 columns on any terminal."""

    def __init__(self, prog): super().__init__(prog, width=min(100, shutil.get_terminal_size().columns - 2))


def need(module):
    try:
        return __import__(module, fromlist=["x"])
    except ImportError as missing:
        raise Fault(f"needs the Python package {missing.name}: see the end of --help for how to install it") from None


def installed_name(script):
    """The name under which the command was called: moemill-prompts for an installed prompts.py."""
    name = "moemill-" + script.removesuffix(".py")
    return name if os.path.basename(sys.argv[0]) == name else script


class Parser(argparse.ArgumentParser):
    """A command line whose help uses the names of the commands as they were called, and whose errors are one line."""

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


# Matches \n as typed in a shell, unless it begins a LaTeX command (\nabla, \neq ...) that is not followed by a letter: \nless may be a line
# that begins with "less".
TYPED_NEWLINE = re.compile(r"\\n(?!(?:abla|atural|cong|earrow|eq|ewcommand|ewline|geq|gtr|leq|oindent|olimits|onumber|"
                           r"ormalsize|ot|otin|prec|subseteq|succ|u|warrow)(?![A-Za-z]))")


def typed_text(text):
    """The text of an option as typed in a shell, with \n replaced by a line break."""
    return TYPED_NEWLINE.sub("\n", text)


TEXT_TYPES = ("text", "input_text", "output_text", "reasoning_text", "refusal")  # types of the parts of a message's content


def text_of_part(part):
    """The text of a part of a message's content, or None if it is not text."""
    kind = (part.get("type") or "text") if isinstance(part, dict) else None
    text = part.get("refusal" if kind == "refusal" else "text") if kind in TEXT_TYPES else None
    return text if isinstance(text, str) else None


def text_of_content(content):
    """A message's content as one text, with its parts joined by line breaks as in vLLM; None if a part is not text."""
    if content is None or isinstance(content, str): return content or ""
    texts = [text_of_part(part) for part in content] if isinstance(content, list) else [None]
    return None if None in texts else "\n".join(texts)


def to_utf8(name, encoding="LATIN1"):
    """Advice for a file that is not UTF-8. The default is LATIN1 because most such files use it."""
    return f"iconv -f {encoding} -t UTF-8 {'FILE' if name == 'standard input' else name} > NEW_FILE" + (" (or what it is instead of LATIN1)" if encoding == "LATIN1" else "")


def text_of_file(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise Fault(f"{path}: is not UTF-8 ({fault.reason} at byte {fault.start}): save it as UTF-8, {to_utf8(path)}") from None


def json_of_file(path, missing=None):
    """The contents of a JSON file, or `missing` if the file does not exist."""
    try:
        return json.loads(text_of_file(path)) if path.exists() else missing
    except ValueError as fault:
        raise Fault(f"{path}: is not JSON: {fault}") from None


def open_unlocked(path):
    """Opens an HDF5 file for reading without a lock, as the program does. Raises OSError if it cannot be read."""
    h5py = need("h5py")
    try:
        return h5py.File(path, "r", locking=False)
    except (TypeError, ValueError):  # h5py before 3.5, or an HDF5 without this option: the environment variable applies
        return h5py.File(path, "r")
    except OSError as fault:  # this process has already opened the file with a lock
        if "locking flag" not in str(fault): raise
        return h5py.File(path, "r")


def progress(what, total, unit="row"):
    tqdm = need("tqdm").tqdm
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}" if unit == "%" else None
    return tqdm(total=total, desc=what, unit=unit, unit_scale=unit != "%", disable=None, leave=False, bar_format=form)


unfinished = set()  # files to remove if the process ends before they have their final names


def begin_beside(path):
    """Creates a new file with a unique name that will be renamed to `path`."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    unfinished.add(temporary)
    try:
        temporary.touch(exist_ok=False)
    except OSError as fault:
        fault.filename = str(path)  # the user did not name the temporary file
        raise
    return temporary


def clear_away():
    while unfinished:
        with contextlib.suppress(OSError): unfinished.pop().unlink(missing_ok=True)  # the original error is more important


def real_target(path):
    """The file that `path` refers to, so that a link is kept and its target is written."""
    return pathlib.Path(os.path.realpath(path))


def to_nowhere(descriptor):
    """Redirects a descriptor to /dev/null, so that flushing its buffers at exit does not fail a second time with a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def leave_by_exception(number, _):
    """Turns SIGTERM and SIGHUP into an exception, so that temporary files are removed."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def ready_to_leave():
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL: signal.signal(number, leave_by_exception)  # nohup has set it to be ignored
    if isinstance(sys.stdout, io.TextIOWrapper): sys.stdout.reconfigure(errors="backslashreplace")  # file names may contain any bytes


@contextlib.contextmanager
def exit_codes(script):
    """Wraps everything that a script does: exit code 2 for the user's errors, 1 for the system's, 0 if the reader of a pipe (`| head`)
    has exited."""
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
