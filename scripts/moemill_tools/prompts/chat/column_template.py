"""A Jinja template over the columns of a row."""
import pathlib

from ...common import Fault, need, text_of_file, typed_text
from ..values import Null, RowFault, json_text


class ColumnTemplate:
    """A Jinja template over a row's columns. A missing column is an error, not an empty string, and a null is an error, not the word
    None."""

    def __init__(self, text):
        jinja2 = need("jinja2")
        import jinja2.meta
        import jinja2.sandbox
        if text.startswith("@"):
            path = pathlib.Path(text[1:])
            if not path.is_file(): raise Fault(f"{path}: no such file (--template @FILE)")
            text = text_of_file(path)
        else:
            text = typed_text(text)

        def not_null(value):
            if value is None: raise RowFault("a value within a column is null: use {{ x or '' }}")
            return value
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, finalize=not_null,
                                                                   keep_trailing_newline=True)
        environment.filters["tojson"] = json_text
        environment.tests["none"] = lambda value: value is None or isinstance(value, Null)
        try:
            tree = environment.parse(text)
            self.template, self.names = environment.from_string(tree), jinja2.meta.find_undeclared_variables(tree)
        except jinja2.TemplateSyntaxError as fault:
            raise Fault(f"--template: line {fault.lineno}: {fault.message}") from None

    def render(self, row):
        try:
            return self.template.render({k: Null(k) if v is None else v for k, v in row.items()})
        except Exception as fault:
            raise RowFault(f"the template refuses it: {fault}") from None
