/* op_record.h - one record of the journal of commands, as bytes and back. Pure. */
#ifndef PM_AGENT_OP_RECORD_H
#define PM_AGENT_OP_RECORD_H

#include "agent/op_journal.h"

struct pm_buf;

struct op_record {
	uint8_t id[OP_ID_BYTES];
	uint64_t number;
	bool ended;
	struct op_result result; /* when ended; its bytes are borrowed */
};

enum op_read {
	OP_READ_OK,
	OP_READ_TORN,    /* the bytes end before the record does, or it is the last and not whole */
	OP_READ_DAMAGED, /* it is not what was written, and more follows */
	OP_READ_NEWER,   /* a header of a later version */
};

/* The beginning of a file: a magic number, the version, the counter, a check sum. */
void op_record_header(uint64_t counter, struct pm_buf *out);
enum op_read op_record_read_header(const uint8_t *bytes, size_t len, size_t *used,
                                   uint64_t *counter);

void op_record_put(const struct op_record *rec, struct pm_buf *out);
size_t op_record_size(const struct op_record *rec);
/* *used is how many bytes it took; set for OP_READ_OK only.  The result is where it was read. */
enum op_read op_record_read(const uint8_t *bytes, size_t len, struct op_record *out, size_t *used);

#endif
