/** What this action repairs. */
{% macro call(call) -%}
{{ call.package | camel }}.{{ call.function | camel }}({% for a in call.arguments %}input.{{ a.name | snake }}{% if not loop.last %}, {% endif %}{% endfor %})
{%- endmacro %}

import { action, log } from "@remit/sdk";
{% for package in packages %}
import * as {{ package | camel }} from "@remit/sdk/{{ package }}";
{% endfor %}

export const remediation = action({
  run(input) {
    log.info(`{{ name }}: ${input.{{ inputs[0].name | snake }}}`);
{% for c in calls %}
    {%+ if c.answer %}const {{ c.answer | camel }} = {% endif %}{{ call(c) }};
{% for n in c.numbers %}
    log.info(`{{ c.function }}: {{ n.name }} is ${{ "{" }}{{ c.answer | camel }}.{{ n.name | camel }}}`);
{% endfor %}
{% endfor %}
{% for other in others %}
    // {{ other }} takes or answers more than text and numbers: call it here.
{% endfor %}
    return {
{%- for output in outputs %} {{ output.name | camel }}: {{ output.answer | camel }}.{{ output.name | camel }}{% if not loop.last %},{% else %} {% endif %}{% endfor -%}
    };
  },

  /** Looks, without changing anything, whether the repair holds. */
  verify(input, output) {
{% for c in calls if c.effect == "observe" %}
    const {{ c.answer | camel }} = {{ call(c) }};
{% for n in c.compared %}
    if ({{ c.answer | camel }}.{{ n.name | camel }} !== output.{{ n.name | camel }}) {
      throw new Error(`{{ n.name }} is ${{ "{" }}{{ c.answer | camel }}.{{ n.name | camel }}}, not ${output.{{ n.name | camel }}}`);
    }
{% endfor %}
{% endfor %}
  },
});
