"""Chat templates, as transformers 5 renders them."""
import datetime
import json
import pathlib

from ..common import Fault, need, text_of_file
from .rows import joined_parts, text_parts
from .values import JSON, RowFault


class Arguments(dict):
    """Arguments of a tool call that came as JSON text: an object for templates that look into it, and still that text for
    those that write it out as it is."""
    _text = "{}"  # a template sees no name with an underscore, but would see `text` instead of an argument of that name
    def __str__(self): return self._text
    def __add__(self, other): return self._text + other
    def __radd__(self, other): return other + self._text


def with_arguments(message):
    """A message whose tool calls' arguments, which the OpenAI API has as JSON text, are objects, as vLLM renders them."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list): return message
    made = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(text := function.get("arguments"), str):
            try:
                value = JSON.decode(text) if text.strip() else {}
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, dict):
                value = Arguments(value)
                if text.strip(): value._text = text
                call = {**call, "function": {**function, "arguments": value}}
        made.append(call)
    return {**message, "tool_calls": made}


def loops_over_content(tree):
    """Whether a chat template takes message content as a list of parts: it has a loop over an attribute, a variable or a
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


class Chat:
    def __init__(self, options):
        self.keep_nulls = options.keep_nulls
        self.generation_prompt = not options.no_generation_prompt
        self.date = options.date
        folder = pathlib.Path(options.model) if options.model else None
        if folder and not folder.is_dir(): raise Fault(f"{folder}: no such folder (--model)")
        found, tokens = self._read_config(folder) if folder else ({}, {})
        self.templates = self._find(folder, found, options.chat_template)
        self.arguments = {**tokens, **dict(options.template_arg)}
        self.compiled = {}  # {name: (template, whether it takes parts)}
        self.added_before = self._added_before(folder) if folder else ""
        self.tools = None
        if options.tools:
            if not pathlib.Path(options.tools).is_file(): raise Fault(f"{options.tools}: no such file (--tools)")
            self.tools = self._json(pathlib.Path(options.tools))
            if not isinstance(self.tools, list): raise Fault(f"{options.tools}: must be a JSON list of tools (--tools)")
        for name in self.templates: self._template(name)  # a broken template is known before any row

    @staticmethod
    def _json(path):
        try:
            return json.loads(text_of_file(path)) if path.exists() else {}
        except ValueError as fault:
            raise Fault(f"{path}: is not JSON: {fault}") from None

    @staticmethod
    def _read_config(folder):
        """(chat templates by name, special tokens by name) that the model's JSON files say."""
        path = folder / "tokenizer_config.json"
        try:
            config = Chat._json(path)
            found = config.get("chat_template") or {}
            if isinstance(found, list): found = {t["name"]: t["template"] for t in found}
            if isinstance(found, str): found = {"default": found}
            if not all(isinstance(t, str) for t in found.values()): raise TypeError
            if not config: config = Chat._json(path := folder / "special_tokens_map.json")
            names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
            tokens = {name: t["content"] if isinstance(t, dict) else t for name in names if (t := config.get(name)) is not None}
        except (AttributeError, KeyError, TypeError):
            raise Fault(f"{path}: is not as transformers writes it; take the file of the model's publisher") from None
        return found, tokens

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

    @staticmethod
    def _added_before(folder):
        """The text of the special tokens (a BOS) that tokenizer.json's post-processor puts before every prompt."""
        def before(part):
            if not isinstance(part, dict): return ""
            if part.get("type") == "Sequence": return "".join(map(before, part.get("processors", [])))
            if part.get("type") in ("BertProcessing", "RobertaProcessing"): return str(part["cls"][0])
            if part.get("type") != "TemplateProcessing": return ""
            known, text = part.get("special_tokens") or {}, ""
            for piece in part.get("single", []):
                if "SpecialToken" not in piece: break
                name = piece["SpecialToken"]["id"]
                text += "".join(known.get(name, {}).get("tokens", [name]))
            return text
        tokenizer = Chat._json(folder / "tokenizer.json")
        try:
            return before(tokenizer.get("post_processor"))
        except (AttributeError, IndexError, KeyError, TypeError):
            raise Fault(f"{folder / 'tokenizer.json'}: its post_processor is not as the tokenizers library writes it; "
                        "take the file of the model's publisher") from None

    def _environment(self):
        jinja2 = need("jinja2")
        import jinja2.ext
        import jinja2.sandbox

        class Generation(jinja2.ext.Extension):
            """{% generation %} marks the assistant's part for training; here it is its body."""
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

    def _template(self, name):
        if name not in self.compiled:
            jinja2 = need("jinja2")
            try:
                environment = self._environment()
                tree = environment.parse(self.templates[name])
                self.compiled[name] = environment.from_string(tree), loops_over_content(tree)
            except jinja2.TemplateSyntaxError as fault:
                raise Fault(f"chat template {name}: line {fault.lineno}: {fault.message}") from None
        return self.compiled[name]

    def render(self, messages, tools, arguments):
        """The prompt of one conversation. Keys whose value is null are left out of its messages; reasoning is found under
        any of its three names; arguments of tool calls are objects; content in parts is one text, as vLLM joins it, for
        templates that know no parts."""
        if not self.keep_nulls: messages = [{k: v for k, v in m.items() if v is not None} for m in messages]
        tools = self.tools if tools is None else tools
        name = "tool_use" if tools is not None and "tool_use" in self.templates else "default"
        if name not in self.templates: raise RowFault("the model has a chat template for tools only, and here are none")
        template, takes_parts = self._template(name)
        seen = []
        for message in messages:
            names = ("reasoning_content", "thinking", "reasoning")
            reasoning = next((message[k] for k in names if message.get(k) is not None), None)
            if reasoning is not None: message = {"thinking": reasoning, **message, "reasoning_content": reasoning}
            if isinstance(content := message.get("content"), list):
                message = {**message, "content": text_parts(content) if takes_parts else joined_parts(content)}
            seen.append(with_arguments(message))
        try:
            return template.render(messages=seen, tools=tools, documents=None, add_generation_prompt=self.generation_prompt,
                                   **{**self.arguments, **arguments})
        except Exception as fault:  # a template may raise anything
            raise RowFault(f"the chat template refuses it: {type(fault).__name__}: {fault}") from None
