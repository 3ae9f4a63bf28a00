"""Finds a model's chat templates and compiles them, as transformers 5 does."""
import datetime
import json
import pathlib

from ...common import Fault, need, text_of_file
from .special_tokens import read_config, special_texts


def loops_over_content(tree):
    """Whether a chat template accepts message content as a list of parts, which shows in a loop over an attribute, a variable or a
    macro's parameter of that name, or over a variable set to one."""
    from jinja2 import nodes
    names = {"content"}

    def is_content(node):
        while isinstance(node, nodes.Filter): node = node.node
        if isinstance(node, nodes.Getattr): return node.attr == "content"
        if isinstance(node, nodes.Getitem): return isinstance(node.arg, nodes.Const) and node.arg.value == "content"
        return isinstance(node, nodes.Name) and node.name in names
    for made in tree.find_all(nodes.Assign):
        if isinstance(made.target, nodes.Name) and is_content(made.node): names.add(made.target.name)
    return any(is_content(loop.iter) for loop in tree.find_all(nodes.For))


class Templates:
    """A model's compiled chat templates, and the special tokens that they and the tokenizer write."""

    def __init__(self, options):
        self.date = options.date
        folder = pathlib.Path(options.model) if options.model else None
        if folder and not folder.is_dir(): raise Fault(f"{folder}: no such folder (--model)")
        found, tokens = read_config(folder) if folder else ({}, {})
        self.templates = self._find(folder, found, options.chat_template)
        self.given = dict(options.template_arg)
        self.arguments = {**tokens, **self.given}
        self.compiled = {}  # {name: result of compile()}
        self.begins = special_texts(folder) if folder else None
        for name in self.templates: self.compile(name)  # a broken template is reported before any row is read

    @staticmethod
    def _find(folder, found, wanted):
        if folder:
            files = {p.stem: p for p in sorted(folder.glob("additional_chat_templates/*.jinja"))}
            if (folder / "chat_template.jinja").exists(): files["default"] = folder / "chat_template.jinja"
            if files: found = {name: text_of_file(path) for name, path in files.items()}
        if wanted in found: return {"default": found[wanted]}
        if wanted and pathlib.Path(wanted).is_file():
            return {"default": text_of_file(pathlib.Path(wanted))}
        names = ", ".join(sorted(found)) or "none"
        if wanted: raise Fault(f"--chat-template {wanted}: is no file and no template of the model, which has: {names}")
        if not folder: raise Fault("chat messages need the model's chat template: --model DIR, or --chat-template FILE")
        if "default" not in found and "tool_use" not in found:
            raise Fault(f"{folder}: has no default chat template (templates: {names}): name one with --chat-template")
        return found

    def _environment(self):
        jinja2 = need("jinja2")
        import jinja2.ext
        import jinja2.sandbox

        class Generation(jinja2.ext.Extension):
            """{% generation %} marks the assistant's part for training; here only its body is rendered."""
            tags = {"generation"}

            def parse(self, parser):
                next(parser.stream)
                return parser.parse_statements(["name:endgeneration"], drop_needle=True)

        def raise_exception(message):
            raise jinja2.exceptions.TemplateError(message)

        def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
            return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
        environment.filters["tojson"] = tojson
        environment.globals["raise_exception"] = raise_exception
        environment.globals["strftime_now"] = lambda form: (self.date or datetime.datetime.now()).strftime(form)
        return environment

    def variables(self):
        """The variables that any of the templates reads."""
        return set().union(*(self.compile(name)[2] for name in self.templates))

    def compile(self, name):
        """(template, whether it accepts content in parts, names of the variables that it reads)."""
        if name not in self.compiled:
            jinja2, meta = need("jinja2"), need("jinja2.meta")
            try:
                environment = self._environment()
                tree = environment.parse(self.templates[name])
                self.compiled[name] = environment.from_string(tree), loops_over_content(tree), meta.find_undeclared_variables(tree)
            except jinja2.TemplateSyntaxError as fault:
                raise Fault(f"chat template {name}: line {fault.lineno}: {fault.message}") from None
        return self.compiled[name]
