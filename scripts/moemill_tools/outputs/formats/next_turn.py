"""A user's turn after the answer, for a second round: a column, or a template over columns."""
from ...common import Fault, need, typed_text
from ..layout import SPLIT


class NextTurn:
    """Made from --then COLUMN or --then-template TEXT; `needed` are the columns that it reads."""

    def __init__(self, options):
        self.column, self.template, self.needed = options.then, None, set()
        if options.then: self.needed = {options.then}
        if options.then_template is None: return
        need("jinja2")
        import jinja2
        import jinja2.meta
        import jinja2.sandbox
        text = typed_text(options.then_template)
        environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        try:
            self.needed = jinja2.meta.find_undeclared_variables(environment.parse(text))
            self.template, self.fault = environment.from_string(text), jinja2.TemplateError
        except jinja2.TemplateError as fault:
            raise Fault(f"--then-template: {fault}") from None

    def of(self, row, turn):
        """The text, or None if the row has none; `turn` is the answer."""
        values = {**row, **{n: turn.get(n) for n in SPLIT if n not in row}}
        if self.column: return None if values[self.column] in (None, "") else str(values[self.column])
        try:
            return self.template.render({n: values[n] for n in self.needed if n in values}) or None
        except self.fault as fault:
            raise Fault(f"--then-template: prompt {row['prompt_index']}: {fault}") from None
