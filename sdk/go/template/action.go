// What this action repairs.
package main
{% macro call(call) -%}
{{ call.package | replace("-", "") }}.{{ call.function | pascal }}({% for a in call.arguments %}{% if a.takes == "some" %}&{% endif %}in.{{ a.name | pascal }}{% if not loop.last %}, {% endif %}{% endfor %})
{%- endmacro %}

import (
{% if compares %}
	"fmt"

{% endif %}
	"github.com/remit/remit/sdk/go"
	"github.com/remit/remit/sdk/go/log"
{% for package in packages %}
	"github.com/remit/remit/sdk/go/{{ package | replace("-", "") }}"
{% endfor %}
)

// Input is what it is given; action.toml has the schema.
type Input struct {
{% for input in inputs %}
	{{ input.name | pascal }} {% if input.optional %}*string{% elif input.number %}{{ input.number | replace("u", "uint") }}{% else %}string{% endif %} `json:"{{ input.name | snake }}"`
{% endfor %}
}

// Output is what it did; verify gets it.
type Output struct {
{% for output in outputs %}
	{{ output.name | pascal }} {{ output.number | replace("u", "uint") }} `json:"{{ output.name | snake }}"`
{% endfor %}
}

func run(in Input) (Output, error) {
	log.Info("{{ name }}: %v", in.{{ inputs[0].name | pascal }})
{% for c in calls %}
{% if c.numbers %}
	{{ c.answer | camel }}, err := {{ call(c) }}
	if err != nil {
		return Output{}, err
	}
{% else %}
	if {% if c.answer %}_, {% endif %}err := {{ call(c) }}; err != nil {
		return Output{}, err
	}
{% endif %}
{% for n in c.numbers %}
	log.Info("{{ c.function }}: {{ n.name }} is %d", {{ c.answer | camel }}.{{ n.name | pascal }})
{% endfor %}
{% endfor %}
{% for other in others %}
	// {{ other }} takes or answers more than text and numbers: call it here.
{% endfor %}
	return Output{
{%- for output in outputs %}{{ output.name | pascal }}: {{ output.answer | camel }}.{{ output.name | pascal }}{% if not loop.last %}, {% endif %}{% endfor -%}
	}, nil
}

// Looks, without changing anything, whether the repair holds.
func verify(in Input, out Output) error {
{% for c in calls if c.effect == "observe" %}
{% if c.compared %}
	{{ c.answer | camel }}, err := {{ call(c) }}
	if err != nil {
		return err
	}
{% else %}
	if {% if c.answer %}_, {% endif %}err := {{ call(c) }}; err != nil {
		return err
	}
{% endif %}
{% for n in c.compared %}
	if {{ c.answer | camel }}.{{ n.name | pascal }} != out.{{ n.name | pascal }} {
		return fmt.Errorf("{{ n.name }} is %d, not %d", {{ c.answer | camel }}.{{ n.name | pascal }}, out.{{ n.name | pascal }})
	}
{% endfor %}
{% endfor %}
	return nil
}

func init() { remit.Action(run, verify) }

// Never called: the host calls run and verify.
func main() {}
