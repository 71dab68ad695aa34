#include "remit.h"

/* Does each of the steps and adds their answers to the output, as `steps`. */
void steps(const cJSON *asked, cJSON *output);
