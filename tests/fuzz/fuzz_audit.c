/* fuzz_audit.c - lines of an audit log: what is read writes the same line again. */
#include <stdlib.h>
#include <string.h>

#include "proto/audit.h"
#include "proto/buf.h"
#include "proto/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[PM_AUDIT_LINE_MAX + 16];
	struct audit_head head = { 0 }, again = { 0 };
	struct audit_entry e;
	struct pm_error err;
	char detail[400];

	if (audit_read_header((const char *)data, size, &head, &err) == 0 && size > 140)
		abort();
	head = (struct audit_head){ 0 };
	if (audit_check_line(&head, (const char *)data, size, &e, text, &err) == 0) {
		PM_BUF line = { 0 };

		if (audit_put_line(&again, &e, &line, &err) < 0 || line.len != size + 1 ||
		    memcmp(line.bytes, data, size) != 0 || memcmp(&head, &again, sizeof(head)) != 0)
			abort();
	}
	if (size >= sizeof(detail))
		return 0;
	memcpy(detail, data, size);
	detail[size] = '\0';
	head = again = (struct audit_head){ 0 };
	e = (struct audit_entry){ .wall_ms = (int64_t)size, .field = { [AUDIT_DETAIL] = detail } };
	PM_BUF line = { 0 };

	if (audit_put_line(&head, &e, &line, &err) < 0 ||
	    audit_check_line(&again, line.bytes, line.len - 1, &e, text, &err) < 0 ||
	    strcmp(e.field[AUDIT_DETAIL], detail) != 0)
		abort();
	return 0;
}
