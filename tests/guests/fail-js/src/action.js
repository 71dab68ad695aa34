/** Rotates, then calls what is not there. */
import { action } from "@remit/sdk";
import { rotate } from "@remit/sdk/secrets";

export const remediation = action({
  run({ path }) {
    const rotated = rotate(path);
    return rotated.sky.fall();
  },

  verify() {},
});
