/* What this action repairs. */
{% macro call(call) -%}
remit_{{ call.package | snake }}_{{ call.function | snake }}({% for a in call.arguments %}in.{{ a.name | snake }}{% if not loop.last %}, {% endif %}{% endfor %}{% if call.answer %}{% if call.arguments %}, {% endif %}&{{ call.answer | snake }}{% endif %})
{%- endmacro %}
{% macro declare(call) -%}
{% if call.record %}struct remit_{{ call.package | snake }}_{{ call.record | snake }}{% else %}const char *{% endif %} {{ call.answer | snake }};
{%- endmacro %}
#include <inttypes.h>

#include "remit.h"

/* What it is given; `action.toml` has the schema. */
struct input {
{% for input in inputs %}
    {%+ if input.number %}uint64_t {% else %}const char *{% endif %}{{ input.name | snake }};
{% endfor %}
};

static const struct remit_field INPUT[] = {
{% for input in inputs %}
    REMIT_FIELD(struct input, {{ input.name | snake }}, {% if input.optional %}REMIT_OPTIONAL_TEXT{% elif input.number %}REMIT_U64{% else %}REMIT_TEXT{% endif %}),
{% endfor %}
    REMIT_END,
};

/* What it did; `verify` gets it. */
struct output {
{% for output in outputs %}
    uint64_t {{ output.name | snake }};
{% endfor %}
};

static const struct remit_field OUTPUT[] = {
{% for output in outputs %}
    REMIT_FIELD(struct output, {{ output.name | snake }}, REMIT_U64),
{% endfor %}
    REMIT_END,
};

remit_error *run(const cJSON *json, cJSON *output) {
    struct input in;
    REMIT_TRY(remit_read("input", INPUT, json, &in));
{% if inputs[0].number %}
    remit_info("{{ name }}: %" PRIu64, in.{{ inputs[0].name | snake }});
{% elif not inputs[0].optional %}
    remit_info("{{ name }}: %s", in.{{ inputs[0].name | snake }});
{% endif %}
    struct output out = {};
{% for c in calls %}
{% if c.answer %}
    {{ declare(c) }}
{% endif %}
    REMIT_TRY({{ call(c) }});
{% for n in c.numbers %}
    remit_info("{{ c.function }}: {{ n.name }} is %" PRIu64, (uint64_t){{ c.answer | snake }}.{{ n.name | snake }});
{% endfor %}
{% endfor %}
{% for other in others %}
    /* {{ other }} takes or answers more than text and numbers: call it here. */
{% endfor %}
{% for output in outputs %}
    out.{{ output.name | snake }} = {{ output.answer | snake }}.{{ output.name | snake }};
{% endfor %}
    return remit_write(OUTPUT, &out, output);
}

/* Looks, without changing anything, whether the repair holds. */
remit_error *verify(const cJSON *input, const cJSON *output) {
    struct input in;
    struct output done;
    REMIT_TRY(remit_read("input", INPUT, input, &in));
    REMIT_TRY(remit_read("output", OUTPUT, output, &done));
{% for c in calls if c.effect == "observe" %}
    {{ declare(c) }}
    REMIT_TRY({{ call(c) }});
{% for n in c.compared %}
    if ({{ c.answer | snake }}.{{ n.name | snake }} != done.{{ n.name | snake }}) {
        return remit_fail("{{ n.name }} is %" PRIu64 ", not %" PRIu64, (uint64_t){{ c.answer | snake }}.{{ n.name | snake }}, done.{{ n.name | snake }});
    }
{% endfor %}
{% endfor %}
    return NULL;
}
