"""What this action repairs."""
{% macro call(call) -%}
{{ call.package | snake }}.{{ call.function | snake }}({% for a in call.arguments %}input.{{ a.name | snake }}{% if not loop.last %}, {% endif %}{% endfor %})
{%- endmacro %}

from dataclasses import dataclass

from remit import {% if compares %}Error, {% endif %}action, log{% for package in packages %}, {{ package | snake }}{% endfor +%}


@dataclass
class Input:
    """What it is given; `action.toml` has the schema."""

{% for input in inputs if not input.optional %}
    {{ input.name | snake }}: {% if input.number %}int{% else %}str{% endif +%}
{% endfor %}
{% for input in inputs if input.optional %}
    {{ input.name | snake }}: str | None = None
{% endfor %}


@dataclass
class Output:
    """What it did; `verify` gets it."""

{% for output in outputs %}
    {{ output.name | snake }}: int
{% endfor %}


def run(input: Input) -> Output:
    log.info(f"{{ name }}: {input.{{ inputs[0].name | snake }}}")
{% for c in calls %}
    {%+ if c.answer %}{{ c.answer | snake }} = {% endif %}{{ call(c) }}
{% for n in c.numbers %}
    log.info(f"{{ c.function }}: {{ n.name }} is {{ "{" }}{{ c.answer | snake }}.{{ n.name | snake }}}")
{% endfor %}
{% endfor %}
{% for other in others %}
    # {{ other }} takes or answers more than text and numbers: call it here.
{% endfor %}
    return Output({% for output in outputs %}{{ output.answer | snake }}.{{ output.name | snake }}{% if not loop.last %}, {% endif %}{% endfor %})


def verify(input: Input, output: Output) -> None:
    """Looks, without changing anything, whether the repair holds."""
{% for c in calls if c.effect == "observe" %}
    {{ c.answer | snake }} = {{ call(c) }}
{% for n in c.compared %}
    if {{ c.answer | snake }}.{{ n.name | snake }} != output.{{ n.name | snake }}:
        raise Error(f"{{ n.name }} is {{ "{" }}{{ c.answer | snake }}.{{ n.name | snake }}}, not {output.{{ n.name | snake }}}")
{% endfor %}
{% endfor %}


Remediation = action(run, verify)
