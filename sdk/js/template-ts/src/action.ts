/** What this action repairs. */
{% set inspect = "remit:secrets/inspect" in names %}
{% set rotate = "remit:secrets/rotate" in names %}
{% set disable = "remit:secrets/disable" in names %}
{% set destroy = "remit:secrets/destroy" in names %}
{% set reveal = "remit:secrets/reveal" in names %}
import { action, log } from "@remit/sdk";
{% if names %}
import { {% for name in names %}{{ name | split("/") | last }}{% if not loop.last %}, {% endif %}{% endfor %} } from "@remit/sdk/secrets";
{% endif %}

/** What it is given; `action.toml` has the schema. */
interface Input {
  path: string;
}

/** What it did; `verify` gets it. */
interface Output {
  path: string;
{% if rotate %}
  current: number;
{% endif %}
}

export const remediation = action<Input, Output>({
  run({ path }) {
{% if inspect %}
    const before = inspect(path);
    log.info(`${path} is at version ${before.current}`);
{% else %}
    log.info(`looking at ${path}`);
{% endif %}
{% if reveal and inspect %}
    const value = reveal(path, "value", before.current);
{% endif %}
{% if rotate %}
    const { current } = rotate(path);
{% endif %}
{% if disable and inspect %}
    disable(path, before.current);
{% endif %}
{% if destroy and inspect %}
    destroy(path, before.current);
{% endif %}
    return { path{% if rotate %}, current{% endif %} };
  },

  verify(_, { path{% if inspect and rotate %}, current{% endif %} }) {
{% if inspect and rotate %}
    if (inspect(path).current !== current) {
      throw new Error(`${path} was changed since`);
    }
{% else %}
    // Look, without changing anything, whether the repair holds.
    log.info(`${path} is done`);
{% endif %}
  },
});
