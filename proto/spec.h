/* spec.h - the declared form of one app, Pm__AppSpec: life time, defaults, patches.. */
#ifndef PM_PROTO_SPEC_H
#define PM_PROTO_SPEC_H

#include <stdbool.h>

#include "proto/base.h"
#include "proto/error.h"
#include "proto/pm.pb-c.h"

/*
 * Every Pm__AppSpec here is on the heap, with its strings and lists, and is freed by spec_free(),
 * wherever it came from: spec_create(), spec_unpack() or spec_clone(). Strings are never NULL.
 */

/*
 * A spec that holds the default of every key (proto/spec_keys.h) and no script, name or cwd yet.
 *
 * ownership  *out is the caller's, for spec_free()
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int spec_create(Pm__AppSpec **out, struct pm_error *err);

void spec_free(Pm__AppSpec *spec); /* NULL is fine */
void spec_freep(Pm__AppSpec **spec);

#define PM_SPEC PM_CLEANUP(spec_freep) Pm__AppSpec

/*
 * The packed bytes of a spec.
 *
 * ownership  *out is the caller's, for free()
 * errors     PM_LIMIT above PM_SPEC_MAX bytes, PM_NO_MEMORY
 */
PM_MUST_CHECK int spec_pack(const Pm__AppSpec *spec, uint8_t **out, size_t *len,
                            struct pm_error *err);

/*
 * Decode a packed spec; what it says is not checked, see spec_validate().
 *
 * errors     PM_LIMIT (more than PM_SPEC_MAX bytes, or PM_ARENA_MAX of memory), PM_CORRUPT
 */
PM_MUST_CHECK int spec_unpack(const uint8_t *bytes, size_t len, Pm__AppSpec **out,
                              struct pm_error *err);

/*
 * A copy in one block of memory, half the size of one on the heap, that must not be changed but in
 * place.
 *
 * ownership  *out is the caller's, for free() and not for spec_free()
 * errors     as spec_pack()
 */
PM_MUST_CHECK int spec_freeze(const Pm__AppSpec *spec, Pm__AppSpec **out, struct pm_error *err);

/* A copy that shares nothing with spec. errors: as spec_pack(). */
PM_MUST_CHECK int spec_clone(const Pm__AppSpec *spec, Pm__AppSpec **out, struct pm_error *err);

/*
 * Check a spec that someone else built: sizes, ranges, names, absolute paths, known values. What
 * only the machine can tell (does the script exist, is the user known) is not looked at.
 *
 * errors  PM_CONFIG, naming the key
 */
PM_MUST_CHECK int spec_validate(const Pm__AppSpec *spec, struct pm_error *err);

/* The checks of single values that reading a file shares with spec_validate(). */
bool spec_is_name(const char *s);  /* fits a file name: no '/', no control character, UTF-8 */
bool spec_is_var(const char *s);   /* the name of an environment variable */
bool spec_is_owner(const char *s); /* a user or group, by name or number */
bool spec_is_cron(const char *s);  /* looks like one; cron_parse() decides */
bool spec_is_limit(const char *s); /* a resource of setrlimit(2), in lower case */

/*
 * Take the named fields from another spec.
 *
 * fields     names of fields of the message AppSpec, such as "restart_delay_ms"; a name that this
 *            version does not know is refused, so that no option is lost in silence
 * errors     PM_UNSUPPORTED (an unknown field), PM_NO_MEMORY, PM_LIMIT; base is untouched then
 */
PM_MUST_CHECK int spec_patch(Pm__AppSpec *base, const Pm__AppSpec *from, char *const *fields,
                             size_t n_fields, struct pm_error *err);

/*
 * Whether a field says the same in both, as it would be packed.
 *
 * field      index in pm__app_spec__descriptor
 * errors     PM_NO_MEMORY
 */
PM_MUST_CHECK int spec_same_field(const Pm__AppSpec *a, const Pm__AppSpec *b, unsigned field,
                                  bool *same, struct pm_error *err);

/*
 * Replace one string field, or append to a list of strings, of a spec on the heap. The text is
 * copied; NULL counts as "".
 *
 * errors     PM_NO_MEMORY; the field is untouched then
 */
PM_MUST_CHECK int spec_put_str(char **field, const char *text, struct pm_error *err);
PM_MUST_CHECK int spec_add_str(char ***list, size_t *n, const char *text, struct pm_error *err);
void spec_clear_list(char ***list, size_t *n);

/*
 * Set a variable in a list of variables; one of the same name is replaced where it stands.
 *
 * errors     PM_NO_MEMORY; the list is untouched then
 */
PM_MUST_CHECK int spec_put_env(Pm__EnvVar ***list, size_t *n, const char *name, const char *value,
                               Pm__EnvOrigin origin, struct pm_error *err);

/* The variable of that name, borrowed from the list; NULL if there is none. */
Pm__EnvVar *spec_find_env(Pm__EnvVar *const *list, size_t n, const char *name);

#endif
