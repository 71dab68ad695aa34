/* What remit.c and domains.c share. */
#ifndef REMIT_INTERNAL_H
#define REMIT_INTERNAL_H

#include "action.h"
#include "remit.h"

/* The text, ended by a NUL. */
char *remit_copied(action_string_t from);

/* The text, as the bindings take it. */
action_string_t remit_borrowed(const char *text);

/* Zeros for so many things of a size, and one more. */
void *remit_allocated(size_t count, size_t size);

/* Why the host did not do what a call asked. `format` says what that was, such as "rotate app/db". */
remit_error *remit_refused(const wit_remit_types_errors_failure_t *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
