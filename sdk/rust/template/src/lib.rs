//! What this action repairs.
{% macro call(call) -%}
{{ call.package | snake }}::{{ call.function | snake }}({% for a in call.arguments %}{% if a.takes == "text" %}&{% elif a.takes == "some" %}Some({% endif %}input.{{ a.name | snake }}{% if a.takes == "optional" %}.as_deref(){% elif a.takes == "some" %}.as_str()){% endif %}{% if not loop.last %}, {% endif %}{% endfor %})?
{%- endmacro %}

use remit::{Error, log{% for package in packages %}, {{ package | snake }}{% endfor %}};
use serde::{Deserialize, Serialize};

/// What it is given; `action.toml` has the schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
{% for input in inputs %}
    {{ input.name | snake }}: {% if input.optional %}Option<String>{% elif input.number %}{{ input.number }}{% else %}String{% endif %},
{% endfor %}
}

/// What it did; `verify` gets it.
#[derive(Serialize, Deserialize)]
struct Output {
{% for output in outputs %}
    {{ output.name | snake }}: {{ output.number }},
{% endfor %}
}

fn run(input: Input) -> Result<Output, Error> {
    log::info(format!("{{ name }}: {}", input.{{ inputs[0].name | snake }}));
{% for c in calls %}
    {%+ if c.answer %}let {% if not c.numbers %}_{% endif %}{{ c.answer | snake }} = {% endif %}{{ call(c) }};
{% for n in c.numbers %}
    log::info(format!("{{ c.function }}: {{ n.name }} is {}", {{ c.answer | snake }}.{{ n.name | snake }}));
{% endfor %}
{% endfor %}
{% for other in others %}
    // {{ other }} takes or answers more than text and numbers: call it here.
{% endfor %}
    Ok(Output {
{%- for output in outputs %} {{ output.name | snake }}: {{ output.answer | snake }}.{{ output.name | snake }}{% if not loop.last %},{% else %} {% endif %}{% endfor -%}
    })
}

/// Looks, without changing anything, whether the repair holds.
fn verify({% if looks %}input{% else %}_{% endif %}: Input, {% if compares %}output{% else %}_{% endif %}: Output) -> Result<(), Error> {
{% for c in calls if c.effect == "observe" %}
    let {% if not c.compared %}_{% endif %}{{ c.answer | snake }} = {{ call(c) }};
{% for n in c.compared %}
    if {{ c.answer | snake }}.{{ n.name | snake }} != output.{{ n.name | snake }} {
        return Err(Error::new(format!("{{ n.name }} is {}, not {}", {{ c.answer | snake }}.{{ n.name | snake }}, output.{{ n.name | snake }})));
    }
{% endfor %}
{% endfor %}
    Ok(())
}

remit::action!(run, verify);
