{% set inspect = "remit:secrets/inspect" in names %}
{% set rotate = "remit:secrets/rotate" in names %}
{% set disable = inspect and "remit:secrets/disable" in names %}
{% set destroy = inspect and "remit:secrets/destroy" in names %}
/** What this action repairs. */
import { action, log } from "@remit/sdk";
{% if names %}
import * as secrets from "@remit/sdk/secrets";
{% endif %}

export const remediation = action({
  /** @param {{ '{{ path: string }}' }} input What it is given; action.toml has the schema. */
  run({ path }) {
{% if inspect %}
    const before = secrets.inspect(path);
    log.info(`${path} is at version ${before.current}`);
{% else %}
    log.info(`looking at ${path}`);
{% endif %}
{% if rotate %}
    const { current } = secrets.rotate(path);
{% endif %}
{% if disable %}
    secrets.disable(path, before.current);
{% endif %}
{% if destroy %}
    secrets.destroy(path, before.current);
{% endif %}
    return { path{% if rotate %}, current{% endif %} };
  },

  verify(_, output) {
{% if inspect and rotate %}
    const now = secrets.inspect(output.path);
    if (now.current !== output.current) {
      throw new Error(`${output.path} was changed since`);
    }
{% else %}
    // Look, without changing anything, whether the repair holds.
    log.info(`${output.path} is done`);
{% endif %}
  },
});
